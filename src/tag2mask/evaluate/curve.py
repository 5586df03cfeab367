"""The score at every background level from one pass over the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.evaluate.scores import scores
from tag2mask.types import BACKGROUND, UNKNOWN, CamSet, Confusion

LEVELS: Final = tuple(k / 256 for k in range(256))
GRID: Final = 1 << 12  # cells of the table that finds a value's bin


@dataclass(frozen=True, slots=True)
class Curve:
    """Pixels by evidence of their best class, truth, and that class; adds up over photographs.

    A level asks for evidence above it, exactly as `masks.threshold` does, in single precision:
    bin k holds evidence in (levels[k], levels[k + 1]]; what beats no level is background at all.

    Attributes:
        counts: (bin, truth, best class); column 0 holds pixels that beat no level.
        marks: the N levels, ascending.
    """

    counts: Int64[Tensor, "N L L"]
    marks: tuple[float, ...] = LEVELS

    def __add__(self, other: Curve) -> Curve:
        if self.marks != other.marks:
            raise ValueError("the curves have different levels.")
        return Curve(self.counts + other.counts, self.marks)

    @staticmethod
    def zeros(classes: int, levels: Sequence[float] = LEVELS) -> Curve:
        """Nothing counted yet.

        Raises:
            ValueError: levels that do not ascend, or no level.
        """
        single = torch.tensor(levels, dtype=torch.float32)
        if not len(single) or not bool((single.diff() > 0).all()):
            raise ValueError("levels must ascend, one at least.")
        counts = torch.zeros(len(levels), classes + 1, classes + 1, dtype=torch.int64)
        return Curve(counts, tuple(levels))

    def levels(self) -> list[float]:
        """The levels, ascending."""
        return list(self.marks)

    def confusion(self, k: int) -> Confusion:
        """What thresholding at the k-th level would count."""
        decided = self.counts[k:].sum(dim=0)
        decided[:, BACKGROUND] = 0
        background = self.counts.sum(dim=(0, 2)) - decided.sum(dim=1)
        decided[:, BACKGROUND] = background
        return Confusion(decided)

    def mious(self) -> list[float]:
        """Mean IoU at every level."""
        above = self.counts.flip(0).cumsum(0).flip(0)
        above[:, :, BACKGROUND] = 0
        pixels = self.counts.sum(dim=(0, 2))
        above[:, :, BACKGROUND] = pixels - above.sum(dim=2)
        return [scores(Confusion(counts)).miou for counts in above]

    def best(self) -> tuple[float, float]:
        """(level, mIoU) of the best level: an oracle, for it uses truth."""
        mious = self.mious()
        k = max(range(len(mious)), key=mious.__getitem__)
        return self.marks[k], mious[k]


def curve_counts(
    cams: CamSet,
    truth: UInt8[Tensor, "H W"],
    classes: int,
    levels: Sequence[float] = LEVELS,
) -> Curve:
    """Count one photograph; maps are brought to the truth's size first (bilinear).

    Raises:
        InputError: the maps hold NaN.
        ValueError: the truth holds a label beyond `classes`, or levels do not ascend.
    """
    curve = Curve.zeros(classes, levels)
    Tally(curve).add(cams, truth)
    return curve


class Tally:
    """Adds photographs to a curve in place.

    Arrays as large as a photograph are kept for the next one: fresh memory costs more than the
    arithmetic.
    """

    def __init__(self, curve: Curve) -> None:
        self.curve, self.bins = curve, Bins(curve.marks)
        self.wide = curve.counts.shape[1]
        self.rows = torch.full((UNKNOWN + 1,), self.wide + 1, dtype=torch.int32)  # beyond classes
        self.rows[: self.wide] = torch.arange(self.wide, dtype=torch.int32)
        self.rows[UNKNOWN] = self.wide
        self.full = torch.empty(0)
        self.flags = torch.empty(0, dtype=torch.bool)
        self.flat = torch.empty(0, dtype=torch.int32)

    def add(self, cams: CamSet, truth: UInt8[Tensor, "H W"]) -> None:
        """Count one photograph; nothing is added where it is refused."""
        if len(cams.classes) and not math.isfinite(float(cams.maps.sum())):
            raise InputError(
                f"The maps of {cams.id} hold NaN or infinity; expected evidence from 0 to 1. "
                "Make the maps anew from a checked photograph, or leave it out."
            )
        shape = (self.wide + 2, self.bins.count + 1, max(len(cams.classes), 1))
        if self.flat.numel() != truth.numel():
            self.flat = torch.empty(truth.numel(), dtype=torch.int32)
            self.flags = torch.empty(truth.numel(), dtype=torch.bool)
        np.take(self.rows.numpy(), truth.numpy().ravel(), out=self.flat.numpy(), mode="clip")
        self.flat.mul_(shape[1] * shape[2])
        if len(cams.classes):
            self._best(cams, (truth.shape[0], truth.shape[1]))
        counts = torch.bincount(self.flat, minlength=math.prod(shape)).view(shape)
        if counts[-1].any():
            highest = int(truth[truth != UNKNOWN].max())
            raise ValueError(f"label {highest} where labels end at {self.wide - 1}.")
        known = counts[: self.wide]
        self.curve.counts[0, :, BACKGROUND] += known[:, 0].sum(dim=1)
        if len(cams.classes):
            self.curve.counts[:, :, cams.classes] += known[:, 1:].transpose(0, 1)

    def _best(self, cams: CamSet, size: tuple[int, int]) -> None:
        """Add bin and place of every pixel's best class; of equals the first, classes ascend."""
        count, pixels = len(cams.classes), size[0] * size[1]
        self.full.resize_(1, count, *size)
        enlarge = torch.ops.aten.upsample_bilinear2d.out  # functional.interpolate, into memory
        enlarge(cams.maps[None].contiguous(), list(size), False, out=self.full)
        peak, *others = self.full.view(count, pixels)
        if others:
            place = torch.zeros(pixels, dtype=torch.int32)
            for number, values in enumerate(others, start=1):
                torch.gt(values, peak, out=self.flags)
                place.masked_fill_(self.flags, number)
                torch.maximum(peak, values, out=peak)
            self.flat.add_(place)
        self.bins.add(self.flat, peak, count, self.flags)


