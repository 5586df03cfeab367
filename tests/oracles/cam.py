"""Class activation maps and their merging, one number at a time."""

from __future__ import annotations

from math import exp, log1p

import numpy as np


def maps_by_cell(features: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Evidence of every class at every cell from features D × h × w and weights C × D."""
    found = np.zeros((len(weight), *features.shape[1:]))
    for c, row, column in np.ndindex(*found.shape):
        total = sum(weight[c, k] * features[k, row, column] for k in range(len(features)))
        found[c, row, column] = max(0.0, total)
    return found


def soft_margin(scores: np.ndarray, tags: np.ndarray) -> float:
    """The multi-label soft margin, a mean over classes and over photographs."""
    total = 0.0
    for score, tag in zip(scores.flat, tags.flat, strict=True):
        signed = float(score) if tag else -float(score)
        total += log1p(exp(-signed)) if signed > -30 else -signed
    return total / scores.size


def enlarged(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Linear interpolation between centres of cells; beyond the outermost, the nearest."""
    found = np.zeros((len(maps), *size))
    for c, row, column in np.ndindex(*found.shape):
        y, x = (
            min(max((place + 0.5) * old / new - 0.5, 0), old - 1)
            for place, old, new in zip((row, column), maps.shape[1:], size, strict=True)
        )
        top, left = int(y), int(x)
        below, right = min(top + 1, maps.shape[1] - 1), min(left + 1, maps.shape[2] - 1)
        v, u = y - top, x - left
        found[c, row, column] = (
            (1 - v) * (1 - u) * maps[c, top, left]
            + (1 - v) * u * maps[c, top, right]
            + v * (1 - u) * maps[c, below, left]
            + v * u * maps[c, below, right]
        )
    return found


def merged(scales: list[np.ndarray]) -> np.ndarray:
    """Sum over scales on the finest grid, each class by its maximum plus 1e-5."""
    finest = max((maps.shape[1:] for maps in scales), key=lambda size: size[0] * size[1])
    total = sum(enlarged(maps, finest) for maps in scales)
    return np.stack([one / (one.max() + 1e-5) for one in np.asarray(total)])
