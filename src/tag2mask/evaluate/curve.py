"""The score at every background level from one pass over the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional

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
    tally(curve, cams, truth, Bins(levels))
    return curve


def tally(curve: Curve, cams: CamSet, truth: UInt8[Tensor, "H W"], bins: Bins) -> None:
    """Add one photograph to a curve in place."""
    present = truth.flatten().bincount(minlength=UNKNOWN + 1)
    wide = curve.counts.shape[1]
    if present[wide:UNKNOWN].any():
        highest = int(present[:UNKNOWN].nonzero().max())
        raise ValueError(f"label {highest} where labels end at {wide - 1}.")
    if len(cams.classes) == 0:
        curve.counts[0, :, BACKGROUND] += present[:wide]
        return
    if not math.isfinite(float(cams.maps.sum())):
        raise InputError(
            f"The maps of {cams.id} hold NaN or infinity; expected evidence from 0 to 1. "
            "Make the maps anew from a checked photograph, or leave it out."
        )
    peak, best = _best(cams, (truth.shape[0], truth.shape[1]))
    labels = present.nonzero().flatten()
    rows = torch.zeros(UNKNOWN + 1, dtype=torch.int32)
    places = len(cams.classes)
    rows[labels] = torch.arange(len(labels), dtype=torch.int32) * ((bins.count + 1) * places)
    flat = rows[truth.flatten().int()].add_(bins.of(peak.flatten()), alpha=places)
    if best is not None:
        flat += best.flatten()
    shape = (len(labels), bins.count + 1, places)
    small = torch.bincount(flat, minlength=math.prod(shape)).view(shape)[labels != UNKNOWN]
    known = labels[labels != UNKNOWN]
    curve.counts[0, known, BACKGROUND] += small[:, 0].sum(dim=1)
    curve.counts[:, known[:, None], cams.classes] += small[:, 1:].transpose(0, 1)


class Bins:
    """How many levels a value beats, exactly, by a table of fine cells.

    A cell that holds no level has one answer; the few values whose cell holds levels are looked up.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.count = len(levels)
        self.levels = torch.tensor(levels, dtype=torch.float32)
        edges = torch.arange(GRID + 1, dtype=torch.float32) / GRID
        self.below = torch.bucketize(edges[:-1], self.levels, out_int32=True)
        self.next = torch.cat([self.levels, torch.tensor([math.inf])])[self.below.long()]
        upper = torch.bucketize(edges[1:], self.levels, out_int32=True)
        self.single = bool(((upper - self.below) <= 1).all())

    def of(self, values: Tensor) -> Tensor:
        """The number of levels below each value, int32."""
        if not self.single:
            return torch.bucketize(values, self.levels, out_int32=True)
        cells = (values * GRID).int().clamp_(0, GRID - 1)
        return self.below[cells].add_(values > self.next[cells])


def _best(cams: CamSet, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """Value and place of the best class of every pixel; of equals the first, for classes ascend."""
    full = functional.interpolate(cams.maps[None], size=size, mode="bilinear", align_corners=False)
    if len(cams.classes) == 1:
        return full[0, 0], None
    peak, place = full[0, 0], torch.zeros(size, dtype=torch.uint8)
    for number, values in enumerate(full[0, 1:], start=1):
        place.masked_fill_(values > peak, number)
        peak = torch.maximum(peak, values)
    return peak, place
