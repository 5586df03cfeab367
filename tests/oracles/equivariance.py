"""SEAM's and PPC's terms one cell at a time; arrays are photographs × classes × cells."""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray


def prototype(features: Array, maps: Array, one_in: int) -> Array | None:
    """Of one class: features photographs × D × cells, maps photographs × cells."""
    cells = [
        (float(maps[b, i]), features[b, :, i])
        for b in range(maps.shape[0])
        for i in range(maps.shape[1])
    ]
    chosen = sorted(cells, key=lambda cell: -cell[0])[: max(1, maps.shape[1] // one_in)]
    total = sum(value for value, _ in chosen)
    if total == 0:
        return None
    return np.asarray(sum(value * feature for value, feature in chosen) / total)


def label(maps: Array, level: float) -> int:
    """Of one cell: its maps, by the softmax with the constant background."""
    values = [level, *maps]
    shares = [math.exp(v) / sum(math.exp(w) for w in values) for v in values]
    return shares.index(max(shares))
