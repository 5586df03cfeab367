"""The random walk with the matrix that it never forms."""

from __future__ import annotations

import numpy as np


def transition_matrix(
    affinity: np.ndarray, steps: list[tuple[int, int]], beta: float
) -> np.ndarray:
    """T, N × N, one pair at a time; its columns add to 1."""
    _, height, width = affinity.shape
    matrix = np.eye(height * width)
    for number, (down, right) in enumerate(steps):
        for row in range(height):
            for column in range(width):
                y, x = row + down, column + right
                if 0 <= y < height and 0 <= x < width:
                    value = affinity[number, row, column] ** beta
                    matrix[row * width + column, y * width + x] = value
                    matrix[y * width + x, row * width + column] = value
    return matrix / matrix.sum(axis=0, keepdims=True)


def walk_by_matrix(maps: np.ndarray, matrix: np.ndarray, steps: int) -> np.ndarray:
    """vec(M)·T^steps."""
    flat = maps.reshape(len(maps), -1)
    return (flat @ np.linalg.matrix_power(matrix, steps)).reshape(maps.shape)


def near_pairs(radius: int) -> list[tuple[int, int]]:
    """(down, right) of neighbours closer than the radius: to the right, and everything below."""
    found = [(0, x) for x in range(1, radius)]
    for y in range(1, radius):
        for x in range(1 - radius, radius):
            if (y * y + x * x) ** 0.5 < radius:
                found.append((y, x))
    return found
