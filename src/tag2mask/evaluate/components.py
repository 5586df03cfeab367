"""Connected components: of a map at every level at once, and of a label map.

Pixels that touch at a side or a corner are connected, as in the contours that are followed where
the field makes boxes. A compiled kernel joins the pixels of a map from the highest down, once, and
knows every component from the level where it takes its shape to the one where it grows or meets
another. Where the kernel was not built, scikit-image labels level after level, which finds the
same and takes a hundred times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int32, Int64, UInt8
from skimage.measure import label
from torch import Tensor

from tag2mask.types import BACKGROUND, UNKNOWN, Boxes

SHARE: Final = 0.01  # of the photograph; IRN's released step for instances drops smaller fragments

Integers = npt.NDArray[np.int64]


def _load_kernel() -> ModuleType | None:
    try:
        return import_module("tag2mask.evaluate._components")
    except ImportError:
        return None


_KERNEL: Final = _load_kernel()


def is_compiled() -> bool:
    """Whether the compiled kernel is there."""
    return _KERNEL is not None


@dataclass(frozen=True, slots=True)
class Components:
    """Components of one map; each stands, as it is, at the levels from `low` to below `high`.

    Attributes:
        edges: left, top, right, bottom.
        areas: pixels.
        first: the first pixel in reading order, which tells equal ones apart.
    """

    edges: Int64[np.ndarray, "n 4"]
    areas: Int64[np.ndarray, "n"]
    first: Int64[np.ndarray, "n"]
    low: Int64[np.ndarray, "n"]
    high: Int64[np.ndarray, "n"]

    @staticmethod
    def of(table: Int64[np.ndarray, "n 8"]) -> Components:
        """From rows of left, top, right, bottom, area, first, low, high."""
        return Components(table[:, :4], *table[:, 4:].T)

    def by_level(self) -> tuple[Integers, Integers]:
        """Every level and component that occur together; of a level the largest comes last.

        Equally large ones: the one that begins first in reading order.
        """
        lengths = self.high - self.low
        component = np.repeat(np.arange(len(lengths)), lengths)
        begin = np.cumsum(lengths) - lengths
        level = np.arange(len(component)) - begin[component] + self.low[component]
        order = np.lexsort((-self.first[component], self.areas[component], level))
        return level[order], component[order]


def components(beaten: Int32[np.ndarray, "H W"], kernel: ModuleType | None = _KERNEL) -> Components:
    """The components of the pixels that beat a level, for every level.

    Args:
        beaten: how many of the ascending levels each pixel's value is above.
        kernel: what joins; None is scikit-image.
    """
    if kernel is None:
        tables = [_standing(beaten, level) for level in range(int(beaten.max(initial=0)))]
        return Components.of(np.concatenate([np.empty((0, 8), np.int64), *tables]))
    joined = kernel.join(np.ascontiguousarray(beaten), *beaten.shape)
    return Components.of(np.frombuffer(joined, dtype=np.int64).reshape(-1, 8))


def _standing(beaten: Int32[np.ndarray, "H W"], level: int) -> Integers:
    """The components at one level."""
    found = _zones(beaten > level)
    levels = np.full((len(found), 2), (level, level + 1))
    return np.concatenate([found, levels], axis=1)


def mask_boxes(photo: str, labels: UInt8[Tensor, "H W"], share: float = SHARE) -> Boxes:
    """A box around every component of every class; by class, the largest first.

    Components below a share of the photograph are left out, save the largest of each class: what
    is there has a box. A mask knows no confidence; the score of a box is the component's share of
    its class's pixels.

    Args:
        share: of the photograph's pixels, 0 … 1.
    """
    known, classes, edges, scores = labels.cpu().numpy(), [], [], []
    present = np.flatnonzero(np.bincount(known.ravel(), minlength=UNKNOWN + 1))
    for number in present[(present != BACKGROUND) & (present != UNKNOWN)].tolist():
        found = components((known == number).astype(np.int32))
        order = np.lexsort((found.first, -found.areas))
        large = found.areas[order] >= share * known.size
        large[0] = True
        kept = order[large]
        classes += [number] * len(kept)
        edges.append(found.edges[kept])
        scores.append(found.areas[kept] / found.areas.sum())
    return Boxes(
        photo,
        torch.tensor(classes, dtype=torch.int64),
        torch.from_numpy(np.concatenate([np.empty((0, 4)), *edges])),
        torch.from_numpy(np.concatenate([np.empty(0), *scores])),
        (labels.shape[0], labels.shape[1]),
    )


def _zones(mask: npt.NDArray[np.bool_]) -> Integers:
    """Connected pixels of a mask: left, top, right, bottom, area and first pixel of each part."""
    zones = label(mask, background=0, connectivity=2)
    (height, width), count = mask.shape, int(zones.max(initial=0)) + 1
    rows, columns, places = zones.ravel(), zones.T.ravel(), np.arange(mask.size)
    top, bottom, left, right = np.zeros((4, count), dtype=np.int64)
    top[rows[::-1]], bottom[rows] = places[::-1], places  # of several the last one stays
    left[columns[::-1]], right[columns] = places[::-1] // height, places // height + 1
    areas = np.bincount(rows, minlength=count)
    table = left, top // width, right, bottom // width + 1, areas, top
    return np.stack(table, axis=1)[1:]
