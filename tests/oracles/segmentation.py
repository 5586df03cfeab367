"""What a segmentation network is taught by, one pixel at a time."""

from __future__ import annotations

from math import exp, log

import numpy as np


def cross_entropy(logits: np.ndarray, labels: np.ndarray, unknown: int) -> float:
    """Mean over the decided pixels of all photographs; 0 where nothing is decided."""
    total, decided = 0.0, 0
    for number, row, column in np.ndindex(*labels.shape):
        label = int(labels[number, row, column])
        if label == unknown:
            continue
        column_of = [float(value) for value in logits[number, :, row, column]]
        top = max(column_of)
        total += top + log(sum(exp(value - top) for value in column_of)) - column_of[label]
        decided += 1
    return total / max(decided, 1)
