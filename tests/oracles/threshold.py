"""The decision, one pixel at a time, with bilinear resizing written out."""

from __future__ import annotations

from math import floor

import numpy as np


def sample(grid: np.ndarray, row: int, column: int, size: tuple[int, int]) -> float:
    """The value between the centres of the four nearest cells."""
    (top, bottom, down), (left, right, across) = (
        between(place, extent, cells)
        for place, extent, cells in zip((row, column), size, grid.shape, strict=True)
    )
    upper = (1 - across) * grid[top, left] + across * grid[top, right]
    lower = (1 - across) * grid[bottom, left] + across * grid[bottom, right]
    return float((1 - down) * upper + down * lower)


def between(place: int, extent: int, cells: int) -> tuple[int, int, float]:
    exact = max((place + 0.5) * cells / extent - 0.5, 0.0)
    first = min(floor(exact), cells - 1)
    return first, min(first + 1, cells - 1), exact - first


def threshold_by_pixel(
    maps: np.ndarray,
    classes: list[int],
    size: tuple[int, int],
    background: float,
    confident: float | None,
) -> np.ndarray:
    labels = np.zeros(size, dtype=np.uint8)
    for row, column in np.ndindex(*size):
        best, winner = background, 0
        for label, grid in zip(classes, maps, strict=True):
            value = sample(grid, row, column, size)
            if value > best:
                best, winner = value, label
        if winner and confident is not None and best <= confident:
            winner = 255
        labels[row, column] = winner
    return labels
