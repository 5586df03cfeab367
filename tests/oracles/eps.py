"""EPS's term cell by cell; arrays are photographs × labels × cells, background in front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def overlap(probabilities: Array, saliency: Array, inside: Array) -> float:
    """Of one class in one photograph, over its cells."""
    claimed = salient = 0
    for p, s, shown in zip(probabilities, saliency, inside, strict=True):
        if shown and p > 0.5:
            claimed += 1
            salient += int(s > 0.5)
    return salient / claimed if claimed else 1.0


def loss(
    probabilities: Array,
    tags: Sequence[Sequence[bool]],
    saliency: Array,
    inside: Array,
    alpha: float,
    consistent: float,
) -> float:
    total, cells = 0.0, 0
    for b, names in enumerate(tags):
        shown, hidden = [], []
        for c, named in enumerate(names, start=1):
            if named:
                supported = overlap(probabilities[b, c], saliency[b], inside[b]) > consistent
                (shown if supported else hidden).append(c)
        for i in range(saliency.shape[1]):
            if not inside[b, i]:
                continue
            foreground = sum(float(probabilities[b, c, i]) for c in shown)
            background = float(probabilities[b, 0, i]) + sum(
                float(probabilities[b, c, i]) for c in hidden
            )
            implied = alpha * foreground + (1 - alpha) * (1 - background)
            total += (implied - float(saliency[b, i])) ** 2
            cells += 1
    return total / cells if cells else 0.0
