from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from tag2mask.evaluate import quality
from tag2mask.types import UNKNOWN


def labels_of(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8)


def test_agreement_is_the_mean_iou_of_what_occurs_and_unknown_does_not_count() -> None:
    one = labels_of([0, 0, 1, 1], [0, 0, 1, UNKNOWN])
    other = labels_of([0, 1, 1, 2], [0, 0, 1, 1])
    expected = (3 / 4 + 2 / 4 + 0 / 1) / 3  # background, 1, 2
    assert quality.agreement(one, other, 5) == pytest.approx(expected)
    assert quality.agreement(other, one, 5) == pytest.approx(expected)
    assert quality.agreement(one, one, 5) == 1


def test_certainty_counts_cells_away_from_the_level() -> None:
    best = torch.tensor([[0.0, 0.3, 0.4], [0.6, 0.7, 1.0]])
    assert quality.certainty(best, 0.5) == pytest.approx(4 / 6)


def weaker(image: torch.Tensor, labels: torch.Tensor) -> float:
    """The equation as loops: for every contour pixel, how many pixels have a weaker gradient."""
    _, height, width = image.shape
    grey = image.double().mean(0)
    smooth = torch.zeros(height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            near = grey[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            smooth[y, x] = near.mean()
    length = torch.zeros(height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            across = smooth[y, min(width - 1, x + 1)] - smooth[y, max(0, x - 1)]
            down = smooth[min(height - 1, y + 1), x] - smooth[max(0, y - 1), x]
            length[y, x] = math.hypot(across, down)
    shares = [
        float((length < length[y, x] - 1e-9).double().mean())
        for y in range(height)
        for x in range(width)
        if (x and labels[y, x] != labels[y, x - 1]) or (y and labels[y, x] != labels[y - 1, x])
    ]
    return sum(shares) / len(shares) if shares else 0.0


def test_edges_are_ranked_as_by_counting() -> None:
    image = torch.randint(0, 256, (3, 11, 13), dtype=torch.uint8)
    labels = torch.randint(0, 2, (11, 13), dtype=torch.uint8)
    assert quality.edge_alignment(image, labels) == pytest.approx(weaker(image, labels), abs=0.01)


def test_a_contour_on_the_edge_beats_one_beside_it_and_none_is_nothing() -> None:
    image = torch.zeros(3, 40, 40, dtype=torch.uint8)
    image[:, 10:30, 10:30] = 200
    image += torch.randint(0, 20, image.shape, dtype=torch.uint8)
    true, beside = (torch.zeros(40, 40, dtype=torch.uint8) for _ in range(2))
    true[10:30, 10:30] = 1
    beside[3:17, 3:17] = 1
    assert quality.edge_alignment(image, true) > 0.85 > quality.edge_alignment(image, beside)
    assert quality.edge_alignment(image, torch.zeros_like(true)) == 0


@pytest.mark.parametrize(
    ("rows", "expected"), [(0, 0.0), (1, 1.0), (60, 1.0), (130, 0.5), (200, 0.0)]
)
def test_a_plausible_area_is_neither_nothing_nor_everything(rows: int, expected: float) -> None:
    labels = torch.zeros(200, 10, dtype=torch.uint8)
    labels[:rows] = 3
    found = quality.area_plausibility(labels)
    assert found == pytest.approx(min(1, rows / 2) * expected if rows < 2 else expected)


def test_maps_agree_whatever_their_height() -> None:
    maps = torch.rand(2, 4, 5) + 0.1
    assert quality.map_agreement(maps, 3 * maps) == pytest.approx(1)
    halves = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 2.0, 2.0, 0.0]]])
    assert quality.map_agreement(*halves) == pytest.approx(1 / 3)
    assert quality.map_agreement(maps[:0], maps[:0]) == 0


def test_outside_a_mask_is_the_mean_colour() -> None:
    image = torch.rand(3, 4, 4)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0, 0] = True
    found = quality.with_mask_alone(image, mask)
    assert torch.equal(found[:, 0, 0], image[:, 0, 0])
    assert torch.allclose(found[:, 1:], image.mean((1, 2))[:, None, None].expand(3, 3, 4))


def test_recognised_is_the_mean_probability() -> None:
    assert quality.recognised(torch.tensor([0.0, math.log(3)])) == pytest.approx((0.5 + 0.75) / 2)
    assert quality.recognised(torch.zeros(0)) == 0


@given(some.dictionaries(some.sampled_from([*quality.COMBINED, "area", "kept"]), some.floats(0, 1)))
def test_the_estimate_is_the_mean_of_what_is_combined(measures: dict[str, float]) -> None:
    known = [value for name, value in measures.items() if name in quality.COMBINED]
    expected = sum(known) / len(known) if known else 0
    assert quality.estimate(measures) == pytest.approx(expected)
    assert bool(quality.doubts(measures, [])) == (bool(known) and expected < quality.DOUBTFUL)


def test_reasons_come_from_the_weakest_measures() -> None:
    sure = dict.fromkeys(quality.COMBINED, 0.9)
    assert quality.doubts(sure, []) == ()
    assert quality.doubts(sure, ["cat"]) == ("no pixel of cat",)
    poor = dict.fromkeys(quality.COMBINED, 0.52) | {"edges": 0.3, "agreement": 0.2}
    reasons = (quality.REASONS["agreement"], quality.REASONS["edges"])
    assert quality.doubts(poor, []) == reasons
    level = dict.fromkeys(quality.COMBINED, 0.54) | {"edges": 0.51}
    assert quality.doubts(level, []) == (quality.REASONS["edges"],)
