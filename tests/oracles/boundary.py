"""Boundary pixels by the distance to every pixel outside, one pair at a time."""

from __future__ import annotations

from math import hypot

import numpy as np


def rim_by_pixel(mask: np.ndarray, width: int) -> np.ndarray:
    height, length = mask.shape
    found = np.zeros_like(mask)
    for row, column in np.ndindex(*mask.shape):
        for y in range(row - width, row + width + 1):
            for x in range(column - width, column + width + 1):
                inside = 0 <= y < height and 0 <= x < length and mask[y, x]
                if mask[row, column] and not inside:
                    found[row, column] = True
    return found


def boundary_by_pixel(
    truth: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[list[int], list[int]]:
    width = max(1, round(0.02 * hypot(*truth.shape)))
    shared, joined = [], []
    for label in range(1, classes + 1):
        theirs = rim_by_pixel(truth == label, width)
        ours = rim_by_pixel((labels == label) & (truth != 255), width)
        shared.append(int((ours & theirs).sum()))
        joined.append(int((ours | theirs).sum()))
    return shared, joined
