"""A sweep is thresholding one by one: at any levels, and for powers of the background."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.evaluate import Curve, confusion, sweep
from tag2mask.masks import alpha_level, threshold
from tag2mask.types import CamSet, Confusion

CLASSES = 4
SEEDS = st.integers(0, 2**32 - 1)
HUNDREDTHS = [k / 100 for k in range(60)]
CLOSE = [0.5, 0.5 + 2**-20, 0.5 + 2**-19, 0.9]  # several in one cell of any table


def pair(seed: int, levels: list[float]) -> tuple[CamSet, Tensor]:
    """Half of the cells lie on a level, so that beating and meeting differ."""
    random = np.random.default_rng(seed)
    present = sorted(random.choice([1, 2, 3, 4], random.integers(0, 4), replace=False).tolist())
    grid = tuple(random.integers(1, 7, 2).tolist())
    size = grid if random.random() < 0.5 else tuple(random.integers(1, 20, 2).tolist())
    maps = random.random((len(present), *grid)).astype(np.float32)
    met = random.choice(np.array(levels, np.float32), maps.shape)
    maps = np.where(random.random(maps.shape) < 0.5, met, maps)
    truth = random.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), size)
    classes = torch.tensor(present, dtype=torch.int64)
    return CamSet("a", classes, torch.from_numpy(maps), size), torch.from_numpy(truth)


@settings(max_examples=25)
@given(SEEDS, st.sampled_from([HUNDREDTHS, CLOSE, [0.3], [k / 256 for k in range(256)]]))
def test_every_level_counts_what_thresholding_there_counts(seed: int, levels: list[float]) -> None:
    pairs = [pair(seed + n, levels) for n in range(3)]
    curve = sweep(pairs, CLASSES, levels)
    assert curve.levels() == levels
    for k in {0, len(levels) // 3, len(levels) - 1}:
        expected = Confusion.zeros(CLASSES + 1)
        for cams, truth in pairs:
            expected += confusion(truth, threshold(cams, levels[k]).labels, CLASSES)
        assert torch.equal(curve.confusion(k).counts, expected.counts)


@settings(max_examples=25)
@given(SEEDS)
def test_powers_of_the_background_fall_out_of_the_same_pass(seed: int) -> None:
    alphas = [32.0, 16.0, 8.0, 4.0, 2.0, 1.0]
    levels = [alpha_level(alpha) for alpha in alphas]
    cams, truth = pair(seed, levels)
    if tuple(cams.maps.shape[1:]) != cams.size or not len(cams.classes):
        return
    curve = sweep([(cams, truth)], CLASSES, levels)
    best, winner = cams.maps.max(dim=0)
    for k, alpha in enumerate(alphas):
        background = (1 - best.double()) ** alpha
        labels = torch.where(best.double() > background, cams.classes[winner], 0)
        expected = confusion(truth, labels.to(torch.uint8), CLASSES)
        assert torch.equal(curve.confusion(k).counts, expected.counts)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_broken_maps_are_refused_by_name(broken: float) -> None:
    cams = CamSet("cat_7", torch.tensor([1]), torch.full((1, 2, 2), broken), (2, 2))
    with pytest.raises(InputError, match="cat_7"):
        sweep([(cams, torch.zeros(2, 2, dtype=torch.uint8))], CLASSES)


@pytest.mark.parametrize("levels", [[], [0.5, 0.5], [0.5, 0.2], [0.1, float("nan")]])
def test_levels_that_do_not_ascend_are_refused(levels: list[float]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        sweep([], CLASSES, levels)


def test_curves_of_different_levels_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="different levels"):
        Curve.zeros(1, [0.1]) + Curve.zeros(1, [0.2])
