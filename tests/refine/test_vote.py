"""Region voting against loops over pixels, and what it must keep."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.vote import vote_by_pixel
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.nn.slic import slic
from tag2mask.nn.superpixels import Kind, SuperpixelOptions, superpixels
from tag2mask.refine.contract import Refiner
from tag2mask.refine.vote import RegionVote, VoteOptions, vote, working_size
from tag2mask.types import CamSet

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))


def cams(maps: Tensor, size: tuple[int, int]) -> CamSet:
    return CamSet("a/b", torch.arange(1, len(maps) + 1) * 2, maps, size)


def picture(height: int, width: int) -> Tensor:
    """Two halves of one colour each, with a little noise."""
    colours = torch.full((3, height, width), 60, dtype=torch.uint8)
    colours[:, :, width // 2 :] = 180
    return colours + torch.randint(0, 8, colours.shape, dtype=torch.uint8)


class Fixed:
    """Proposals that are given."""

    def __init__(self, regions: Tensor) -> None:
        self.regions = regions

    def __call__(self, photo: str, image: Tensor) -> Tensor:
        assert photo == "a/b"
        return self.regions


@given(SIZES, st.integers(0, 10_000))
def test_voting_is_the_equation(size: tuple[int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, *size, dtype=torch.float64, generator=generator)
    regions = torch.randint(-2, 4, size, generator=generator) * 7
    expected = torch.from_numpy(vote_by_pixel(maps.numpy(), regions.numpy()))
    torch.testing.assert_close(vote(maps, regions), expected, rtol=0, atol=1e-12)


@given(SIZES, st.integers(0, 10_000))
def test_voting_twice_is_voting_once(size: tuple[int, int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, *size, dtype=torch.float64, generator=generator)
    regions = torch.randint(-1, 3, size, generator=generator)
    once = vote(maps, regions)
    torch.testing.assert_close(vote(once, regions), once, rtol=0, atol=1e-12)


def test_the_names_of_regions_do_not_matter() -> None:
    maps, regions = torch.rand(2, 8, 9), torch.randint(0, 5, (8, 9))
    renamed = torch.tensor([900, 3, 16_777_215, 0, 42])[regions]
    assert torch.equal(vote(maps, renamed), vote(maps, regions))


def test_the_refiner_votes_twice_as_once() -> None:
    image = picture(40, 60)
    refiner: Refiner = RegionVote(VoteOptions(segments=30))
    once = refiner(image, cams(torch.rand(2, 5, 8), (40, 60)))
    twice = refiner(image, once)
    torch.testing.assert_close(twice.maps, once.maps, rtol=0, atol=1e-5)


def test_superpixels_vote_on_the_pixels_of_the_photograph() -> None:
    image, maps = picture(40, 60), torch.rand(2, 40, 60)
    found = RegionVote(VoteOptions(segments=30))(image, cams(maps, (40, 60))).maps
    expected = vote(maps, slic(image, 30))
    expected *= maps.amax((1, 2), keepdim=True) / expected.amax((1, 2), keepdim=True)
    torch.testing.assert_close(found, expected)


def test_superpixels_of_any_size_vote_too() -> None:
    image, maps = picture(40, 60), torch.rand(2, 40, 60)
    options = VoteOptions(segments=9, superpixels="felzenszwalb")
    found = RegionVote(options)(image, cams(maps, (40, 60))).maps
    expected = vote(maps, superpixels(image, SuperpixelOptions("felzenszwalb", 9)))
    expected *= maps.amax((1, 2), keepdim=True) / expected.amax((1, 2), keepdim=True)
    torch.testing.assert_close(found, expected)
    assert len(found[0].unique()) <= 9


@pytest.mark.parametrize("kind", ["slic", "felzenszwalb"])
def test_superpixels_of_long_photographs_are_made_on_the_working_grid(kind: Kind) -> None:
    image = picture(90, 160)
    options = VoteOptions(segments=9, long_side=50, superpixels=kind)
    found = RegionVote(options)(image, cams(torch.rand(1, 90, 160), (90, 160))).maps
    assert found.shape == (1, *working_size((90, 160), 50))
    assert 1 < len(found.unique()) <= 20


def test_a_blurry_map_finds_the_edge() -> None:
    """Colour steps at column 48; the map fades out from there on, far beyond the step."""
    fading = ((72 - torch.arange(96)) / 48).clamp(0, 1).expand(1, 64, 96).contiguous()
    refined = RegionVote(VoteOptions(segments=6))(picture(64, 96), cams(fading, (64, 96))).maps[0]
    step = refined[:, 44:48].mean() - refined[:, 48:52].mean()
    assert step > 0.2
    assert fading[0, :, 44:48].mean() - fading[0, :, 48:52].mean() < 0.1


def test_every_map_keeps_its_maximum() -> None:
    maps = torch.rand(3, 6, 8) * torch.tensor([1.0, 0.3, 0.0])[:, None, None]
    refined = RegionVote()(picture(48, 64), cams(maps, (48, 64))).maps
    torch.testing.assert_close(refined.amax((1, 2)), maps.amax((1, 2)))
    assert refined.min() >= 0


def test_all_zero_maps_stay_zero() -> None:
    found = RegionVote()(picture(20, 30), cams(torch.zeros(2, 5, 6), (20, 30)))
    assert torch.equal(found.maps, torch.zeros(2, 20, 30))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (3, 2)])
def test_tiny_and_thin_photographs(size: tuple[int, int]) -> None:
    found = RegionVote()(picture(*size), cams(torch.rand(1, 2, 2), size))
    assert torch.isfinite(found.maps).all()
    assert found.maps.shape[1:] == size


def test_a_constant_picture_votes_in_squares() -> None:
    image = torch.full((3, 40, 40), 7, dtype=torch.uint8)
    found = RegionVote(VoteOptions(segments=16))(image, cams(torch.rand(1, 5, 5), (40, 40)))
    assert torch.isfinite(found.maps).all()
    assert len(found.maps.unique()) == 16


def test_a_photograph_without_classes() -> None:
    given = CamSet("none", torch.zeros(0, dtype=torch.int64), torch.zeros(0, 6, 8), (20, 30))
    assert RegionVote()(picture(20, 30), given) == given


def test_what_is_not_a_map_is_handed_through() -> None:
    given = cams(torch.rand(2, 6, 8), (50, 70))
    found = RegionVote()(picture(50, 70), given)
    assert (found.id, found.size, found.maps.dtype) == ("a/b", (50, 70), torch.float32)
    assert torch.equal(found.classes, given.classes)


def test_inputs_stay_as_they_are() -> None:
    image, maps = picture(20, 20), torch.rand(2, 20, 20)
    before = image.clone(), maps.clone()
    RegionVote()(image, cams(maps, (20, 20)))
    assert torch.equal(image, before[0])
    assert torch.equal(maps, before[1])


def test_a_large_photograph_is_shrunk() -> None:
    found = RegionVote(VoteOptions(long_side=50))(
        picture(150, 100), cams(torch.rand(1, 4, 4), (150, 100))
    )
    assert found.maps.shape == (1, 50, 33)
    assert found.size == (150, 100)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((375, 500), (375, 500)), ((6000, 4000), (500, 333)), ((1, 3000), (1, 500))],
)
def test_the_grid_is_bounded(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert working_size(size, 500) == expected


def test_proposals_vote_and_the_rest_keeps_its_value() -> None:
    regions = torch.full((8, 10), -1)
    regions[:4, :5] = 70
    maps = torch.rand(1, 8, 10)
    maps[0, 7, 9] = 1
    found = RegionVote(proposals=Fixed(regions))(picture(8, 10), cams(maps, (8, 10))).maps
    expected = maps.clone()
    expected[:, :4, :5] = maps[:, :4, :5].mean()
    torch.testing.assert_close(found, expected)


def test_a_folder_of_region_maps_is_an_option(tmp_path: Path) -> None:
    regions, maps = torch.arange(80).view(8, 10) % 3, torch.rand(1, 8, 10)
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "b.npy", regions.numpy())
    given = cams(maps, (8, 10))
    found = RegionVote(VoteOptions(regions=tmp_path))(picture(8, 10), given)
    expected = RegionVote(proposals=Fixed(regions))(picture(8, 10), given)
    assert torch.equal(found.maps, expected.maps)


def test_proposals_of_a_large_photograph_are_sampled() -> None:
    quarters = torch.arange(4).view(2, 2).repeat_interleave(60, 0).repeat_interleave(90, 1)
    refiner = RegionVote(VoteOptions(long_side=60), Fixed(quarters))
    found = refiner(picture(120, 180), cams(torch.rand(1, 120, 180), (120, 180))).maps[0]
    assert found.shape == (40, 60)
    for rows in (slice(0, 20), slice(20, 40)):
        for columns in (slice(0, 30), slice(30, 60)):
            assert len(found[rows, columns].unique()) == 1


def test_proposals_of_another_size() -> None:
    refiner = RegionVote(proposals=Fixed(torch.zeros(4, 5, dtype=torch.int64)))
    with pytest.raises(InputError, match=r"'a/b' have the shape \(4, 5\).*\(8, 10\) pixels"):
        refiner(picture(8, 10), cams(torch.rand(1, 8, 10), (8, 10)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_maps_that_are_no_numbers_are_refused_by_name(value: float) -> None:
    maps = torch.rand(2, 4, 5)
    maps[1, 2, 3] = value
    with pytest.raises(InputError, match="photograph 'a/b' hold NaN or infinity"):
        RegionVote()(picture(20, 30), cams(maps, (20, 30)))


def test_maps_of_another_photograph() -> None:
    with pytest.raises(InputError, match=r"'a/b' has \(20, 30\) pixels.*\(30, 20\)"):
        RegionVote()(picture(20, 30), cams(torch.rand(1, 4, 5), (30, 20)))


@pytest.mark.parametrize(
    ("values", "name"),
    [({"segments": 0}, "--vote.segments 0"), ({"long_side": 0}, "--vote.long-side 0")],
)
def test_options_that_cannot_be(values: dict[str, int], name: str) -> None:
    with pytest.raises(InputError, match=name):
        VoteOptions(**values)
