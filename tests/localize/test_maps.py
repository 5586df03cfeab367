"""Maps land on what they saw: at every scale, mirrored or not, for odd sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.cam import merged
from oracles.untrained import Untrained
from torch import Tensor
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.localize import LocalizeOptions, merge, responses
from tag2mask.nn.views import resize, scaled_size

CELL = 8
CPU = torch.device("cpu")


ALL = torch.ones(1, 3, dtype=torch.bool)


class Bright(Untrained):
    """Class 1 is red, class 2 green, class 3 where a cell's left half is redder than its right."""

    def localize(self, images: Tensor, tags: Tensor) -> Tensor:
        cells = functional.avg_pool2d(images[:, :2], CELL)
        halves = functional.avg_pool2d(images[:, :1], (CELL, CELL // 2))
        return torch.cat([cells, (halves[..., ::2] - halves[..., 1::2]).relu()], dim=1)


def cams(image: Tensor, options: LocalizeOptions, long_side: int = 96) -> Tensor:
    found = responses(Bright(), [image], ALL, long_side, CELL, options, CPU)
    size = (image.shape[-2], image.shape[-1])
    return merge("p", torch.tensor([1, 2, 3]), [maps[0] for maps in found], size).maps


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.floats(8, 1024),
    st.sampled_from([8, 14, 16, 32]),
)
def test_sizes_are_whole_cells_near_the_long_side(
    size: tuple[int, int], long_side: float, cell: int
) -> None:
    scaled = scaled_size(size, long_side, cell)
    factor = long_side / max(size)
    for extent, pixels in zip(size, scaled, strict=True):
        assert pixels % cell == 0
        assert pixels >= cell
        assert abs(pixels - extent * factor) <= cell / 2 or pixels == cell


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0), (1.5, 0.75)])
def test_one_tensor_a_scale_on_its_own_grid(scales: tuple[float, ...]) -> None:
    images = [torch.zeros(3, 37, 61, dtype=torch.uint8)] * 2
    found = responses(
        Bright(),
        images,
        ALL.repeat(len(images), 1),
        64,
        CELL,
        LocalizeOptions(scales, flip=True),
        CPU,
    )
    grids = [tuple(e // CELL for e in scaled_size((37, 61), 64 * s, CELL)) for s in scales]
    assert [tuple(maps.shape) for maps in found] == [(2, 3, *grid) for grid in grids]


def test_the_mirrored_view_is_mirrored_back_and_added() -> None:
    images = [torch.randint(0, 256, (3, 37, 61), dtype=torch.uint8) for _ in range(3)]
    options = LocalizeOptions((1.0, 1.5), flip=True)
    found = responses(Bright(), images, ALL.repeat(len(images), 1), 64, CELL, options, CPU)
    for scale, maps in zip(options.scales, found, strict=True):
        for number, image in enumerate(images):
            view = resize(image, scaled_size((37, 61), 64 * scale, CELL))[None].float()
            plain = Bright().localize(view, ALL)[0]
            mirrored = Bright().localize(torch.flip(view, [3]), ALL)[0]
            for row, column in np.ndindex(*plain.shape[1:]):
                expected = plain[:, row, column] + mirrored[:, row, plain.shape[2] - 1 - column]
                torch.testing.assert_close(maps[number, :, row, column], expected)


def test_without_mirroring_the_view_stands_alone() -> None:
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    options = LocalizeOptions((1.0,), flip=False)
    (found,) = responses(Bright(), [image], ALL, 64, CELL, options, CPU)
    torch.testing.assert_close(found, Bright().localize(image[None].float(), ALL))


def test_mirroring_the_picture_mirrors_the_maps() -> None:
    image = torch.randint(0, 256, (3, 45, 61), dtype=torch.uint8)
    options = LocalizeOptions((1.0, 1.5), flip=True)
    gap = cams(image.flip(-1), options) - cams(image, options).flip(-1)
    assert float(gap.abs().max()) < 0.02  # bytes of resized pictures are rounded


@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)),
                                          min_size=1, max_size=3), st.integers(1, 3))  # fmt: skip
