"""Every kind of photograph: a chequer of four colours must come out upright and in RGB."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tag2mask.data.collection import Collection, Photo
from tag2mask.data.read import image_size, read_image, read_tagged, verify
from tag2mask.errors import InputError

COLOURS = np.zeros((4, 6, 3), dtype=np.uint8)
COLOURS[:2, :3] = (250, 10, 20)
COLOURS[:2, 3:] = (30, 240, 40)
COLOURS[2:, :3] = (50, 60, 230)
COLOURS[2:, 3:] = (200, 200, 70)


def read(path: Path) -> np.ndarray:
    return read_image(path).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_as_pillow_does(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    big = Image.fromarray(COLOURS.repeat(8, axis=0).repeat(8, axis=1))
    big.save(path, exif=exif, quality=100, subsampling=0)
    with Image.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    found = read(path)
    assert np.array_equal(found, expected)
    assert image_size(path) == found.shape[:2] == ((48, 32) if orientation >= 5 else (32, 48))


def test_grey_is_repeated(tmp_path: Path) -> None:
    grey = COLOURS[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert np.array_equal(read(tmp_path / "a.png"), grey[..., None].repeat(3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 300, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert read(tmp_path / f"a.{suffix}")[0, :, 1].tolist() == [0, 1, 1, 128, 255]


def test_transparency_becomes_white_in_proportion(tmp_path: Path) -> None:
    rgba = np.array([[[0, 0, 0, 0], [0, 100, 200, 255], [0, 0, 0, 51]]], dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0].tolist() == [[255] * 3, [0, 100, 200], [204] * 3]


@pytest.mark.parametrize("transparent", [False, True])
def test_palette(tmp_path: Path, transparent: bool) -> None:
    picture = Image.frombytes("P", (2, 1), bytes([0, 1]))
    picture.putpalette([9, 8, 7, 200, 100, 50])
    options = {"transparency": 0} if transparent else {}
    picture.save(tmp_path / "a.png", **options)
    first = [255, 255, 255] if transparent else [9, 8, 7]
    assert read(tmp_path / "a.png")[0].tolist() == [first, [200, 100, 50]]


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.tiff")
    assert read(tmp_path / "a.tiff")[0, 0].tolist() == [255, 0, 0]


def test_one_pixel_and_a_name_that_is_not_ascii(tmp_path: Path) -> None:
    path = tmp_path / "Füchsin 猫.png"
    Image.new("RGB", (1, 1), (1, 2, 3)).save(path)
    assert read(path).tolist() == [[[1, 2, 3]]]
    assert image_size(path) == (1, 1)


def truncated(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    return path


def test_a_truncated_photograph_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"photograph .*cut\.jpg cannot be read .*truncated"):
        read_image(truncated(tmp_path / "cut.jpg"))


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "it is empty"), (b"hello there", "it is no picture")]
)
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for function in (read_image, image_size):
        with pytest.raises(InputError, match=rf"a\.jpg cannot be read \({said}\)"):
            function(path)


def test_a_missing_photograph_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jpg is not there"):
        read_image(tmp_path / "gone.jpg")


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


@pytest.mark.parametrize("side", [14_143, 40_000])  # just above the limit, and far above
def test_more_than_200_megapixels_are_refused_by_name(tmp_path: Path, side: int) -> None:
    path = tmp_path / "huge.png"
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0"))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    with pytest.raises(InputError, match=r"huge\.png has more than 200 megapixels"):
        read_image(path)


def test_numbers_beyond_16_bits_are_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 70_000, dtype=np.int32)).save(tmp_path / "deep.tiff")
    with pytest.raises(InputError, match=r"deep\.tiff holds numbers .*8 or 16 bits"):
        read_image(tmp_path / "deep.tiff")


def test_tags_become_a_vector_and_none_are_given_where_none_are_wanted(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    photo = Photo("a", tmp_path / "a.png", (1, 3))
    tagged = read_tagged(photo, 4)
    assert tagged.id == "a"
    assert tagged.tags.tolist() == [True, False, True, False]
    assert torch.equal(tagged.image, read_image(photo.path))
    assert read_tagged(photo, 0).tags.shape == (0,)


def three(folder: Path) -> Collection:
    for name in ("a", "c"):
        Image.fromarray(COLOURS).save(folder / f"{name}.jpg")
    truncated(folder / "b.jpg")
    photos = tuple(Photo(name, folder / f"{name}.jpg", (1,)) for name in "abc")
    return Collection(("cat",), photos)


def test_verify_names_the_first_broken_photograph(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b\.jpg cannot be read.*--skip-bad"):
        verify(three(tmp_path), skip_bad=False)


def test_verify_moves_broken_photographs_to_the_skipped(tmp_path: Path) -> None:
    checked = verify(three(tmp_path), skip_bad=True)
    assert [photo.id for photo in checked.photos] == ["a", "c"]
    assert [one.id for one in checked.skipped] == ["b"]
    assert "b.jpg cannot be read" in checked.skipped[0].reason


def test_verify_refuses_when_nothing_is_left(tmp_path: Path) -> None:
    photo = Photo("b", truncated(tmp_path / "b.jpg"), ())
    with pytest.raises(InputError, match="None of the 1 photographs can be read"):
        verify(Collection((), (photo,)), skip_bad=True)
