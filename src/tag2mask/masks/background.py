"""Backgrounds other than a constant, as the level they come to."""

from __future__ import annotations

import math

import numpy as np

from tag2mask.errors import InputError


def alpha_level(alpha: float) -> float:
    """The level that says the same as a power of the background.

        max over c of M_c > (1 − max over c of M_c)^α   if and only if   max over c of M_c > t

    The left side ascends with the best value, the right side descends, so they cross once, at
    t = (1 − t)^α. Returned is the largest number of single precision that does not beat its
    background, so that the two decisions agree for every value that maps can hold. Source: PSA.

    Raises:
        InputError: alpha is not a finite number above 0.
    """
    if not (math.isfinite(alpha) and alpha > 0):
        raise InputError(f"alpha is {alpha}; expected a finite number above 0, such as 4 or 16.")
    low, high = 0, int(np.float32(1).view(np.int32))  # numbers ≥ 0 ascend with their bits
    while high - low > 1:
        middle = (low + high) // 2
        value = float(np.int32(middle).view(np.float32))
        low, high = (low, middle) if value > (1 - value) ** alpha else (middle, high)
    return float(np.int32(low).view(np.float32))
