"""Regions from files and from functions, and every way they can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.vote import uppermost
from PIL import Image
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.refine.proposals import MaskProposals, RegionFolder, stack
from tag2mask.refine.vote import RegionVote
from tag2mask.types import CamSet

IMAGE = torch.zeros(3, 4, 6, dtype=torch.uint8)
VALUES = np.arange(24).reshape(4, 6) % 5


def save(picture: Image.Image, folder: Path) -> RegionFolder:
    (folder / "a").mkdir()
    picture.save(folder / "a" / "b.png")
    return RegionFolder(folder)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_grey_and_indexed_pictures(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(VALUES.astype(np.uint8)).convert("L")
    if mode == "P":
        picture.putpalette(list(range(255, -1, -1)) * 3)
    found = save(picture, tmp_path)("a/b", IMAGE)
    assert found.tolist() == VALUES.tolist()


def test_sixteen_bits(tmp_path: Path) -> None:
    found = save(Image.fromarray((VALUES * 9000).astype(np.uint16)), tmp_path)("a/b", IMAGE)
    assert found.tolist() == (VALUES * 9000).tolist()


def test_colours_are_numbers(tmp_path: Path) -> None:
    colours = np.zeros((4, 6, 3), dtype=np.uint8)
    colours[1, 2] = (7, 2, 1)
    found = save(Image.fromarray(colours), tmp_path)("a/b", IMAGE)
    assert int(found[1, 2]) == 7 + 2 * 256 + 65536
    assert int(found.sum()) == int(found[1, 2])


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint32, np.bool_])
def test_arrays(tmp_path: Path, dtype: type) -> None:
    np.save(
        tmp_path / "x.npy", (VALUES - (0 if dtype in (np.uint32, np.bool_) else 2)).astype(dtype)
    )
    found = RegionFolder(tmp_path)("x", IMAGE)
    assert found.dtype == torch.int64
    assert found.tolist() == np.load(tmp_path / "x.npy").astype(int).tolist()


def test_a_value_may_say_that_there_is_no_region(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    found = RegionFolder(tmp_path, empty=0)("x", IMAGE)
    assert found.tolist() == np.where(VALUES == 0, -1, VALUES).tolist()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'cat/1' has no region map: .*cat/1\.png nor 1\.npy"):
        RegionFolder(tmp_path)("cat/1", IMAGE)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"folder of region maps .*nowhere is not there"):
        RegionFolder(tmp_path / "nowhere")


def test_another_size_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES.T)
    with pytest.raises(InputError, match=r"x\.npy has 6×4 pixels, photograph 'x' has 4×6"):
        RegionFolder(tmp_path)("x", IMAGE)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.png", b"no picture", r"x\.png cannot be read"),
        ("x.npy", b"no array", r"x\.npy cannot be read"),
        ("x.npy", b"", r"x\.npy cannot be read"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        RegionFolder(tmp_path)("x", IMAGE)


@pytest.mark.parametrize("array", [VALUES / 2, VALUES[None], np.array([{}])])
def test_arrays_that_are_no_regions(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=r"not an H×W array of integers|cannot be read"):
        RegionFolder(tmp_path)("x", IMAGE)


def test_transparency_is_no_region(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 4 channels; expected a grey"):
        save(Image.new("RGBA", (6, 4)), tmp_path)("a/b", IMAGE)


@given(st.integers(0, 4), st.integers(0, 10_000))
def test_smaller_masks_lie_on_top(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(count, 4, 5, generator=generator) < torch.rand(
        count, 1, 1, generator=generator
    )
    assert stack(masks).tolist() == uppermost(masks.numpy()).tolist()


@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_a_function_proposes(kind: str) -> None:
    """A mask of the left half and one inside it; the rest keeps its value."""
    masks = torch.zeros(2, 4, 6, dtype=torch.bool)
    masks[0, 1:3, 1] = True
    masks[1, :, :3] = True

    def propose(image: Tensor) -> Tensor | np.ndarray:
        assert image.shape == (3, 4, 6)
        return masks if kind == "tensor" else masks.numpy()

    maps = torch.rand(1, 4, 6)
    maps[0, 0, 5] = 1
    cams = CamSet("x", torch.tensor([3]), maps, (4, 6))
    found = RegionVote(proposals=MaskProposals(propose))(IMAGE, cams).maps
    small, left = masks[0], masks[1] & ~masks[0]
    expected = maps[0].clone()
    expected[small], expected[left] = maps[0][small].mean(), maps[0][left].mean()
    torch.testing.assert_close(found[0], expected)


def test_no_mask_changes_nothing() -> None:
    cams = CamSet("x", torch.tensor([3]), torch.rand(1, 4, 6), (4, 6))
    refiner = RegionVote(proposals=MaskProposals(lambda image: torch.zeros(0, 4, 6) > 0))
    torch.testing.assert_close(refiner(IMAGE, cams).maps, cams.maps)


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (torch.zeros(2, 4, 6), r"'x' are torch\.float32 of shape \(2, 4, 6\)"),
        (torch.zeros(4, 6) > 0, r"shape \(4, 6\); expected bool masks"),
        (torch.zeros(2, 6, 4) > 0, r"shape \(2, 6, 4\); .*H×W = 4×6"),
    ],
)
def test_what_is_no_mask(masks: Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        MaskProposals(lambda image: masks)("x", IMAGE)
