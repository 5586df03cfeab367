"""The `cls_labels.npy` that the field passes around: a pickled dictionary from id to tags.

A pickle may run any program while it is read, so this one is read by an unpickler that knows
numbers, text, lists, dictionaries and NumPy's arrays, and refuses everything else.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy

from tag2mask.errors import InputError

Tags = tuple[int, ...]  # labels 1 … C, ascending

YEAR_DIGITS: Final = 4  # of an id of VOC: 2007_000032


def read_cls_labels(path: Path, classes: int) -> dict[str, Tags]:
    """Labels of the classes present, by id of the photograph.

    An id kept as an integer (2007000032, from lists read as numbers) is written as VOC does
    (2007_000032).

    Args:
        classes: C; every vector has as many entries, 0 or 1.

    Raises:
        InputError: unreadable, holding more than arrays, or vectors of another length or with
            other numbers.
    """
    content = _unpickle(path)
    if isinstance(content, np.ndarray) and content.shape == ():
        content = content.item()
    if not isinstance(content, Mapping):
        raise _other(path, f"holds {type(content).__name__}")
    return {_id(path, key): _tags(path, key, value, classes) for key, value in content.items()}


def _other(path: Path, what: str) -> InputError:
    return InputError(
        f"The file of tags {path} {what}; expected a cls_labels.npy, written by numpy.save from a "
        "dictionary of ids and vectors of 0 and 1. Check the file."
    )


def _unpickle(path: Path) -> Any:
    try:
        stream = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise _other(path, f"cannot be read ({error.strerror})") from None
    try:
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        dtype = header(stream)[2]
    except ValueError:
        raise _other(path, "is no NumPy file") from None
    if not dtype.hasobject:
        raise _other(path, f"holds an array of {dtype}")
    try:
        return _ArraysOnly(stream, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise _other(path, f"cannot be read ({error})") from None
    except Exception as error:  # broken bytes raise nearly anything
        raise _other(path, f"is broken ({type(error).__name__})") from None


def _latin1(text: str, encoding: str) -> bytes:
    """How bytes are spelled in the older pickles of NumPy before 1.17."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds text in {encoding}, not an array")
    return text.encode("latin1")


_ARRAY: Final[Any] = np.zeros(1).__reduce__()[0]  # what NumPy itself names
_SCALAR: Final[Any] = np.float64(0).__reduce__()[0]
_ADMITTED: Final[dict[tuple[str, str], Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _ARRAY,  # NumPy 1
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "_reconstruct"): _ARRAY,  # NumPy 2
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("_codecs", "encode"): _latin1,
}


class _ArraysOnly(pickle.Unpickler):
    """Reads plain values and NumPy's arrays; names anything else it is asked for, and stops."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, and might run a program"
            ) from None


def _id(path: Path, key: Any) -> str:
    if isinstance(key, str | np.str_):
        return str(key)
    if isinstance(key, int | np.integer):
        digits = str(int(key))
        return f"{digits[:YEAR_DIGITS]}_{digits[YEAR_DIGITS:]}"
    raise _other(path, f"has the id {key!r}")


def _tags(path: Path, key: Any, value: Any, classes: int) -> Tags:
    try:
        vector = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise _other(path, f"has no vector of numbers for {key!r}") from None
    if vector.shape != (classes,):
        shape = " × ".join(map(str, vector.shape)) or "a single value"
        raise _other(path, f"has {shape} for {key!r}, not {classes} entries (one a class)")
    if not np.isin(vector, (0, 1)).all():
        raise _other(path, f"has other numbers than 0 and 1 for {key!r}")
    return tuple(int(label) for label in np.flatnonzero(vector) + 1)
