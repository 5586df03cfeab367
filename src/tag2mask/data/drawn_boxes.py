"""True boxes as files list them, brought into a photograph; scoring only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from tag2mask.errors import InputError
from tag2mask.types import Boxes, Size

Box = tuple[float, float, float, float]  # left, top, right, bottom


def drawn_boxes(photo: str, size: Size, listed: Sequence[tuple[int, Box]], path: Path) -> Boxes:
    """Boxes cut at the border of their photograph.

    Args:
        listed: label and edges of each.
        path: the file that they stand in, for the error.

    Raises:
        InputError: a box of which nothing lies in the photograph.
    """
    height, width = size
    edges = torch.tensor([box for _, box in listed], dtype=torch.float64).reshape(-1, 4)
    limits = torch.tensor([width, height, width, height], dtype=torch.float64)
    inside = edges.clamp(min=0).minimum(limits)
    empty = (inside[:, 2:] <= inside[:, :2]).any(dim=1).nonzero().flatten().tolist()
    if empty:
        left, top, right, bottom = listed[empty[0]][1]
        raise InputError(
            f"{path} has for the photograph {photo!r} a box from ({left:g}, {top:g}) to "
            f"({right:g}, {bottom:g}), and the photograph is {width} pixels wide and {height} "
            "high; expected a box inside. Correct it."
        )
    classes = torch.tensor([label for label, _ in listed], dtype=torch.int64)
    return Boxes(photo, classes, inside, torch.ones(len(listed), dtype=torch.float64), size)


def files_fingerprint(paths: Iterable[Path]) -> str:
    """A hash over names, sizes and times of files; those that are not there are left out."""
    listed = hashlib.sha256()
    for path in paths:
        if path.is_file():
            stat = path.stat()
            listed.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return listed.hexdigest()
