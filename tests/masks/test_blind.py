"""Blind levels against scikit-image, and how the histogram adds up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.filters import threshold_minimum, threshold_otsu
from torch import Tensor

from tag2mask.masks import PeakHistogram, blind_level, mean_level, otsu, raised_mean, valley
from tag2mask.masks.blind import SHARE
from tag2mask.types import CamSet


def cams(maps: Tensor) -> CamSet:
    return CamSet("p", torch.arange(1, len(maps) + 1), maps, (8, 8))


def two_groups(low: float, high: float, share: float, spread: float) -> np.ndarray:
    """Bytes around two means."""
    generator = np.random.default_rng(0)
    first = generator.random(6000) < share
    values = np.where(first, low, high) + generator.normal(0, spread, 6000)
    return values.clip(0, 255).round().astype(np.uint8)


def histogram(values: np.ndarray) -> PeakHistogram:
    return PeakHistogram(torch.from_numpy(np.bincount(values, minlength=256)))


SAMPLES = [(60, 180, 0.5, 20), (30, 120, 0.8, 10), (90, 200, 0.3, 30), (20, 230, 0.95, 5)]


@pytest.mark.parametrize("sample", SAMPLES)
def test_otsu_is_scikit_images(sample: tuple[float, ...]) -> None:
    values = two_groups(*sample)
    assert otsu(histogram(values)) == (threshold_otsu(values) + 0.5) / 255


@pytest.mark.parametrize("sample", [(60, 180, 0.5, 20), (40, 120, 0.8, 10), (90, 200, 0.3, 20)])
def test_valley_is_scikit_images(sample: tuple[float, ...]) -> None:
    values = two_groups(*sample)
    counts = np.bincount(values, minlength=256).astype(np.float64)
    expected = threshold_minimum(hist=(counts, np.arange(256)))
    assert valley(histogram(values)) == (expected + 0.5) / 255


def test_a_peak_at_the_end_of_the_scale_is_a_peak() -> None:
    values = np.concatenate([two_groups(60, 60, 1, 10), np.full(3000, 255, dtype=np.uint8)])
    assert 90 / 255 < valley(histogram(values)) < 250 / 255


def test_one_group_has_no_valley() -> None:
    hill = (100 - (torch.arange(256) - 120).abs()).clamp(min=0)
    assert valley(PeakHistogram(hill)) == otsu(PeakHistogram(hill))


def test_the_mean_is_the_mean() -> None:
    values = two_groups(60, 180, 0.5, 20)
    assert mean_level(histogram(values)) == pytest.approx(values.mean() / 255)


def test_the_raised_mean_is_half_a_deviation_above_it() -> None:
    values = two_groups(60, 180, 0.5, 20)
    expected = (values.mean() + values.std() / 2) / 255
    assert raised_mean(histogram(values)) == pytest.approx(expected, abs=1e-12)
    assert blind_level(histogram(values)) == raised_mean(histogram(values))


def test_the_raised_mean_can_be_beaten() -> None:
    """Where nearly everything is certain, mean and deviation add up to more than one."""
    values = np.array([0] * 2 + [255] * 8)
    assert values.mean() + values.std() / 2 > 254.5
    assert raised_mean(histogram(values)) < 1


def test_a_level_divides_two_values() -> None:
    for rule in (otsu, valley, mean_level, blind_level):
        assert 50 / 255 < rule(histogram(np.repeat([50, 200], 9).astype(np.uint8))) < 200 / 255


def test_without_two_different_values_the_level_is_the_middle() -> None:
    assert otsu(PeakHistogram.zeros()) == valley(PeakHistogram.zeros()) == 0.5
    assert mean_level(PeakHistogram.zeros()) == raised_mean(PeakHistogram.zeros()) == 0.5
    assert otsu(histogram(np.full(5, 77))) == 0.5


def test_levels_stay_below_one() -> None:
    assert otsu(histogram(np.array([254, 255]))) < 1


def test_the_best_map_counts() -> None:
    maps = torch.tensor([[[0.0, 51 / 255], [1.0, 0.2]], [[102 / 255, 0.0], [0.5, 0.2]]])
    counts = PeakHistogram.of(cams(maps)).counts
    assert counts.nonzero().flatten().tolist() == [51, 102, 255]
    assert (counts[[51, 102, 255]] * 4 // SHARE).tolist() == [2, 1, 1]


@pytest.mark.parametrize("grid", [(1, 1), (3, 7), (37, 50)])
def test_every_photograph_weighs_the_same(grid: tuple[int, int]) -> None:
    counts = PeakHistogram.of(cams(torch.rand(2, *grid))).counts
    assert int(counts.sum()) == SHARE
    assert int(counts.min()) >= 0


def test_photographs_without_tags_are_left_out() -> None:
    assert int(PeakHistogram.of(cams(torch.zeros(0, 4, 4))).counts.sum()) == 0


def test_histograms_add_up_in_any_order() -> None:
    first, second, third = (PeakHistogram.of(cams(torch.rand(1, 5, 5))) for _ in range(3))
    left = (PeakHistogram.zeros() + first + second) + third
    right = third + (second + first)
    assert torch.equal(left.counts, right.counts)
    assert int(left.counts.sum()) == 3 * SHARE
