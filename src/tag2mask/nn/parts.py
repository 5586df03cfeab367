"""Connected parts of a labelled photograph that are large enough to be an object."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64, UInt8
from skimage.measure import label
from torch import Tensor

from tag2mask.nn.runs import pack, unpack
from tag2mask.types import BACKGROUND, UNKNOWN, Instances

MOST: Final = 254  # numbers of parts fit into a byte beside none and unknown


def large_parts(
    labels: UInt8[Tensor, "H W"], zones: Int64[Tensor, "H W"], share: float
) -> UInt8[Tensor, "H W"]:
    """Parts of the classes' pixels, 1 … n, the largest first; 0 is none.

    Pixels of one label and one zone that touch, at a corner too, are a part. Small ones are none,
    save the largest of each class: what is there has a part.

    Args:
        zones: parts each class further; 0 or more.
        share: of the photograph's pixels, that a part has at least.
    """
    width = int(zones.max()) + 1 if zones.numel() else 1
    apart = labels.long() * width + zones
    apart[(labels == BACKGROUND) | (labels == UNKNOWN)] = -1
    parts = label(apart.numpy(), background=-1, connectivity=2)
    areas = np.bincount(parts.ravel(), minlength=1)
    areas[0] = 0
    kept = _kept(areas, labels.numpy().ravel()[_first(parts)], share * labels.numel())
    numbers = np.zeros(len(areas), dtype=np.uint8)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return torch.from_numpy(numbers[parts])


def present(labels: UInt8[Tensor, "H W"]) -> list[int]:
    """The classes (1 … C) that have a pixel, ascending."""
    found = np.unique(labels.numpy()).tolist()
    return [number for number in found if number not in (BACKGROUND, UNKNOWN)]


def numbered_instances(
    photo: str, labels: UInt8[Tensor, "H W"], ids: UInt8[Tensor, "H W"]
) -> Instances:
    """Objects whose pixels have a number each.

    Args:
        labels: classes of the pixels; an object's class is that of its first pixel.
        ids: 1 … n; 0 is none.
    """
    numbers = [number for number in np.unique(ids.numpy()).tolist() if number]
    masks = [ids == number for number in numbers]
    classes = torch.tensor([int(labels[mask][0]) for mask in masks], dtype=torch.int64)
    runs = tuple(pack(mask.numpy()) for mask in masks)
    size = (labels.shape[0], labels.shape[1])
    return Instances(photo, classes, runs, torch.ones(len(masks), dtype=torch.float64), size)


def numbered(found: Instances) -> tuple[UInt8[Tensor, "H W"], tuple[int, ...]]:
    """The number of the object on top at every pixel, and the class of each object.

    The surest is 1 and lies on top; 0 is none. Of more than fit into a byte the surest are taken.
    """
    surest = torch.argsort(found.scores, descending=True, stable=True)[:MOST]
    ids = torch.zeros(found.size, dtype=torch.uint8)
    for number, place in reversed(list(enumerate(surest.tolist(), start=1))):
        ids[torch.from_numpy(unpack(found.runs[place], found.size))] = number
    return ids, tuple(found.classes[surest].tolist())


def sure(found: Instances, least: float) -> Instances:
    """The objects with a score of at least so much."""
    kept = torch.nonzero(found.scores >= least)[:, 0].tolist()
    runs = tuple(found.runs[number] for number in kept)
    crowds = tuple(found.crowds[number] for number in kept) if found.crowds else ()
    return replace(
        found, classes=found.classes[kept], runs=runs, scores=found.scores[kept], crowds=crowds
    )


def _first(parts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """The first pixel of every part."""
    flat = parts.ravel()
    first = np.zeros(int(flat.max(initial=0)) + 1, dtype=np.int64)
    first[flat[::-1]] = np.arange(flat.size)[::-1]  # of several the last one stays
    return first


def _kept(
    areas: npt.NDArray[np.int64], classes: npt.NDArray[np.uint8], least: float
) -> npt.NDArray[np.int64]:
    """Numbers of the parts that are large enough, the largest first."""
    order: npt.NDArray[np.int64] = np.argsort(-areas, kind="stable")
    order = order[areas[order] > 0]
    _, largest = np.unique(classes[order], return_index=True)
    large = areas[order] >= least
    large[largest] = True
    return order[large][:MOST]
