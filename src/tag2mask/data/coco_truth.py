"""True masks out of COCO's instances, painted when they are asked for; scoring only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from pycocotools import mask as coco_mask

from tag2mask.errors import InputError
from tag2mask.nn.runs import covered, decompressed, pack, unpack
from tag2mask.types import BACKGROUND, AnnotatedImage, Instances, Size

FAR: Final = 100_000.0  # pixels; corners beyond are mistakes, and would take gigabytes to draw
CORNERS: Final = 3  # fewer enclose nothing

Made = TypeVar("Made")
Segmentation = Any  # polygons [[x, y, x, y, …], …] or {"size": [H, W], "counts": … }


@dataclass(frozen=True, slots=True)
class Instance:
    """One object, or a crowd of a class that nobody told apart.

    Attributes:
        segmentation: as the JSON has it; None where it has only a box.
    """

    label: int
    crowd: bool
    segmentation: Segmentation


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn on one photograph of `size` (H, W)."""

    size: Size
    instances: tuple[Instance, ...]


class CocoTruth:
    """Labels painted from instances: crowds first, then the larger, then the smaller over them.

    A crowd is painted as its class, as the makers of masks for weak supervision on COCO do; so
    the classes of the true mask are the tags. They let the first instance in the file win where
    two overlap; here the smaller wins, which is nearly always the one in front (a cup on a
    table). What no instance covers is background.

    Args:
        drawn: by id of the photograph.
        files: the JSON files that it came from.
    """

    def __init__(self, drawn: Mapping[str, Drawn], files: Sequence[Path]) -> None:
        self._drawn = {
            photo: one
            for photo, one in drawn.items()
            if all(instance.segmentation is not None for instance in one.instances)
        }
        self._files = tuple(files)

    def __contains__(self, photo: str) -> bool:
        return photo in self._drawn

    def fingerprint(self) -> str:
        """A hash over names, sizes and times of the JSON files."""
        listed = hashlib.sha256()
        for path in self._files:
            stat = path.stat()
            listed.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return listed.hexdigest()

    def read(self, photo: str, size: Size) -> AnnotatedImage:
        """The true labels of one photograph.

        Raises:
            InputError: none are known, the photograph has another size, or a broken segmentation.
        """
        return AnnotatedImage(photo, torch.from_numpy(self._painted(photo, size, paint)))

    def objects(self, photo: str, size: Size) -> Instances:
        """The true objects of one photograph, also where they overlap; crowds are marked.

        Raises:
            InputError: none are known, the photograph has another size, or a broken segmentation.
        """
        return self._painted(photo, size, lambda drawn: _objects(photo, drawn))

    def _painted(self, photo: str, size: Size, work: Callable[[Drawn], Made]) -> Made:
        drawn = self._drawn.get(photo)
        if drawn is None:
            raise InputError(f"The photograph {photo!r} has no segmentation in {self._names()}.")
        if drawn.size != size:
            raise InputError(
                f"The photograph {photo!r} is {size[1]} pixels wide and {size[0]} high, in "
                f"{self._names()} {drawn.size[1]} and {drawn.size[0]}; expected the same size. "
                "Take the photograph that was annotated, not turned or shrunk."
            )
        try:
            return work(drawn)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"A segmentation of the photograph {photo!r} in {self._names()} cannot be painted "
                f"({error}); expected polygons or COCO's run lengths. Correct it."
            ) from None

    def _names(self) -> str:
        return " or ".join(str(path) for path in self._files)


def paint(drawn: Drawn) -> UInt8[np.ndarray, "H W"]:
    """Labels of every pixel: crowds first, then instances by falling area, later ones on top.

    Raises:
        ValueError: a segmentation that is none.
    """
    pairs = [(one, covers(one.segmentation, drawn.size)) for one in drawn.instances]
    pairs.sort(key=lambda pair: (not pair[0].crowd, -int(pair[1].sum())))
    labels = np.full(drawn.size, BACKGROUND, dtype=np.uint8)
    for one, mask in pairs:
        labels[mask] = one.label
    return labels


def _objects(photo: str, drawn: Drawn) -> Instances:
    """Objects without a pixel are left out.

    Raises:
        ValueError: a segmentation that is none.
    """
    masks = [covers(one.segmentation, drawn.size) for one in drawn.instances]
    pairs = [(one, mask) for one, mask in zip(drawn.instances, masks, strict=True) if mask.any()]
    return Instances(
        photo,
        torch.tensor([one.label for one, _ in pairs], dtype=torch.int64),
        tuple(pack(mask) for _, mask in pairs),
        torch.ones(len(pairs), dtype=torch.float64),
        drawn.size,
        tuple(one.crowd for one, _ in pairs),
    )


def covers(segmentation: Segmentation, size: Size) -> Bool[np.ndarray, "H W"]:
    """The pixels of one segmentation; polygons are drawn by pycocotools.

    Raises:
        ValueError: neither polygons nor run lengths of this size.
    """
    if isinstance(segmentation, Mapping):
        return covered(_run_lengths(segmentation, size), size)
    if not isinstance(segmentation, list):
        raise ValueError(f"it is {type(segmentation).__name__}")
    polygons = [_corners(polygon) for polygon in segmentation]
    polygons = [polygon for polygon in polygons if len(polygon) >= 2 * CORNERS]
    if not polygons:
        return np.zeros(size, dtype=bool)
    return unpack(coco_mask.merge(coco_mask.frPyObjects(polygons, *size))["counts"], size)


def _corners(polygon: Any) -> list[float]:
    if not isinstance(polygon, list) or len(polygon) % 2:
        raise ValueError("a polygon is no list of pairs x, y")
    corners = [float(value) for value in polygon]
    if not all(-FAR <= value <= FAR for value in corners):
        raise ValueError("a polygon has a corner far outside")
    return corners


def _run_lengths(segmentation: Mapping[str, Any], size: Size) -> list[int]:
    """Checked, since pycocotools reads on in memory behind those that are too short."""
    counts = segmentation.get("counts")
    lengths = decompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(isinstance(n, int) and n >= 0 for n in lengths):
        raise ValueError("run lengths are no list of counts")
    if segmentation.get("size") != list(size) or sum(lengths) != size[0] * size[1]:
        raise ValueError("run lengths are of another size")
    return lengths
