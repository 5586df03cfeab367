"""The score at every background level from one pass over the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.evaluate.scores import scores
from tag2mask.types import BACKGROUND, UNKNOWN, CamSet, Confusion

BINS: Final = 256


@dataclass(frozen=True, slots=True)
class Curve:
    """Pixels by evidence of their best class, truth, and that class; adds up over photographs.

    Level k / 256 asks for evidence above it, exactly as `masks.threshold` does: bin k holds
    evidence in (k / 256, (k + 1) / 256]; pixels without evidence are background at every level.

    Attributes:
        counts: (bin, truth, best class); column 0 holds pixels without evidence.
    """

    counts: Int64[Tensor, "256 L L"]

    def __add__(self, other: Curve) -> Curve:
        return Curve(self.counts + other.counts)

    @staticmethod
    def zeros(classes: int) -> Curve:
        """Nothing counted yet."""
        return Curve(torch.zeros(BINS, classes + 1, classes + 1, dtype=torch.int64))

    def levels(self) -> list[float]:
        """The 256 levels, ascending from 0."""
        return [k / BINS for k in range(BINS)]

    def confusion(self, k: int) -> Confusion:
        """What thresholding at level k / 256 would count."""
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
        k = max(range(BINS), key=mious.__getitem__)
        return k / BINS, mious[k]


def curve_counts(cams: CamSet, truth: UInt8[Tensor, "H W"], classes: int) -> Curve:
    """Count one photograph; maps are brought to the truth's size first (bilinear).

    Raises:
        ValueError: the truth holds a label beyond `classes`.
    """
    curve, wide = Curve.zeros(classes), classes + 1
    rows = torch.where(truth == UNKNOWN, 0, truth.int() + 1)  # row 0 is unknown and dropped
    if int(rows.max()) > wide:
        raise ValueError(f"label {int(rows.max()) - 1} where labels end at {classes}.")
    if len(cams.classes) == 0:
        curve.counts[0, :, BACKGROUND] = torch.bincount(rows.flatten(), minlength=wide + 1)[1:]
        return curve
    full = functional.interpolate(
        cams.maps[None], size=truth.shape, mode="bilinear", align_corners=False
    )[0]
    peak, best = full.max(dim=0)  # the first of equals; classes ascend
    bins = ((peak * BINS).ceil().int() - 1).clamp_(0, BINS - 1)
    columns = torch.where(peak > 0, best.int() + 1, 0)  # place among the tagged classes; 0 none
    shape = (BINS, wide + 1, len(cams.classes) + 1)
    flat = bins.mul_(shape[1]).add_(rows).mul_(shape[2]).add_(columns).flatten()
    small = torch.bincount(flat, minlength=math.prod(shape)).view(shape)[:, 1:]
    curve.counts[:, :, BACKGROUND] = small[:, :, 0]
    curve.counts[:, :, cams.classes] = small[:, :, 1:]
    return curve
