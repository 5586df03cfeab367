"""Boxes of maps: every level against a flood fill of that level alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.boxes import Box, inclusive_iou, ious_at
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.evaluate import BoxCounts, box_counts, class_ranks, label_counts
from tag2mask.evaluate.boxes import IOUS, iou, overlaps
from tag2mask.types import Boxes, CamSet

LEVELS = tuple(k / 8 for k in range(8))
SIDES = st.tuples(st.integers(1, 14), st.integers(1, 14))


def drawn(size: tuple[int, int], *boxes: tuple[int, Box]) -> Boxes:
    edges = torch.tensor([box for _, box in boxes], dtype=torch.float64).reshape(-1, 4)
    classes = torch.tensor([label for label, _ in boxes], dtype=torch.int64)
    return Boxes("a", classes, edges, torch.ones(len(boxes), dtype=torch.float64), size)


def cams(maps: torch.Tensor, size: tuple[int, int], classes: Sequence[int] = (1,)) -> CamSet:
    return CamSet("a", torch.tensor(classes, dtype=torch.int64), maps.float(), size)


def random_boxes(random: np.random.Generator, size: tuple[int, int], count: int) -> list[Box]:
    boxes = []
    for _ in range(count):
        top, left = (int(random.integers(0, extent)) for extent in size)
        bottom = int(random.integers(top + 1, size[0] + 1))
        boxes.append((left, top, int(random.integers(left + 1, size[1] + 1)), bottom))
    return boxes


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), SIDES, st.integers(1, 3), st.sampled_from([2, 4, 9]))
def test_every_level_is_a_flood_fill_at_that_level(
    seed: int, size: tuple[int, int], count: int, steps: int
) -> None:
    random = np.random.default_rng(seed)
    values = (random.integers(0, steps, size) / (steps - 1)).astype(np.float32)  # many ties
    truth = random_boxes(random, size, count)
    beaten = np.array([[sum(v > k for k in LEVELS) for v in row] for row in values], np.int32)
    largest, best = overlaps(beaten, np.array(truth, dtype=np.float64), len(LEVELS))
    expected = [ious_at(values, level, truth) for level in LEVELS]
    assert np.allclose(largest, [one for one, _ in expected], atol=1e-12)
    assert np.allclose(best, [some for _, some in expected], atol=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), SIDES, st.booleans())
def test_counts_are_of_the_enlarged_map_at_every_level(
    seed: int, size: tuple[int, int], stretch: bool
) -> None:
    random = np.random.default_rng(seed)
    maps = torch.from_numpy(random.random((1, 4, 3))) * 0.5 + 0.2
    photograph = (2 * size[0], 3 * size[1])
    truth = random_boxes(random, size, 2)
    wide = [(1, (3 * x0, 2 * y0, 3 * x1, 2 * y1)) for x0, y0, x1, y1 in truth]
    counts = box_counts(
        cams(maps, photograph), drawn(photograph, *wide), LEVELS, grid=size, stretch=stretch
    )
    full = functional.interpolate(maps.float()[None], size, mode="bilinear")[0, 0].numpy()
    if stretch:
        spread = full.max() - full.min()
        full = (full - full.min()) / spread if spread else 0 * full
    for k, level in enumerate(LEVELS):
        largest, best = ious_at(full, level, truth)
        if min(abs(o - t) for o in (largest, best) for t in IOUS) > 1e-9:
            assert counts.largest[k].tolist() == [largest >= t for t in IOUS]
            assert counts.any[k].tolist() == [best >= t for t in IOUS]


def rectangle(box: tuple[int, int, int, int], size: tuple[int, int] = (224, 224)) -> torch.Tensor:
    values = torch.zeros(1, *size)
    left, top, right, bottom = box
    values[0, top:bottom, left:right] = 1
    return values


def test_a_drawn_rectangle_is_found_exactly() -> None:
    box = (30, 50, 101, 200)
    beaten = rectangle(box)[0].int().numpy()
    largest, best = overlaps(beaten, np.array([box], dtype=np.float64), 1)
    assert largest.tolist() == best.tolist() == [1.0]
    counts = box_counts(cams(rectangle(box), (224, 224)), drawn((224, 224), (1, box)))
    assert counts.max_box_acc() == (0.0, 1.0)
    assert counts.max_box_acc_v2() == 1.0
    assert counts.accuracy(255) == 1.0


def test_a_box_is_scaled_with_its_photograph() -> None:
    box = (30.0, 50.0, 100.0, 200.0)
    small = tuple(edge / 2 for edge in box)
    counts = box_counts(
        cams(rectangle((30, 50, 100, 200)), (112, 112)), drawn((112, 112), (1, small))
    )
    assert counts.max_box_acc() == (0.0, 1.0)
    with pytest.raises(ValueError, match="true boxes are of"):
        box_counts(cams(rectangle((30, 50, 100, 200)), (112, 112)), drawn((224, 224), (1, box)))


def test_only_version_two_sees_the_smaller_component_and_every_true_box() -> None:
    large, small, far = (0, 0, 100, 100), (150, 150, 200, 200), (0, 150, 20, 200)
    maps = (rectangle(large) + rectangle(small)).clamp(max=1)
    counts = box_counts(cams(maps, (224, 224)), drawn((224, 224), (1, small), (1, far)))
    assert counts.max_box_acc() == (0.0, 0.0)
    assert counts.max_box_acc_v2() == 1.0
    both = box_counts(cams(maps, (224, 224)), drawn((224, 224), (1, small), (1, large)))
    assert both.max_box_acc() == (0.0, 1.0)


def test_equal_components_the_first_in_reading_order() -> None:
    upper, lower = (150, 10, 200, 60), (10, 100, 60, 150)
    maps = rectangle(upper) + rectangle(lower)
    for box, share in ((upper, 1.0), (lower, 0.0)):
        counts = box_counts(cams(maps, (224, 224)), drawn((224, 224), (1, box)))
        assert counts.max_box_acc() == (0.0, share)


def test_corners_connect() -> None:
    maps = rectangle((0, 0, 50, 50)) + rectangle((50, 50, 100, 100))
    counts = box_counts(cams(maps, (224, 224)), drawn((224, 224), (1, (0, 0, 100, 100))))
    assert counts.max_box_acc() == (0.0, 1.0)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_map_of_one_value_is_missed(value: float) -> None:
    truth = drawn((224, 224), (1, (0, 0, 224, 224)))
    counts = box_counts(cams(torch.full((1, 3, 3), value), (224, 224)), truth)
    assert counts.objects == 1
    assert counts.max_box_acc() == (0.0, 0.0)
    assert counts.max_box_acc_v2() == 0.0


def test_a_class_without_a_map_is_missed_and_a_map_without_a_box_is_not_counted() -> None:
    box = (0, 0, 100, 100)
    counts = box_counts(cams(rectangle(box), (224, 224), [2]), drawn((224, 224), (3, box)))
    assert (counts.objects, int(counts.any.sum())) == (1, 0)
    nothing = box_counts(cams(rectangle(box), (224, 224), [2]), drawn((224, 224)))
    assert (nothing.objects, nothing.max_box_acc(), nothing.max_box_acc_v2()) == (0, None, None)
    assert nothing.accuracy(0) is nothing.by_iou() is nothing.localised(1, 0) is None
    untagged = box_counts(cams(torch.zeros(0, 3, 3), (224, 224), []), drawn((224, 224), (3, box)))
    assert (untagged.objects, int(untagged.any.sum())) == (1, 0)


def test_every_class_of_a_photograph_counts_once_with_its_own_map() -> None:
    one, two = (0, 0, 100, 100), (120, 120, 220, 200)
    maps = torch.cat([rectangle(one), rectangle(two)])
    truth = drawn((224, 224), (2, one), (5, two), (5, two))
    assert box_counts(cams(maps, (224, 224), [2, 5]), truth).max_box_acc() == (0.0, 1.0)
    swapped = box_counts(cams(maps.flip(0), (224, 224), [2, 5]), truth)
    assert (swapped.objects, swapped.max_box_acc()) == (2, (0.0, 0.0))


def test_top_one_and_top_five_ask_for_the_class_too() -> None:
    box = (0, 0, 100, 100)
    truth, maps = drawn((224, 224), (1, box)), cams(rectangle(box), (224, 224))
    total = BoxCounts.zeros()
    for rank in (1, 2, 5, 6, None):
        ranks = None if rank is None else {1: rank}
        total += box_counts(maps, truth, ranks=ranks)
    assert (total.objects, total.ranked) == (5, 4)
    assert (total.localised(1, 0), total.localised(5, 0)) == (0.25, 0.75)
    missed = box_counts(maps, drawn((224, 224), (1, (200, 200, 210, 210))), ranks={1: 1})
    assert missed.localised(1, 0) == missed.localised(5, 0) == 0.0


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.data())
def test_a_rank_is_a_place_in_the_sorted_list(values: list[int], data: st.DataObject) -> None:
    """Every class with a box against those without: sorted, and behind whatever is as good."""
    labels = st.lists(st.integers(1, len(values)), max_size=len(values))
    present = data.draw(labels)
    truth = drawn((9, 9), *((label, (0, 0, 4, 4)) for label in present))
    found = class_ranks(torch.tensor(values, dtype=torch.float32), truth)
    assert set(found) == set(present)
    absent = [value for label, value in enumerate(values, 1) if label not in present]
    for label, rank in found.items():
        own = values[label - 1]
        ordered = sorted([(value, 1) for value in absent] + [(own, 0)], reverse=True)
        assert rank == ordered.index((own, 0)) + 1


def test_top_one_with_one_class_is_the_best_score_of_all() -> None:
    box = (0, 0, 100, 100)
    labels = torch.zeros(224, 224, dtype=torch.uint8)
    labels[:100, :100] = 2
    truth = drawn((224, 224), (2, box))
    for logits, share in (([0.0, 1.0, 0.5], 1.0), ([2.0, 1.0, 0.5], 0.0), ([1.0] * 3, 0.0)):
        ranks = class_ranks(torch.tensor(logits), truth)
        assert label_counts(labels, truth, ranks).localised(1, 0) == share
        assert label_counts(labels, truth, ranks).localised(5, 0) == 1.0
    unseen = class_ranks(torch.full((3,), torch.nan), truth)  # a broken classifier earns nothing
    assert label_counts(labels, truth, unseen).localised(1, 0) == 0.0


def test_the_best_level_is_chosen_once_for_all_photographs() -> None:
    """One photograph is right only below 0.5, the other only above: together one half."""
    inner, outer = (50, 50, 80, 80), (0, 0, 200, 200)
    maps = cams(rectangle(outer) * 0.5 + rectangle(inner) * 0.5, (224, 224))
    low = box_counts(maps, drawn((224, 224), (1, outer)))
    high = box_counts(maps, drawn((224, 224), (1, inner)))
    assert low.max_box_acc() == (0.0, 1.0)
    assert high.max_box_acc() == (0.5, 1.0)
    assert (low + high).max_box_acc() == (0.0, 0.5)
    assert (low + high).objects == 2


def test_version_two_is_the_mean_over_the_overlaps() -> None:
    counts = box_counts(
        cams(rectangle((0, 0, 100, 100)), (224, 224)), drawn((224, 224), (1, (0, 0, 100, 60)))
    )
    assert counts.by_iou() == {0.3: 1.0, 0.5: 1.0, 0.7: 0.0}
    assert counts.max_box_acc_v2() == pytest.approx(2 / 3)


def test_labels_are_a_map_of_one_level() -> None:
    labels = torch.zeros(40, 60, dtype=torch.uint8)
    labels[5:20, 10:30], labels[30:35, 40:45], labels[0, 0] = 2, 2, 255
    truth = drawn((40, 60), (2, (10, 5, 30, 20)), (1, (0, 0, 10, 10)))
    counts = label_counts(labels, truth)
    assert (counts.objects, counts.accuracy(0), counts.max_box_acc_v2()) == (2, 0.5, 0.5)


def test_iou_is_that_of_first_and_last_pixels() -> None:
    random = np.random.default_rng(0)
    ours, theirs = random_boxes(random, (9, 9), 12), random_boxes(random, (9, 9), 7)
    expected = [[inclusive_iou(one, other) for other in theirs] for one in ours]
    assert np.allclose(iou(np.array(ours, float), np.array(theirs, float)), expected)
    assert iou(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0.0]]


def test_what_cannot_be_counted() -> None:
    with pytest.raises(InputError, match="'a' hold NaN"):
        box_counts(cams(torch.full((1, 2, 2), torch.nan), (4, 4)), drawn((4, 4)))
    with pytest.raises(ValueError, match="ascend"):
        BoxCounts.zeros((0.5, 0.5))
    with pytest.raises(ValueError, match="different levels"):
        BoxCounts.zeros() + BoxCounts.zeros((0.5,))
