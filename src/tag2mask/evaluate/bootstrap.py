"""How sure a difference between two runs is, given the photographs it was measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

DRAWS: Final = 2000
COVERAGE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference of mIoU, and where 95 % of the resampled ones lie; shares, not percent."""

    difference: float
    low: float
    high: float


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
    edge = (1 - COVERAGE) / 2
    low, high = torch.quantile(found / runs, torch.tensor([edge, 1 - edge], dtype=torch.float64))
    return Interval(measured / runs, float(low), float(high))


def mean_iou(counts: Float[Tensor, "R L L"]) -> Float[Tensor, "R"]:
    """Mean over the labels that occur of TP / (TP + FP + FN), one a confusion."""
    hit = counts.diagonal(dim1=1, dim2=2)
    union = counts.sum(1) + counts.sum(2) - hit
    occurs = union > 0
    shares = hit / union.where(occurs, torch.ones_like(union))
    return (shares * occurs).sum(1) / occurs.sum(1).clamp(min=1)


def _totals(times: Float[Tensor, "R N"], counts: Int64[Tensor, "N L L"]) -> Float[Tensor, "R L L"]:
    labels = counts.shape[-1]
    return (times @ counts.double().flatten(1)).view(-1, labels, labels)
