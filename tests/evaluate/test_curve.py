from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.confusion import confusion_by_pixel
from oracles.curve import counts_at_level, miou_at_level
from torch import Tensor

from tag2mask.evaluate import Curve, confusion, curve_counts, scores
from tag2mask.types import CamSet

CLASSES = 4
SEEDS = st.integers(0, 2**32 - 1)
LEVELS = [0, 1, 37, 100, 128, 200, 254, 255]


def truth_of(random: np.random.Generator, size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(random.choice(np.array([0, 1, 2, 3, 4, 255], dtype=np.uint8), size))


def exact(random: np.random.Generator, present: list[int], size: tuple[int, int]) -> CamSet:
    """Maps as large as the photograph, on multiples of 1/512: half of them meet a level exactly."""
    steps = random.integers(0, 513, (len(present), *size))
    return CamSet("a", torch.tensor(present), torch.from_numpy(steps / 512).float(), size)


def example(seed: int, present: tuple[int, ...] = (2, 4)) -> tuple[CamSet, Tensor]:
    random = np.random.default_rng(seed)
    return exact(random, list(present), (8, 11)), truth_of(random, (8, 11))


@settings(max_examples=15)
@given(SEEDS, st.sampled_from([(1,), (2, 4), (1, 2, 3, 4)]))
def test_deciding_anew_at_a_level_agrees_exactly(seed: int, present: tuple[int, ...]) -> None:
    cams, truth = example(seed, present)
    curve = curve_counts(cams, truth, CLASSES)
    for k in LEVELS:
        expected = counts_at_level(
            cams.maps.numpy(), list(present), truth.numpy(), CLASSES, k / 256
        )
        assert curve.confusion(k).counts.tolist() == expected


def test_every_mean_iou_is_that_of_its_level() -> None:
    cams, truth = example(1)
    curve = curve_counts(cams, truth, CLASSES)
    mious = curve.mious()
    assert mious == [scores(curve.confusion(k)).miou for k in range(256)]
    for k in LEVELS:
        expected = miou_at_level(cams.maps.numpy(), [2, 4], truth.numpy(), CLASSES, k / 256)
        assert mious[k] == pytest.approx(expected, abs=1e-12)


def test_maps_are_brought_to_the_size_of_the_truth() -> None:
    """Coarse maps whose enlarged values stay away from the levels, against written-out bilinear."""
    random = np.random.default_rng(8)
    maps = torch.from_numpy(random.random((2, 3, 4))).float()
    truth = truth_of(random, (10, 14))
    curve = curve_counts(CamSet("a", torch.tensor([1, 3]), maps, (10, 14)), truth, CLASSES)
    for k in LEVELS:
        expected = counts_at_level(maps.numpy(), [1, 3], truth.numpy(), CLASSES, k / 256)
        assert curve.confusion(k).counts.tolist() == expected


@given(SEEDS)
def test_every_level_counts_every_known_pixel_once(seed: int) -> None:
    cams, truth = example(seed)
    curve = curve_counts(cams, truth, CLASSES)
    expected = [int((truth == label).sum()) for label in range(CLASSES + 1)]
    for k in LEVELS:
        assert curve.confusion(k).counts.sum(dim=1).tolist() == expected


@given(SEEDS, st.integers(1, 7))
def test_shards_add_up(seed: int, cut: int) -> None:
    cams, truth = example(seed)
    total = Curve.zeros(CLASSES)
    for rows in (slice(0, cut), slice(cut, None)):
        maps = cams.maps[:, rows]
        part = CamSet("a", cams.classes, maps, (maps.shape[1], maps.shape[2]))
        total += curve_counts(part, truth[rows], CLASSES)
    assert torch.equal(total.counts, curve_counts(cams, truth, CLASSES).counts)


@given(SEEDS)
def test_relabelling_the_classes_permutes_the_counts(seed: int) -> None:
    cams, truth = example(seed, (1, 2))
    renamed = torch.full((256,), 255, dtype=torch.uint8)
    renamed[:5] = torch.tensor([0, 3, 4, 1, 2])
    other = CamSet("a", torch.tensor([3, 4]), cams.maps, cams.size)
    after = curve_counts(other, renamed[truth.long()], CLASSES).counts
    places = torch.tensor([0, 3, 4, 1, 2])
    before = curve_counts(cams, truth, CLASSES).counts
    assert torch.equal(after[:, places][:, :, places], before)


def test_a_level_must_be_beaten_not_met() -> None:
    truth = torch.ones(1, 1, dtype=torch.uint8)
    met = torch.full((1, 1, 1), 100 / 256)
    for maps, first_lost in ((met, 100), (torch.nextafter(met, met + 1), 101)):
        curve = curve_counts(CamSet("a", torch.tensor([1]), maps, (1, 1)), truth, 1)
        kept = [bool(curve.confusion(k).counts[1, 1]) for k in range(256)]
        assert kept == [k < first_lost for k in range(256)]


@pytest.mark.parametrize(("value", "column"), [(0.0, 0), (2.0**-40, 1), (1.0, 1)])
def test_the_ends_of_the_scale(value: float, column: int) -> None:
    cams = CamSet("a", torch.tensor([1]), torch.full((1, 1, 1), value), (1, 1))
    curve = curve_counts(cams, torch.ones(1, 1, dtype=torch.uint8), 1)
    assert curve.confusion(0).counts[1].tolist() == [1 - column, column]
    assert curve.confusion(255).counts[1].tolist() == ([0, 1] if value == 1 else [1, 0])


def test_of_equal_classes_the_lowest_label_wins() -> None:
    cams = CamSet("a", torch.tensor([2, 3]), torch.full((2, 3, 3), 0.5), (3, 3))
    curve = curve_counts(cams, torch.full((3, 3), 3, dtype=torch.uint8), CLASSES)
    assert curve.confusion(10).counts[3].tolist() == [0, 0, 9, 0, 0]


def test_without_classes_everything_is_background() -> None:
    truth = truth_of(np.random.default_rng(2), (6, 5))
    none = CamSet("a", torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2, 2), (6, 5))
    expected = confusion_by_pixel(truth.numpy(), np.zeros((6, 5), np.uint8), CLASSES)
    curve = curve_counts(none, truth, CLASSES)
    for k in (0, 255):
        assert curve.confusion(k).counts.tolist() == expected


