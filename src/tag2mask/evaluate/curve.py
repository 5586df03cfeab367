"""The score at every background level from one pass over the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Int64
from torch import Tensor

from tag2mask.evaluate.scores import mean_ious
from tag2mask.types import BACKGROUND, Confusion

LEVELS: Final = tuple(k / 256 for k in range(256))


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
        return mean_ious(above)

    def best(self) -> tuple[float, float]:
        """(level, mIoU) of the best level: an oracle, for it uses truth."""
        mious = self.mious()
        k = max(range(len(mious)), key=mious.__getitem__)
        return self.marks[k], mious[k]
