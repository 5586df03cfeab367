"""The field's pickled tags are read, and nothing in them runs."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tag2mask.data.cls_labels import read_cls_labels
from tag2mask.errors import InputError

TAGS = {
    "2007_000032": np.array([1, 0, 1], dtype=np.float32),
    "2007_000033": np.zeros(3),
    "2008_000001": np.array([0, 1, 0], dtype=np.uint8),
}
EXPECTED = {"2007_000032": (1, 3), "2007_000033": (), "2008_000001": (2,)}


def save(path: Path, content: Any, protocol: int, module: bytes = b"") -> Path:
    """A NumPy file as versions of NumPy wrote it: their protocol, their module."""
    stream = io.BytesIO()
    np.save(stream, np.zeros(0, dtype=object), allow_pickle=True)
    header = stream.getvalue()[:128]
    body = pickle.dumps(np.array(content, dtype=object), protocol=protocol)
    if module:
        if protocol >= 4:
            raise ValueError("names carry their length from protocol 4 on")
        body = body.replace(b"numpy._core", module).replace(b"numpy.core", module)
    path.write_bytes(header.replace(b"(0,)", b"()  ") + body)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_files_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    assert read_cls_labels(save(tmp_path / "t.npy", TAGS, protocol), 3) == EXPECTED


@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("protocol", [2, 3])
def test_files_of_numpy_1_and_2(tmp_path: Path, module: bytes, protocol: int) -> None:
    path = save(tmp_path / "t.npy", TAGS, protocol, module)
    assert module + b".multiarray" in path.read_bytes()
    assert read_cls_labels(path, 3) == EXPECTED


def test_what_numpy_saves_today(tmp_path: Path) -> None:
    np.save(tmp_path / "cls_labels.npy", TAGS, allow_pickle=True)  # type: ignore[arg-type]
    assert read_cls_labels(tmp_path / "cls_labels.npy", 3) == EXPECTED


def test_ids_kept_as_integers(tmp_path: Path) -> None:
    numbers = {int("2007_000032"): [1, 0], np.int32("2007000033"): np.array([0.0, 1.0])}
    path = save(tmp_path / "t.npy", numbers, 3)
    assert read_cls_labels(path, 2) == {"2007_000032": (1,), "2007_000033": (2,)}


class Runs:
    """A pickle that makes a file while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [2, 4])
def test_no_program_in_it_runs(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    path = save(tmp_path / "t.npy", {"a": Runs(made)}, protocol)
    with pytest.raises(InputError, match=r"t\.npy cannot be read \(it asks for .* run a program\)"):
        read_cls_labels(path, 3)
    assert not made.exists()
    np.load(path, allow_pickle=True)
    assert made.exists()  # it would have run


def test_builtins_are_refused(tmp_path: Path) -> None:
    header = save(tmp_path / "t.npy", {}, 3).read_bytes()[:128]
    for asked in (b"cbuiltins\neval\n.", b"cos\nsystem\n.", b"cnumpy\nload\n."):
        (tmp_path / "t.npy").write_bytes(header + asked)
        with pytest.raises(InputError, match=asked[1:-2].replace(b"\n", b".").decode()):
            read_cls_labels(tmp_path / "t.npy", 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"a": np.zeros(4)}, "has 4 for 'a', not 3 entries"),
        ({"a": 1.0}, "has a single value for 'a'"),
        ({"a": np.array([0, 2, 0])}, "other numbers than 0 and 1 for 'a'"),
        ({"a": np.array([0, np.nan, 0])}, "other numbers than 0 and 1 for 'a'"),
        ({"a": "cat"}, "no vector of numbers for 'a'"),
        ({1.5: np.zeros(3)}, r"has the id 1\.5"),
        ([1, 2], "holds ndarray"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_cls_labels(save(tmp_path / "t.npy", content, 3), 3)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.npy"
    with pytest.raises(InputError, match=r"t\.npy cannot be read \(No such file"):
        read_cls_labels(path, 3)
    path.write_text("id,tags\n")
    with pytest.raises(InputError, match="is no NumPy file"):
        read_cls_labels(path, 3)
    np.save(path, np.zeros((2, 3)))
    with pytest.raises(InputError, match="holds an array of float64"):
        read_cls_labels(path, 3)
    whole = save(path, TAGS, 4).read_bytes()
    for length in range(10, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"t\.npy (is|cannot|holds)"):
            read_cls_labels(path, 3)
