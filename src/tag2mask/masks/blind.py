"""Choose the background level without truth, from the maps alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float64
from torch import Tensor

from tag2mask.types import CamSet

BINS: Final = 256
Shares = Float64[Tensor, "256"]


@dataclass(frozen=True, slots=True)
class PeakHistogram:
    """How often the best class of a cell has which evidence; adds up over photographs.

    Every photograph with tags weighs one, whatever its size.

    Attributes:
        shares: bin k counts evidence in [k / 256, (k + 1) / 256).
    """

    shares: Shares

    def __add__(self, other: PeakHistogram) -> PeakHistogram:
        return PeakHistogram(self.shares + other.shares)

    @staticmethod
    def zeros() -> PeakHistogram:
        """No photograph yet."""
        return PeakHistogram(torch.zeros(BINS, dtype=torch.float64))

    @staticmethod
    def of(cams: CamSet) -> PeakHistogram:
        """One photograph; nothing where it has no tags."""
        if len(cams.classes) == 0:
            return PeakHistogram.zeros()
        peak = cams.maps.amax(dim=0).flatten()
        bins = (peak * BINS).long().clamp(0, BINS - 1)
        counts = torch.bincount(bins, minlength=BINS).double()
        return PeakHistogram(counts / counts.sum())


def otsu(shares: Shares) -> float:
    """The level that splits a histogram into the two most distinct halves.

        argmax over t of  w0(t) w1(t) (mean0(t) - mean1(t))^2

    N. Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979. Where several levels
    are equally good, the lowest. An empty histogram gives one half.
    """
    total = float(shares.sum())
    if total == 0:
        return 0.5
    centres = (torch.arange(BINS, dtype=torch.float64) + 0.5) / BINS
    below = shares.cumsum(0) / total
    mass = (shares * centres).cumsum(0) / total
    spread = below * (1 - below)
    between = torch.where(spread > 0, (mass[-1] * below - mass) ** 2 / spread.clamp(min=1e-12), 0.0)
    return (int(between.argmax()) + 1) / BINS


def blind_level(histogram: PeakHistogram) -> float:
    """The level used where none is given."""
    return otsu(histogram.shares)
