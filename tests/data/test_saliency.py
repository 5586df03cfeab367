"""Saliency from a folder: grey PNG files, and what is wrong with them."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from tag2mask.data import DataOptions, open_data, open_saliency
from tag2mask.data.check import check, render
from tag2mask.data.saliency import SaliencyFolder
from tag2mask.errors import InputError

SIZES = {"a": (8, 4), "b": (3, 3), "sub/c": (5, 7)}  # wide, high


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (wide, high) in SIZES.items():
        path = tmp_path / "saliency" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.arange(wide * high, dtype=np.uint8).reshape(high, wide)
        Image.fromarray(values).save(path)
    return tmp_path / "saliency"


def test_grey_levels_become_shares(folder: Path) -> None:
    given = SaliencyFolder(folder)
    assert "sub/c" in given
    assert "d" not in given
    expected = torch.arange(35).view(7, 5) / 255
    torch.testing.assert_close(given.read("sub/c", (7, 5)), expected)


@pytest.mark.parametrize(("mode", "white"), [("1", 1), ("L", 255), ("I;16", 65535)])
def test_black_is_zero_and_white_is_one_in_every_grey(folder: Path, mode: str, white: int) -> None:
    values = np.array([[0, white], [white, 0], [0, 0]], dtype=np.uint16)
    picture = Image.fromarray(values)
    if mode != "I;16":
        picture = Image.fromarray((values > 0).astype(np.uint8) * 255).convert(mode)
    picture.save(folder / "b.png")
    with Image.open(folder / "b.png") as saved:
        assert saved.mode == mode
    expected = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    assert torch.equal(SaliencyFolder(folder).read("b", (3, 2)), expected)


def test_its_fingerprint_is_that_of_the_files(folder: Path) -> None:
    first = SaliencyFolder(folder).fingerprint()
    assert SaliencyFolder(folder).fingerprint() == first
    os.utime(folder / "a.png", (1, 1))
    assert SaliencyFolder(folder).fingerprint() != first


def test_what_is_wrong_is_named(folder: Path) -> None:
    Image.new("RGB", (8, 4)).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"nothing")
    given = SaliencyFolder(folder)
    with pytest.raises(InputError, match=r"a\.png is a RGB picture; expected a grey one"):
        given.read("a", (4, 8))
    with pytest.raises(InputError, match=r"b\.png cannot be read"):
        given.read("b", (3, 3))
    with pytest.raises(InputError, match=r"c\.png is 5 pixels wide and 7 high, its photograph 7 a"):
        given.read("sub/c", (5, 7))
    with pytest.raises(InputError, match=r"'d' has no saliency map in .*saliency; expected d\.png"):
        given.read("d", (5, 7))


def test_folder_model_or_neither(folder: Path, tmp_path: Path) -> None:
    assert open_saliency(None) is None
    assert isinstance(open_saliency(folder), SaliencyFolder)
    for name in ("u2net.onnx", "u2net.pt"):
        with pytest.raises(InputError, match=f"saliency model .*{name} is not there"):
            open_saliency(tmp_path / name)
        (tmp_path / name).write_bytes(b"")
        assert open_saliency(tmp_path / name) is None
    (tmp_path / "maps.zip").write_bytes(b"")
    with pytest.raises(InputError, match=r"maps\.zip is neither a folder .* \(\.onnx, \.pt\)"):
        open_saliency(tmp_path / "maps.zip")
    with pytest.raises(InputError, match=r"folder of saliency maps .*gone is not there"):
        open_saliency(tmp_path / "gone")


@pytest.fixture
def options(tmp_path: Path, folder: Path) -> DataOptions:
    for name, size in SIZES.items():
        path = tmp_path / "photos" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (10, 200, 30)).save(path)
    (tmp_path / "tags.csv").write_text("id,tags\na,cat\nb,cat\nsub/c,dog\n")
    return DataOptions(tmp_path / "photos", tmp_path / "tags.csv", saliency=folder)


def test_the_check_names_missing_and_wrong_maps(options: DataOptions, folder: Path) -> None:
    assert check(options).splits[0].with_saliency == 3
    assert check(replace(options, saliency=None)).splits[0].with_saliency is None
    (folder / "a.png").unlink()
    Image.new("L", (9, 9)).save(folder / "b.png")
    report = check(options)
    assert report.splits[0].with_saliency == 1
    assert len(report.problems) == 2
    assert "'a' has no saliency map" in report.problems[0]
    assert "b.png is 9 pixels wide" in report.problems[1]
    stream = io.StringIO()
    Console(file=stream, width=300).print(render(report))
    text = " ".join(stream.getvalue().split())
    assert "with saliency 1 of 3" in text
    assert report.problems[1] in text


def test_photographs_without_saliency_end_the_run_or_are_skipped(
    options: DataOptions, folder: Path
) -> None:
    photos = open_data(options).train.photos
    (folder / "a.png").unlink()
    with pytest.raises(InputError, match="'a' has no saliency map"):
        SaliencyFolder(folder).missing(photos, skip_bad=False)
    (gone,) = SaliencyFolder(folder).missing(photos, skip_bad=True)
    assert (gone.id, "a.png" in gone.reason) == ("a", True)
    with pytest.raises(InputError, match="No photograph has a saliency map that fits; the first"):
        SaliencyFolder(folder).missing(photos[:1], skip_bad=True)
