"""Files that are either whole or not there; label maps that come back as they went."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open

from tag2mask.errors import InputError
from tag2mask.storage import (
    read_json,
    read_labels,
    read_tensors,
    voc_palette,
    write_bytes,
    write_json,
    write_labels,
    write_tensors,
    write_text,
)

VOC_COLOURS = [  # background and the twenty classes, as in the VOC development kit
    (0, 0, 0),
    (128, 0, 0),
    (0, 128, 0),
    (128, 128, 0),
    (0, 0, 128),
    (128, 0, 128),
    (0, 128, 128),
    (128, 128, 128),
    (64, 0, 0),
    (192, 0, 0),
    (64, 128, 0),
    (192, 128, 0),
    (64, 0, 128),
    (192, 0, 128),
    (64, 128, 128),
    (192, 128, 128),
    (0, 64, 0),
    (128, 64, 0),
    (0, 192, 0),
    (128, 192, 0),
    (0, 64, 128),
]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_missing_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b ä" / "c.bin", b"one")
    write_bytes(tmp_path / "a" / "b ä" / "c.bin", b"two")
    assert (tmp_path / "a" / "b ä" / "c.bin").read_bytes() == b"two"
    assert names(tmp_path) == ["a", "b ä", "c.bin"]


def full_disk_while_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        whole(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)


def refused_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)


def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(path: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)


@pytest.mark.parametrize("failure", [full_disk_while_writing, refused_rename, interrupted])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Any, old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        write_bytes(path, old)
    failure(monkeypatch)
    with pytest.raises((OSError, KeyboardInterrupt)):
        write_bytes(path, b"the new content")
    assert names(tmp_path) == ([] if old is None else ["file"])
    assert old is None or path.read_bytes() == old


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename, seen = tmp_path / "file", Path.replace, []

    def watched(temporary: Path, target: Path) -> Path:
        seen.append((path.read_bytes(), temporary.read_bytes()))
        return rename(temporary, target)

    write_bytes(path, b"old")
    monkeypatch.setattr(Path, "replace", watched)
    write_bytes(path, b"new")
    assert seen == [(b"old", b"new")]
    assert path.read_bytes() == b"new"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=30)
@given(JSON)
def test_json_comes_back(value: Any) -> None:
    with TemporaryDirectory() as folder:
        write_json(Path(folder) / "v.json", value)
        assert read_json(Path(folder) / "v.json") == value


def test_json_refuses_what_is_no_number_and_keeps_the_old(tmp_path: Path) -> None:
    write_json(tmp_path / "v.json", {"miou": 0.5})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "v.json", {"miou": math.nan})
    assert read_json(tmp_path / "v.json") == {"miou": 0.5}


def test_json_is_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "v.json", {"class": "Möwe"})
    assert (tmp_path / "v.json").read_bytes().decode() == '{\n  "class": "Möwe"\n}\n'


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_what_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(InputError, match=r"v\.json is not JSON \("):
        read_json(tmp_path / "v.json")


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json is not there\."):
        read_json(tmp_path / "gone.json")


def test_tensors_come_back_with_their_notes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tensors = {
        "turned": torch.rand(3, 4).T,
        "last": torch.rand(1, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "half": torch.rand(2).half(),
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(3),
        "learned": torch.rand(2, requires_grad=True),
    }
    write_tensors(tmp_path / "t.safetensors", tensors, {"step": "3"})
    found = read_tensors(tmp_path / "t.safetensors")
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    with safe_open(tmp_path / "t.safetensors", framework="pt") as file:
        assert file.metadata() == {"step": "3"}


def test_the_palette_is_that_of_voc() -> None:
    palette = voc_palette()
    assert [tuple(colour) for colour in palette[:21].tolist()] == VOC_COLOURS
    assert palette[255].tolist() == [224, 224, 192]
    assert len({tuple(colour) for colour in palette.tolist()}) == 256


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 33), st.integers(1, 33))
def test_labels_come_back_and_are_read_alike_by_pillow(seed: int, height: int, width: int) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.png"
        write_labels(path, torch.from_numpy(values))
        assert np.array_equal(read_labels(path).numpy(), values)
        with Image.open(path) as picture:
            assert picture.mode == "P"
            assert np.array_equal(np.asarray(picture), values)
            assert np.array_equal(np.asarray(picture.convert("RGB")), voc_palette()[values])


def test_a_transposed_label_map_is_written_as_it_looks(tmp_path: Path) -> None:
    labels = torch.arange(6, dtype=torch.uint8).view(2, 3).T
    write_labels(tmp_path / "m.png", labels)
    assert torch.equal(read_labels(tmp_path / "m.png"), labels)


def test_grey_masks_are_labels_as_well(tmp_path: Path) -> None:
    values = np.array([[0, 1, 255]], dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "m.png")
    assert read_labels(tmp_path / "m.png").tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
def test_a_colour_picture_holds_no_labels(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 3)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png is a \S+ picture; expected an indexed or grey"):
        read_labels(tmp_path / "m.png")


@pytest.mark.parametrize("kept", [0, 10, 60, 850])
def test_a_truncated_mask_is_named(tmp_path: Path, kept: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    write_labels(tmp_path / "m.png", torch.from_numpy(noise))
    write_bytes(tmp_path / "m.png", (tmp_path / "m.png").read_bytes()[:kept])
    with pytest.raises(InputError, match=r"The mask .*m\.png cannot be read \("):
        read_labels(tmp_path / "m.png")


def test_a_mask_that_is_text_or_absent_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "m.png", "no picture")
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"gone\.png is not there"):
        read_labels(tmp_path / "gone.png")


def test_a_mask_far_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_labels(tmp_path / "m.png", torch.zeros(64, 64, dtype=torch.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"The mask .*m\.png cannot be read \(.*4096 pixels"):
        read_labels(tmp_path / "m.png")
