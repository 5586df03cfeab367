"""Folders with a PNG per photograph."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from tag2mask.errors import InputError


def listed(folder: Path, kind: str) -> dict[str, Path]:
    """The PNG of every photograph, by its id.

    Args:
        kind: what they are, as an error says it ("true mask").

    Raises:
        InputError: not a folder, or no PNG in it.
    """
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "is not there"
        raise InputError(f"The folder of {kind}s {folder} {state}; check the path.")
    found = {
        unicodedata.normalize("NFC", path.relative_to(folder).as_posix()[: -len(".png")]): path
        for path in folder.rglob("*")
        if path.suffix.lower() == ".png"
    }
    if not found:
        raise InputError(
            f"The folder of {kind}s {folder} holds no PNG; expected one {kind} per photograph, "
            "named like it. Check the path."
        )
    return found


def fingerprint(paths: Mapping[str, Path]) -> str:
    """A hash over names, sizes and times of files."""
    known = hashlib.sha256()
    for photo, path in sorted(paths.items()):
        stat = path.stat()
        known.update(f"{photo}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return known.hexdigest()
