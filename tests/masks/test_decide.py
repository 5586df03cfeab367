"""The decision against loops over pixels, and its edges."""

from __future__ import annotations

import pytest
import torch
from oracles.threshold import threshold_by_pixel
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.masks import threshold
from tag2mask.types import CamSet


def cams(maps: Tensor, classes: list[int], size: tuple[int, int]) -> CamSet:
    return CamSet("p", torch.tensor(classes), maps, size)


@pytest.mark.parametrize("confident", [None, 0.6])
@pytest.mark.parametrize(
    ("grid", "size"),
    [((3, 4), (11, 17)), ((5, 5), (5, 5)), ((1, 1), (3, 2)), ((2, 3), (1, 1)), ((9, 8), (4, 3))],
)
def test_every_pixel(grid: tuple[int, int], size: tuple[int, int], confident: float | None) -> None:
    maps = torch.rand(3, *grid, dtype=torch.float64)
    found = threshold(cams(maps, [2, 3, 20], size), 0.45, confident)
    expected = threshold_by_pixel(maps.numpy(), [2, 3, 20], size, 0.45, confident)
    assert found.labels.numpy().tolist() == expected.tolist()
    assert found.id == "p"


def test_of_equal_classes_the_lowest_label_wins() -> None:
    maps = torch.full((4, 6, 6), 0.75)
    assert threshold(cams(maps, [3, 4, 9, 254], (12, 12)), 0.5).labels.unique().tolist() == [3]


def test_a_class_must_beat_the_level_not_meet_it() -> None:
    maps = torch.tensor([[[0.25, 0.5, 0.75, 1.0]]])
    labels = threshold(cams(maps, [7], (1, 4)), 0.5, 0.75).labels
    assert labels.tolist() == [[0, 0, 255, 7]]


def test_without_classes_all_is_background() -> None:
    none = CamSet("p", torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4, 4), (6, 5))
    labels = threshold(none, 0.0, 0.5).labels
    assert labels.shape == (6, 5)
    assert labels.unique().tolist() == [0]


def test_a_class_without_evidence_is_nowhere() -> None:
    assert threshold(cams(torch.zeros(1, 3, 3), [1], (9, 9)), 0.0).labels.unique().tolist() == [0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_by_name(value: float) -> None:
    maps = torch.tensor([[[0.2, value]]])
    with pytest.raises(InputError, match="photograph 'p/7' hold NaN or infinity"):
        threshold(CamSet("p/7", torch.tensor([3]), maps, (4, 8)), 0.5)


def test_one_pixel() -> None:
    maps = torch.tensor([[[0.2, 0.4]], [[0.0, 0.9]]])
    labels = threshold(CamSet("p", torch.tensor([3, 5]), maps, (1, 1)), 0.3).labels
    assert labels.tolist() == [[5]]