def test_merging_is_the_sum_over_scales(
    seed: int, grids: list[tuple[int, int]], count: int
) -> None:
    random = np.random.default_rng(seed)
    scales = [random.random((count, *grid)).astype(np.float32) for grid in grids]
    areas = [h * w for h, w in grids]
    if len({grid for grid, a in zip(grids, areas, strict=True) if a == max(areas)}) > 1:
        return  # two finest grids: either will do
    classes = torch.arange(1, count + 1)
    cam = merge("p", classes, [torch.from_numpy(maps) for maps in scales], (9, 7))
    np.testing.assert_allclose(cam.maps.numpy(), merged(scales), rtol=1e-4, atol=1e-6)
    assert (cam.id, cam.size) == ("p", (9, 7))
    assert torch.equal(cam.classes, classes)


def test_half_precision_is_added_in_single() -> None:
    scales = [torch.full((1, 2, 2), 60_000.0).half() for _ in range(3)]
    maps = merge("p", torch.tensor([4]), scales, (4, 4)).maps
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, torch.ones(1, 2, 2))


def test_a_class_without_evidence_stays_zero() -> None:
    scales = [torch.stack([torch.zeros(3, 3), torch.rand(3, 3) + 1])]
    maps = merge("p", torch.tensor([1, 5]), scales, (9, 9)).maps
    assert not maps[0].any()
    assert float(maps[1].max()) == pytest.approx(1, abs=1e-4)


def test_the_strength_of_one_class_does_not_touch_another() -> None:
    one = torch.rand(2, 3, 3) + 0.5
    other = torch.stack([one[0], 50 * one[1]])
    gap = [merge("p", torch.tensor([1, 2]), [maps], (9, 9)).maps for maps in (one, other)]
    torch.testing.assert_close(gap[0], gap[1], rtol=1e-4, atol=1e-5)


def test_a_photograph_without_tags_has_no_maps() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    cam = merge("p", none, [torch.zeros(0, 2, 3), torch.zeros(0, 4, 6)], (20, 30))
    assert cam.maps.shape == (0, 4, 6)


@pytest.mark.parametrize("size", [(97, 131), (131, 97), (64, 64), (203, 77)])
@pytest.mark.parametrize("scales", [(1.0,), (0.5,), (1.0, 1.5, 2.0)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("centre", [(0.3, 0.25), (0.5, 0.5), (0.62, 0.71)])
def test_the_map_of_a_square_lies_on_the_square(
    size: tuple[int, int], scales: tuple[float, ...], flip: bool, centre: tuple[float, float]
) -> None:
    """Its centre of mass, in parts of the photograph, within a quarter of a cell."""
    height, width = size
    side = min(size) // 3
    top, left = (round(c * e - side / 2) for c, e in zip(centre, size, strict=True))
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[0, top : top + side, left : left + side] = 255
    true = ((top + side / 2) / height, (left + side / 2) / width)

    map_ = cams(image, LocalizeOptions(scales, flip))[0].double()
    assert not cams(image, LocalizeOptions(scales, flip))[1].any()
    for axis, place in enumerate(true):
        mass = map_.sum(dim=1 - axis)
        cells = torch.arange(len(mass)) + 0.5
        found = float((mass * cells).sum() / mass.sum())
        assert abs(found - place * len(mass)) < 0.25


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (300, 1)])
def test_photographs_smaller_than_a_cell(size: tuple[int, int]) -> None:
    image = torch.zeros(3, *size, dtype=torch.uint8)
    image[1] = 255
    found = cams(image, LocalizeOptions((1.0, 0.5)))
    assert torch.isfinite(found).all()
    assert not found[0].any()
    assert found[1].min() > 0.9


def test_a_black_photograph_has_maps_of_zero() -> None:
    assert not cams(torch.zeros(3, 40, 30, dtype=torch.uint8), LocalizeOptions()).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_responses_that_are_not_finite_are_refused_by_name(value: float) -> None:
    scales = [torch.rand(2, 3, 4).half(), torch.rand(2, 6, 8).half()]
    scales[0][1, 2, 3] = value
    with pytest.raises(InputError, match="photograph 'p/7' hold NaN or infinity"):
        merge("p/7", torch.tensor([1, 2]), scales, (30, 40))