class Bins:
    """How many levels a value beats, exactly, by a table of fine cells.

    Each cell of the table knows the levels below it and the next one; only where several levels
    share a cell are values looked up one by one.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.count = len(levels)
        self.levels = torch.tensor(levels, dtype=torch.float32)
        edges = torch.arange(GRID + 1, dtype=torch.float32) / GRID
        self.below = torch.bucketize(edges[:-1], self.levels, out_int32=True)
        self.next = torch.cat([self.levels, torch.tensor([math.inf])])[self.below.long()]
        upper = torch.bucketize(edges[1:], self.levels, out_int32=True)
        self.single = bool(((upper - self.below) <= 1).all()) and levels[0] >= 0
        self.scaled, self.cells = torch.empty(0), torch.empty(0, dtype=torch.int32)
        self.found = torch.empty(0, dtype=torch.int32)

    def add(self, total: Tensor, values: Tensor, weight: int, flags: Tensor) -> None:
        """Add weight × the number of levels below each value, in place; flags are overwritten."""
        if not self.single:
            total.add_(torch.bucketize(values, self.levels, out_int32=True), alpha=weight)
            return
        for room in (self.scaled, self.cells, self.found):
            room.resize_(len(values))
        self.cells.copy_(torch.mul(values, GRID, out=self.scaled).clamp_(0, GRID - 1))
        torch.index_select(self.below, 0, self.cells, out=self.found)
        torch.index_select(self.next, 0, self.cells, out=self.scaled)
        total.add_(self.found, alpha=weight).add_(
            torch.gt(values, self.scaled, out=flags), alpha=weight
        )
