"""Superpixels cover the picture, hang together, and are what the slow second version finds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.data
import torch
from oracles.slic import slic_by_pixel
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.nn import slic as module
from tag2mask.nn.slic import is_compiled, slic

needs_kernel = pytest.mark.skipif(not is_compiled(), reason="the kernel is not compiled here")


@pytest.fixture(params=["kernel", "scikit-image"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the compiled kernel, and without."""
    if request.param == "scikit-image":
        monkeypatch.setattr(module, "_KERNEL", None)
    elif not is_compiled():
        pytest.skip("the kernel is not compiled here")
    return str(request.param)


def photograph(height: int, width: int) -> Tensor:
    pixels = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float()
    shrunk = functional.interpolate(pixels, (height, width), mode="area")
    return shrunk[0].to(torch.uint8)


def blocks(height: int, width: int) -> Tensor:
    """Colours that are far apart in squares of 16 pixels."""
    coarse = torch.randint(0, 5, (3, height // 16, width // 16)) * 60
    return coarse.repeat_interleave(16, 1).repeat_interleave(16, 2).to(torch.uint8)


def borders(regions: np.ndarray) -> np.ndarray:
    right = regions[:-1, 1:] != regions[:-1, :-1]
    down = regions[1:, :-1] != regions[:-1, :-1]
    return right | down


def check_partition(regions: Tensor, size: tuple[int, int]) -> None:
    assert regions.shape == size
    assert regions.dtype == torch.int64
    count = int(regions.max()) + 1
    assert torch.equal(regions.unique(), torch.arange(count))
    for number in range(count):
        assert ndimage.label(regions.numpy() == number)[1] == 1
    first_pixels = [int((regions.flatten() == number).nonzero()[0]) for number in range(count)]
    assert first_pixels == sorted(first_pixels)


@needs_kernel
@pytest.mark.parametrize("size", [(48, 64), (37, 50), (61, 23)])
def test_the_kernel_is_the_slow_version(size: tuple[int, int]) -> None:
    image = photograph(*size)
    expected = slic_by_pixel(image.permute(1, 2, 0).numpy(), segments=20, compactness=10)
    found = slic(image, segments=20).numpy()
    assert np.mean(borders(found) == borders(expected)) > 0.99
    assert found.max() + 1 == len(np.unique(expected))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (5, 33), (60, 80), (97, 41)])
@pytest.mark.parametrize("segments", [1, 7, 60, 5000])
def test_every_pixel_is_in_one_connected_superpixel(
    either: str, size: tuple[int, int], segments: int
) -> None:
    check_partition(slic(photograph(*size), segments), size)


@pytest.mark.parametrize("compactness", [0.01, 1.0, 10.0, 1000.0])
def test_noise_is_parted_into_connected_superpixels(either: str, compactness: float) -> None:
    image = torch.randint(0, 256, (3, 40, 52), dtype=torch.uint8)
    check_partition(slic(image, 30, compactness), (40, 52))


@needs_kernel
@pytest.mark.parametrize("segments", [50, 100, 200, 400])
def test_about_as_many_as_asked(segments: int) -> None:
    found = int(slic(photograph(375, 500), segments).max()) + 1
    assert 0.8 * segments <= found <= 1.3 * segments


@needs_kernel
@pytest.mark.parametrize(("size", "segments"), [((60, 60), 9), ((40, 120), 12)])
def test_a_constant_picture_is_parted_into_equal_squares(
    size: tuple[int, int], segments: int
) -> None:
    regions = slic(torch.full((3, *size), 90, dtype=torch.uint8), segments)
    assert regions.flatten().bincount().tolist() == [size[0] * size[1] // segments] * segments


def test_no_superpixel_crosses_a_strong_edge(either: str) -> None:
    image = blocks(64, 96)
    regions = slic(image, segments=60, compactness=1.0)
    pixels = image.flatten(1).double()
    count = int(regions.max()) + 1
    flat = regions.flatten()
    means = torch.zeros(3, count, dtype=torch.float64).index_add_(1, flat, pixels) / flat.bincount()
    same = (means[:, flat] - pixels).abs().amax(0) < 0.5
    assert same.double().mean() > 0.97


def test_the_same_picture_gives_the_same_superpixels(either: str) -> None:
    image = photograph(90, 120)
    assert torch.equal(slic(image, 50), slic(image.clone(), 50))


@needs_kernel
def test_a_view_of_a_picture_is_the_picture() -> None:
    image = photograph(60, 80)
    assert torch.equal(slic(image.flip(2).flip(2), 30), slic(image, 30))
    transposed = image.transpose(1, 2)
    assert torch.equal(slic(transposed, 30), slic(transposed.contiguous(), 30))


@needs_kernel
def test_threads_do_not_disturb_each_other() -> None:
    images = [photograph(90 + 3 * number, 120) for number in range(6)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(slic, images * 3))
    for image, regions in zip(images * 3, found, strict=True):
        assert torch.equal(regions, slic(image))


def test_the_picture_stays_as_it_is(either: str) -> None:
    image = photograph(30, 40)
    before = image.clone()
    slic(image, 10)
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    ("size", "segments", "compactness", "words"),
    [
        ((0, 5), 10, 10.0, r"\(3, 0, 5\) has no pixels"),
        ((4, 5), 0, 10.0, "0 segments of compactness 10"),
        ((4, 5), 3, 0.0, "3 segments of compactness 0"),
        ((4, 5), 3, float("nan"), "compactness nan"),
    ],
)
def test_what_cannot_be_grouped(
    size: tuple[int, int], segments: int, compactness: float, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        slic(torch.zeros(3, *size, dtype=torch.uint8), segments, compactness)


@needs_kernel
def test_the_kernel_refuses_arrays_that_do_not_fit() -> None:
    kernel = module._KERNEL
    assert kernel is not None
    image, regions = np.zeros((3, 4, 5), np.uint8), np.zeros((4, 5), np.int64)
    for wrong in [
        (image, 4, 6, 3, 10.0, 8, regions),
        (image[:2], 4, 5, 3, 10.0, 8, regions),
        (image, 4, 5, 3, 10.0, 8, regions[:3]),
        (image, 4, 5, 3, 10.0, 0, regions),
    ]:
        with pytest.raises(ValueError, match="sizes do not fit"):
            kernel(*wrong)
