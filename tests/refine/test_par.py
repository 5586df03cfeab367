"""PAR against loops over cells, and what every average over neighbours must keep."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracles.par import affinity_by_cell, position, propagate_by_cell, varm_by_cell
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.refine import PAR, PAROptions, Refiner
from tag2mask.refine.par import affinity, grid_size, propagate
from tag2mask.types import CamSet

SMALL = PAROptions(iterations=3, dilations=(1, 2, 5), stride=1)


def picture(height: int, width: int) -> Tensor:
    """Colours with flat places, for they have no spread."""
    colours = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    colours[:, : height // 2] = 40
    return colours


def cams(maps: Tensor, size: tuple[int, int]) -> CamSet:
    return CamSet("a/b", torch.arange(1, len(maps) + 1) * 2, maps, size)


@pytest.mark.parametrize("size", [(7, 9), (16, 5), (1, 1), (1, 6)])
def test_affinity_is_the_equation(size: tuple[int, int]) -> None:
    image = torch.rand(3, *size, dtype=torch.float64) * 255
    expected = torch.from_numpy(affinity_by_cell(image.numpy(), SMALL.dilations))
    torch.testing.assert_close(affinity(image, SMALL), expected, rtol=0, atol=1e-9)


def test_affinity_is_the_equation_at_flat_places() -> None:
    image = picture(16, 7).double()
    expected = torch.from_numpy(affinity_by_cell(image.numpy(), SMALL.dilations))
    torch.testing.assert_close(affinity(image, SMALL), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [(7, 9), (16, 5), (1, 1), (1, 6)])
def test_the_variant_of_rtc_is_its_equation(size: tuple[int, int]) -> None:
    options = replace(SMALL, kernel="varm")
    image = torch.rand(3, *size, dtype=torch.float64) * 255
    expected = torch.from_numpy(varm_by_cell(image.numpy(), SMALL.dilations))
    torch.testing.assert_close(affinity(image, options), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kernel", ["par", "varm"])
def test_a_batch_is_its_pictures_one_by_one(kernel: str) -> None:
    options = replace(SMALL, kernel=kernel)
    images = torch.rand(2, 3, 12, 9, dtype=torch.float64) * 255
    maps = torch.rand(2, 4, 12, 9, dtype=torch.float64)
    together = propagate(maps, affinity(images, options), options)
    for image, own, found in zip(images, maps, together, strict=True):
        alone = propagate(own, affinity(image, options), options)
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-12)


def test_a_flat_picture_leaves_only_position() -> None:
    found = affinity(torch.full((3, 4, 4), 0.1, dtype=torch.float64), SMALL)
    near = torch.tensor(position(SMALL.dilations), dtype=torch.float64)
    torch.testing.assert_close(found[:, 2, 2], (1 / 24 + 0.01 * near) / 1.01, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [(7, 9), (1, 1), (3, 1)])
def test_propagation_is_the_equation(size: tuple[int, int]) -> None:
    maps = torch.rand(2, *size, dtype=torch.float64)
    kernel = torch.rand(24, *size, dtype=torch.float64)
    kernel /= kernel.sum(0)
    expected = propagate_by_cell(maps.numpy(), kernel.numpy(), SMALL.dilations, SMALL.iterations)
    found = propagate(maps, kernel, SMALL)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-9)


@pytest.mark.parametrize("variant", ["par", "varm"])
def test_a_constant_map_stays_constant(variant: str) -> None:
    options = PAROptions(kernel=variant)
    kernel = affinity(picture(30, 40).float(), options)
    maps = torch.full((1, 30, 40), 0.7)
    torch.testing.assert_close(propagate(maps, kernel, options), maps, rtol=0, atol=1e-5)


def test_no_value_leaves_the_range_of_its_map() -> None:
    options = PAROptions()
    kernel = affinity(picture(30, 40).double(), options)
    maps = torch.rand(3, 30, 40, dtype=torch.float64)
    found = propagate(maps, kernel, options)
    assert (found.amax((1, 2)) <= maps.amax((1, 2)) + 1e-12).all()
    assert (found.amin((1, 2)) >= maps.amin((1, 2)) - 1e-12).all()


def test_inputs_stay_as_they_are() -> None:
    image, maps = picture(20, 20), torch.rand(2, 5, 5)
    before = image.clone(), maps.clone()
    PAR(SMALL)(image, cams(maps, (20, 20)))
    assert torch.equal(image, before[0])
    assert torch.equal(maps, before[1])


@pytest.mark.parametrize("axis", [-1, -2])
def test_a_mirrored_picture_gives_mirrored_maps(axis: int) -> None:
    image, maps = picture(24, 32), torch.rand(2, 6, 8)
    refiner: Refiner = PAR(PAROptions(dilations=(1, 2, 4)))
    plain = refiner(image, cams(maps, (24, 32)))
    mirrored = refiner(image.flip(axis), cams(maps.flip(axis), (24, 32)))
    torch.testing.assert_close(mirrored.maps.flip(axis), plain.maps, rtol=0, atol=1e-4)


def test_swapping_classes_swaps_maps() -> None:
    image, maps = picture(24, 32), torch.rand(2, 6, 8)
    plain = PAR(SMALL)(image, cams(maps, (24, 32)))
    swapped = PAR(SMALL)(image, cams(maps.flip(0), (24, 32)))
    assert torch.equal(swapped.maps.flip(0), plain.maps)


def test_a_blurry_map_finds_the_edge() -> None:
    """Colour steps at column 40; the map fades out from there on, far beyond the step."""
    image = torch.full((3, 64, 96), 60, dtype=torch.uint8)
    image[:, :, 40:] = 180
    image += torch.randint(0, 8, image.shape, dtype=torch.uint8)
    fading = ((64 - torch.arange(96)) / 48).clamp(0, 1).expand(1, 64, 96)
    truth = torch.arange(96).expand(64, 96) < 40
    refined = PAR(PAROptions(stride=1))(image, cams(fading.contiguous(), (64, 96))).maps[0]
    step = refined[:, 36:40].mean() - refined[:, 40:44].mean()
    assert step > 0.2
    assert fading[0, :, 36:40].mean() - fading[0, :, 40:44].mean() < 0.1
    assert refined[truth].mean() - refined[~truth].mean() > 0.5


def test_every_map_keeps_its_maximum() -> None:
    maps = torch.rand(3, 6, 8) * torch.tensor([1.0, 0.3, 0.0])[:, None, None]
    refined = PAR()(picture(48, 64), cams(maps, (48, 64))).maps
    torch.testing.assert_close(refined.amax((1, 2)), maps.amax((1, 2)))
    assert refined.min() >= 0


def test_what_is_not_a_map_is_handed_through() -> None:
    given = cams(torch.rand(2, 6, 8), (50, 70))
    found = PAR(SMALL)(picture(50, 70), given)
    assert (found.id, found.size, found.maps.dtype) == ("a/b", (50, 70), torch.float32)
    assert torch.equal(found.classes, given.classes)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((240, 320), (120, 160)), ((320, 100), (160, 50)), ((2000, 500), (160, 40)), ((1, 1), (1, 1))],
)
def test_the_grid_is_bounded(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert grid_size(size, PAROptions(stride=2, long_side=320)) == expected


def test_a_photograph_without_classes() -> None:
    given = CamSet("none", torch.zeros(0, dtype=torch.int64), torch.zeros(0, 6, 8), (20, 30))
    found = PAR()(picture(20, 30), given)
    assert found.maps.shape[0] == 0
    assert found.size == (20, 30)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (3, 2)])
def test_tiny_and_thin_photographs(size: tuple[int, int]) -> None:
    found = PAR()(picture(*size), cams(torch.rand(1, 2, 2), size))
    assert torch.isfinite(found.maps).all()
    assert found.maps.shape[1:] == grid_size(size, PAROptions())


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"iterations": -1}, "--par.iterations -1"),
        ({"dilations": ()}, "--par.dilations"),
        ({"dilations": (0, 1)}, "--par.dilations"),
        ({"stride": 0}, "--par.stride"),
        ({"long_side": 0}, "--par.long-side"),
    ],
)
def test_options_that_cannot_be(values: dict[str, object], name: str) -> None:
    with pytest.raises(InputError, match=name):
        PAROptions(**values)
