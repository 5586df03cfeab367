"""How sure a score, or a difference of two, is, given the photographs it was measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

DRAWS: Final = 2000
STREAMED: Final = 500  # sets drawn while photographs come by: each is kept as a confusion
COVERAGE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference of mIoU, and where 95 % of the resampled ones lie; shares, not percent."""

    difference: float
    low: float
    high: float


class Resampled:
    """mIoU of sets of photographs drawn again from those that come by, one at a time.

    Every photograph is in each set as often as a Poisson variable of mean 1 says, which is what
    drawing with replacement comes to for many photographs; none has to be kept.

    N. Chamandy, O. Muralidharan, A. Najmi, S. Naidu: Estimating Uncertainty for Massive Data
    Streams, Google technical report, 2012.

    Args:
        labels: L.
    """

    def __init__(self, labels: int, draws: int = STREAMED, seed: int = 0) -> None:
        self.labels = labels
        self.generator = torch.Generator().manual_seed(seed)
        self.totals = torch.zeros(labels * labels, draws, dtype=torch.float64)

    def add(self, counts: Int64[Tensor, "L L"]) -> None:
        """One photograph's confusion (truth, decision)."""
        every = torch.ones(self.totals.shape[1], dtype=torch.float64)
        times = torch.poisson(every, generator=self.generator)
        flat = counts.flatten()
        cells = flat.nonzero()[:, 0]
        self.totals[cells] += flat[cells, None] * times

    def interval(self) -> tuple[float, float]:
        """Where 95 % of the sets' mIoU lie; shares, not percent."""
        found = mean_iou(self.totals.T.reshape(-1, self.labels, self.labels))
        low, high = torch.quantile(found, _edges())
        return float(low), float(high)


def paired_bootstrap(
    ours: Int64[Tensor, "R N L L"],
    theirs: Int64[Tensor, "R N L L"],
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """mIoU(ours) − mIoU(theirs), mean over runs, with a percentile interval over photographs.

    Photographs are drawn with replacement, the same ones for both sides and for every run; each
    draw adds up its confusions and takes one mIoU a run, as the scores do. The interval says what
    other photographs might have shown; the spread over seeds is another question.

    Args:
        ours: confusions of single photographs (truth, decision), R runs (seeds), N photographs.
        theirs: of the same photographs in the same order.

    Raises:
        ValueError: no photographs, or no runs.
    """
    runs, photographs = ours.shape[:2]
    if not runs or not photographs:
        raise ValueError(f"{runs} runs of {photographs} photographs came; expected some of both.")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(photographs, (draws, photographs), generator=generator)
    times = torch.zeros(draws, photographs, dtype=torch.float64)
    times.scatter_add_(1, chosen, torch.ones_like(chosen, dtype=torch.float64))
    every = torch.ones(1, photographs, dtype=torch.float64)
    found = torch.zeros(draws, dtype=torch.float64)
    measured = 0.0
    for one, other in zip(ours, theirs, strict=True):
        found += mean_iou(_totals(times, one)) - mean_iou(_totals(times, other))
        whole = mean_iou(_totals(every, one)) - mean_iou(_totals(every, other))
        measured += float(whole[0])
    low, high = torch.quantile(found / runs, _edges())
    return Interval(measured / runs, float(low), float(high))


def mean_iou(counts: Float[Tensor, "R L L"]) -> Float[Tensor, "R"]:
    """Mean over the labels that occur of TP / (TP + FP + FN), one a confusion."""
    hit = counts.diagonal(dim1=1, dim2=2)
    union = counts.sum(1) + counts.sum(2) - hit
    occurs = union > 0
    shares = hit / union.where(occurs, torch.ones_like(union))
    return (shares * occurs).sum(1) / occurs.sum(1).clamp(min=1)


def _edges() -> Float[Tensor, "2"]:
    edge = (1 - COVERAGE) / 2
    return torch.tensor([edge, 1 - edge], dtype=torch.float64)


def _totals(times: Float[Tensor, "R N"], counts: Int64[Tensor, "N L L"]) -> Float[Tensor, "R L L"]:
    labels = counts.shape[-1]
    return (times @ counts.double().flatten(1)).view(-1, labels, labels)
