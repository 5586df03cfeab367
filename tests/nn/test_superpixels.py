"""Superpixels of drawn pictures, and merging against a search over all pairs."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.nn.superpixels import SuperpixelOptions, merge, superpixels


def picture() -> Tensor:
    """A red square on a grey ground with a little noise."""
    image = torch.full((3, 96, 120), 120.0) + 6 * torch.randn(3, 96, 120)
    image[:, 30:70, 20:60] = torch.tensor([220.0, 30, 30])[:, None, None]
    return image.round().clamp(0, 255).to(torch.uint8)


def merged_by_search(regions: Tensor, colours: Tensor, count: int) -> Tensor:
    regions = regions.clone()
    while len(numbers := regions.unique().tolist()) > count:
        best: tuple[float, int, int] | None = None
        for i, j in itertools.combinations(numbers, 2):
            one, other = regions == i, regions == j
            touch = (one[1:] & other[:-1]).any() | (other[1:] & one[:-1]).any()
            touch |= (one[:, 1:] & other[:, :-1]).any() | (other[:, 1:] & one[:, :-1]).any()
            if touch:
                gap = colours[:, one].mean(1) - colours[:, other].mean(1)
                cost = float(gap.norm()) / 100 + float((one | other).sum()) / regions.numel()
                best = min(best or (cost, i, j), (cost, i, j))
        assert best is not None
        regions[regions == best[2]] = best[1]
    return regions.unique(return_inverse=True)[1]


@pytest.mark.parametrize("count", [1, 4, 9, 100])
def test_merging_is_the_search_over_all_pairs(count: int) -> None:
    blocks = torch.randperm(24).view(4, 6)
    regions = blocks.repeat_interleave(3, 0).repeat_interleave(2, 1)
    colours = 40 * torch.randn(3, *regions.shape, dtype=torch.float64)
    assert torch.equal(merge(regions, colours, count), merged_by_search(regions, colours, count))


@pytest.mark.parametrize("kind", ["felzenszwalb", "slic"])
def test_an_object_of_one_colour_is_not_mixed_with_its_ground(kind: str) -> None:
    regions = superpixels(picture(), SuperpixelOptions(kind, 40))  # type: ignore[arg-type]
    inside = torch.zeros(96, 120, dtype=torch.bool)
    inside[30:70, 20:60] = True
    mixed = sum(
        min(int((inside & (regions == n)).sum()), int((~inside & (regions == n)).sum()))
        for n in regions.unique().tolist()
    )
    assert mixed <= 0.05 * int(inside.sum())


@pytest.mark.parametrize("count", [1, 5, 64])
def test_regions_are_few_and_numbered_from_zero(count: int) -> None:
    noise = torch.randint(0, 256, (3, 100, 130), dtype=torch.uint8)
    regions = superpixels(noise, SuperpixelOptions(count=count))
    assert regions.shape == (100, 130)
    assert regions.unique().tolist() == list(range(int(regions.max()) + 1))
    assert int(regions.max()) < count


def test_long_photographs_are_made_small_first() -> None:
    regions = superpixels(torch.zeros(3, 400, 640, dtype=torch.uint8), SuperpixelOptions())
    assert regions.shape == (200, 320)
    assert int(regions.max()) == 0


def test_no_region_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="expected 1 or more"):
        SuperpixelOptions(count=0)
