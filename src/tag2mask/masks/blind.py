"""A background level without any mask: rules on how the maps' values are distributed.

Every rule is a pure function of one histogram over all training photographs, so that no rule can
look at a truth. A rule returns a level; values above it are foreground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64
from torch import Tensor

from tag2mask.types import CamSet

BINS: Final = 256  # refined maps are kept as bytes
SHARE: Final = 1 << 20  # what one photograph adds; finer than any grid of cells
MIDDLE: Final = 0.5  # where nothing can be divided
RISE: Final = 0.5  # standard deviations above the mean; measured, docs/journal.md
HIGHEST: Final = (BINS - 1.5) / (BINS - 1)  # below the last bin, so that something can beat it
SMOOTHINGS: Final = 10_000  # far more than any histogram of 256 bins needs

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PeakHistogram:
    """How often the best class of a cell has which value; adds up over photographs and shards.

    Bin b holds the values that round to b / 255. Every photograph weighs the same, however many
    cells its grid has; photographs without tags are left out, for they have no evidence.
    """

    counts: Int64[Tensor, "256"]

    @staticmethod
    def zeros() -> PeakHistogram:
        """An empty count."""
        return PeakHistogram(torch.zeros(BINS, dtype=torch.int64))

    @staticmethod
    def of(cams: CamSet) -> PeakHistogram:
        """The best values of one photograph, on the maps' own grid; they sum to `SHARE`."""
        if not len(cams.classes):
            return PeakHistogram.zeros()
        best = cams.maps.amax(dim=0).flatten().cpu()
        cells = torch.bincount(
            (best * (BINS - 1)).round().long().clamp(0, BINS - 1), minlength=BINS
        )
        shares = cells.cumsum(0) * SHARE // best.numel()  # rounded so that the sum is exact
        return PeakHistogram(torch.diff(shares, prepend=shares.new_zeros(1)))

    def __add__(self, other: PeakHistogram) -> PeakHistogram:
        return PeakHistogram(self.counts + other.counts)


def blind_level(histogram: PeakHistogram) -> float:
    """The background level when none is given: `raised_mean`."""
    return raised_mean(histogram)


def raised_mean(histogram: PeakHistogram) -> float:
    """The mean of all values plus half their standard deviation; 0.5 without any.

        mu + sigma / 2

    Ours. Otsu's rule looks for two groups, and where objects are small or maps are broad there are
    none; it was up to 6 mIoU points further from the best level (measured, docs/journal.md).
    """
    total = int(histogram.counts.sum())
    if not total:
        return MIDDLE
    values = torch.arange(BINS, dtype=torch.float64) / (BINS - 1)
    shares = histogram.counts.double() / total
    mean = float((shares * values).sum())
    deviation = math.sqrt(float((shares * (values - mean).square()).sum()))
    return min(mean + RISE * deviation, HIGHEST)


def otsu(histogram: PeakHistogram) -> float:
    """The level that separates two groups of values best.

        argmax over t of  w0(t) · w1(t) · (mu0(t) − mu1(t))²

    with the share w and the mean mu of the values up to bin t and above it. The lowest of equals;
    0.5 if there are fewer than two different values.

    Source: N. Otsu, A Threshold Selection Method from Gray-Level Histograms, IEEE Transactions on
    Systems, Man, and Cybernetics, 1979.
    """
    counts = histogram.counts
    if int((counts > 0).sum()) < 2:
        return MIDDLE
    weighted = counts * torch.arange(BINS)
    below, sum_below = counts.cumsum(0).double(), weighted.cumsum(0).double()
    above, sum_above = counts.sum() - below, weighted.sum() - sum_below
    gap = sum_below / below.clamp(min=1) - sum_above / above.clamp(min=1)
    return _upper_edge(int((below * above * gap.square()).argmax()))


def valley(histogram: PeakHistogram) -> float:
    """The lowest place between the two peaks that are left when the histogram is smoothed.

    A running mean over three bins is repeated until at most two maxima are left; the ends of the
    scale count as maxima. If not two remain, `otsu` decides. Height does not matter: a few stray
    values far from one large group pass for a second peak.

    Source: J. Prewitt and M. Mendelsohn, The Analysis of Cell Images, Annals of the New York
    Academy of Sciences, 1966.
    """
    counts: Counts = histogram.counts.double().numpy()
    for _ in range(SMOOTHINGS):
        padded = np.pad(counts, 1, mode="edge")
        counts = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        peaks = _peaks(counts)
        if len(peaks) <= 2:
            break
    if len(peaks) != 2:
        return otsu(histogram)
    return _upper_edge(peaks[0] + int(counts[peaks[0] : peaks[1]].argmin()))


def mean_level(histogram: PeakHistogram) -> float:
    """The mean of all values; 0.5 without any."""
    total = int(histogram.counts.sum())
    if not total:
        return MIDDLE
    return int((histogram.counts * torch.arange(BINS)).sum()) / (total * (BINS - 1))


def _peaks(counts: Counts) -> list[int]:
    """Bins where the counts stop rising, the ends included; of a plateau the last bin."""
    found, rising = [], True
    for place in range(len(counts) - 1):
        if rising and counts[place + 1] < counts[place]:
            found.append(place)
            rising = False
        elif not rising and counts[place + 1] > counts[place]:
            rising = True
    return [*found, len(counts) - 1] if rising else found


def _upper_edge(place: int) -> float:
    """The level halfway between a bin and the next."""
    return (place + 0.5) / (BINS - 1)
