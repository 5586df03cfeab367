"""Counting and scoring one pixel and one label at a time."""

from __future__ import annotations

import numpy as np


def confusion_by_pixel(truth: np.ndarray, labels: np.ndarray, classes: int) -> list[list[int]]:
    counts = [[0] * (classes + 1) for _ in range(classes + 1)]
    for place in np.ndindex(*truth.shape):
        row, column = int(truth[place]), int(labels[place])
        if row == 255:
            continue
        counts[row][0 if column == 255 else column] += 1
    return counts


def iou_by_sets(truth: np.ndarray, labels: np.ndarray, classes: int) -> list[float | None]:
    """IoU of every label from sets of pixels, without a confusion matrix."""
    places = [place for place in np.ndindex(*truth.shape) if truth[place] != 255]
    values: list[float | None] = []
    for label in range(classes + 1):
        true = {place for place in places if truth[place] == label}
        decided = {place for place in places if labels[place] % 255 == label}
        joined = true | decided
        values.append(len(true & decided) / len(joined) if joined else None)
    return values