def test_the_best_level_is_the_lowest_with_the_highest_mean_iou() -> None:
    truth = torch.tensor([[0, 0, 1, 1]], dtype=torch.uint8)
    maps = torch.tensor([[[0.1, 0.25, 0.75, 0.9]]])
    curve = curve_counts(CamSet("a", torch.tensor([1]), maps, (1, 4)), truth, 1)
    assert curve.best() == (0.25, 1.0)
    assert curve.levels()[64] == 0.25


def test_the_curve_meets_the_confusion_of_its_decision() -> None:
    """One photograph, the room's own two ways of counting."""
    cams, truth = example(4)
    peak, best = cams.maps.max(dim=0)
    labels = torch.where(peak > 0.5, cams.classes[best], 0).to(torch.uint8)
    curve = curve_counts(cams, truth, CLASSES)
    direct = confusion(truth, labels, CLASSES)
    assert torch.equal(curve.confusion(128).counts, direct.counts)
    assert curve.mious()[128] == pytest.approx(scores(direct).miou)


def test_a_truth_beyond_the_classes_is_refused() -> None:
    cams, _ = example(0)
    with pytest.raises(ValueError, match="label 7 where labels end at 4"):
        curve_counts(cams, torch.full((8, 11), 7, dtype=torch.uint8), CLASSES)
    with pytest.raises(ValueError, match="label 5 where labels end at 4"):
        curve_counts(cams, torch.full((8, 11), 5, dtype=torch.uint8), CLASSES)
