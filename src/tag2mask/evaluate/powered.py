"""The mean of a whole set from truth for a few photographs and an estimate for every one.

A. Angelopoulos, S. Bates, C. Fannjiang, M. Jordan, T. Zrnic: Prediction-Powered Inference,
Science 382, 2023; the weight λ: A. Angelopoulos, J. Duchi, T. Zrnic: PPI++, 2023. The set is
finite here and the few are drawn from it, so the interval is that of survey sampling's regression
estimator: W. Cochran, Sampling Techniques, 3rd edition, 1977, chapter 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from jaxtyping import Float64, Int64
from scipy import special
from torch import Tensor

COVERAGE: Final = 0.95
FEWEST: Final = 5  # below, the spread of the few says next to nothing


@dataclass(frozen=True, slots=True)
class PoweredMean:
    """A mean over a whole set, and an interval that holds it 95 times of 100.

    Attributes:
        plain: the mean over the photographs with truth alone.
        plain_low: the interval without the estimates; for comparison.
        weight: λ, how far the estimates were believed; 0 is not at all.
        known: photographs with truth, of `total`.
    """

    mean: float
    low: float
    high: float
    plain: float
    plain_low: float
    plain_high: float
    weight: float
    known: int
    total: int


def powered_mean(
    estimates: Float64[Tensor, "N"], known: Int64[Tensor, "n"], truth: Float64[Tensor, "n"]
) -> PoweredMean:
    """The mean of y over all N photographs, y known of n of them, an estimate f of every one.

        mean = 1/n sum over known of (y_i − λ f_i) + λ/N sum over all of f_i
        λ = max(0, Cov(f, y) / Var(f))  over the known

    The estimates may be on any scale, for λ is one; only their order and spacing matter. With s²
    the variance of the residuals (n − 2 degrees of freedom, n − 1 where λ is 0):

        Var = s² · (1/n − 1/N + (f̄_N − f̄_n)² / sum over known of (f_i − f̄_n)²)

    The known ones have to be a random draw: photographs picked because they look bad, or good,
    make every such interval wrong.

    Args:
        known: numbers of the photographs with truth, in 0 … N − 1, each once.
        truth: y of each.

    Raises:
        ValueError: fewer than five known, or more than there are.
    """
    count, total = len(known), len(estimates)
    if not FEWEST <= count <= total or len(truth) != count:
        raise ValueError(f"{count} known of {total}; expected {FEWEST} or more of them.")
    few = estimates[known]
    spread = few - few.mean()
    squares = float(spread.square().sum())
    weight = max(0.0, float((spread * truth).sum()) / squares) if squares > 0 else 0.0
    gap = float(estimates.mean() - few.mean())
    plain = float(truth.mean())
    share = 1 / count - 1 / total
    lone = _half(truth, 1, share)
    near = lone
    if weight:
        near = _half(truth - weight * few, 2, share + gap * gap / squares)
    mean = plain + weight * gap
    return PoweredMean(
        mean, mean - near, mean + near, plain, plain - lone, plain + lone, weight, count, total
    )


def _half(values: Float64[Tensor, "n"], fitted: int, share: float) -> float:
    """Half the width of the interval of a mean.

    Args:
        fitted: parameters that were fitted to the values.
        share: what their variance is multiplied with.
    """
    freedom = len(values) - fitted
    variance = float((values - values.mean()).square().sum()) / freedom
    return float(special.stdtrit(freedom, (1 + COVERAGE) / 2)) * math.sqrt(variance * share)
