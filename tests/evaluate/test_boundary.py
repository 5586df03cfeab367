from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.boundary import boundary_by_pixel, rim_by_pixel
from scipy.ndimage import binary_erosion
from torch import Tensor

from tag2mask.evaluate import Boundary, boundary
from tag2mask.evaluate.boundary import rim

SEEDS = st.integers(0, 2**32 - 1)


def blocks(seed: int, size: tuple[int, int]) -> Tensor:
    """Labels 0 … 2 and unknown in blocks of 4 × 4, so that masks have an inside."""
    random = np.random.default_rng(seed)
    values = np.array([0, 1, 1, 2, 255], dtype=np.uint8)
    coarse = random.choice(values, (size[0] // 4 + 1, size[1] // 4 + 1))
    return torch.from_numpy(coarse.repeat(4, 0).repeat(4, 1)[: size[0], : size[1]].copy())


def same(one: Boundary, other: Boundary) -> bool:
    return torch.equal(one.shared, other.shared) and torch.equal(one.joined, other.joined)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 4))
def test_the_rim_pixel_by_pixel_agrees(seed: int, width: int) -> None:
    mask = blocks(seed, (13, 18)) == 1
    assert np.array_equal(rim(mask, width).numpy(), rim_by_pixel(mask.numpy(), width))


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 30])
def test_the_rim_is_what_erosion_takes_away(width: int) -> None:
    mask = torch.zeros(50, 64, dtype=torch.bool)
    mask[3:45, 0:60] = True
    mask[20, 20] = False
    square = np.ones((2 * width + 1, 2 * width + 1))
    inner = binary_erosion(mask.numpy(), square, border_value=0)
    assert np.array_equal(rim(mask, width).numpy(), mask.numpy() & ~inner)


@settings(max_examples=20)
@given(SEEDS)
def test_counting_pixel_by_pixel_agrees(seed: int) -> None:
    truth, labels = blocks(seed, (14, 21)), blocks(seed + 1, (14, 21))
    shared, joined = boundary_by_pixel(truth.numpy(), labels.numpy(), 3)
    found = boundary(truth, labels, 3)
    assert (found.shared.tolist(), found.joined.tolist()) == (shared, joined)


@pytest.mark.parametrize(
    ("size", "width"),
    [((120, 160), 4), ((90, 120), 3), ((60, 63), 2), ((240, 320), 8), ((50, 50), 1), ((9, 9), 1)],
)
def test_the_width_is_two_percent_of_the_diagonal(size: tuple[int, int], width: int) -> None:
    whole = torch.ones(size, dtype=torch.uint8)
    inner = (size[0] - 2 * width) * (size[1] - 2 * width)
    assert boundary(whole, whole, 1).joined.tolist() == [size[0] * size[1] - inner]


def test_a_shifted_edge_costs_more_than_the_region_says() -> None:
    truth = torch.zeros(100, 100, dtype=torch.uint8)
    truth[20:80, 20:80] = 1
    labels = truth.roll(3, 1)
    region = ((truth == 1) & (labels == 1)).sum() / ((truth == 1) | (labels == 1)).sum()
    measured = boundary(truth, labels, 1).iou()
    assert measured is not None
    assert 0 < measured < float(region)


@given(SEEDS)
def test_agreement_on_all_known_pixels_is_one(seed: int) -> None:
    truth = blocks(seed, (15, 17))
    anything = blocks(seed + 1, (15, 17))
    found = boundary(truth, torch.where(truth == 255, anything, truth), 2)
    assert found.iou() in (None, 1.0)


@given(SEEDS)
def test_truth_and_decision_may_change_places_where_all_is_known(seed: int) -> None:
    truth, labels = (blocks(seed + k, (15, 17)).remainder(3) for k in range(2))
    assert same(boundary(truth, labels, 2), boundary(labels, truth, 2))


@given(SEEDS)
def test_relabelling_the_classes_permutes_the_counts(seed: int) -> None:
    truth, labels = blocks(seed, (15, 17)), blocks(seed + 1, (15, 17))
    renamed = torch.full((256,), 255, dtype=torch.uint8)
    renamed[:3] = torch.tensor([0, 2, 1])
    before = boundary(truth, labels, 2)
    after = boundary(renamed[truth.long()], renamed[labels.long()], 2)
    assert same(after, Boundary(before.shared.flip(0), before.joined.flip(0)))


def test_photographs_add_up_before_they_are_divided() -> None:
    one = Boundary(torch.tensor([1, 0, 0]), torch.tensor([2, 0, 4]))
    other = Boundary(torch.tensor([0, 0, 3]), torch.tensor([6, 0, 0]))
    assert (one + other).iou() == pytest.approx((1 / 8 + 3 / 4) / 2)
    assert same(one + Boundary.zeros(3), one)


def test_no_foreground_has_no_boundary() -> None:
    empty = torch.zeros(9, 9, dtype=torch.uint8)
    assert boundary(empty, empty, 2).iou() is None


def test_one_pixel() -> None:
    pixel = torch.ones(1, 1, dtype=torch.uint8)
    assert boundary(pixel, pixel, 1).iou() == 1.0


def test_two_sizes_are_refused_with_both() -> None:
    truth, labels = (torch.zeros(size, dtype=torch.uint8) for size in ((4, 6), (6, 4)))
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(6, 4\)"):
        boundary(truth, labels, 1)
