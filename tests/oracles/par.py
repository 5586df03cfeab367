"""Pixel-adaptive refinement, one cell and one neighbour at a time."""

from __future__ import annotations

from math import exp
from statistics import stdev

import numpy as np

W1, W2, W3 = 0.3, 0.3, 0.01


def places(
    row: int, column: int, size: tuple[int, int], dilations: tuple[int, ...]
) -> list[tuple[int, int]]:
    """Where the neighbours of a cell are; beyond the border, the nearest cell."""
    found = []
    for dilation in dilations:
        for down in (-dilation, 0, dilation):
            for right in (-dilation, 0, dilation):
                if (down, right) != (0, 0):
                    y = min(max(row + down, 0), size[0] - 1)
                    x = min(max(column + right, 0), size[1] - 1)
                    found.append((y, x))
    return found


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def position(dilations: tuple[int, ...]) -> list[float]:
    straight_and_diagonal = [2**0.5, 1, 2**0.5, 1, 1, 2**0.5, 1, 2**0.5]
    distances = [d * length for d in dilations for length in straight_and_diagonal]
    spread = stdev(distances)
    return softmax([-((distance / (W2 * spread)) ** 2) for distance in distances])


def affinity_by_cell(image: np.ndarray, dilations: tuple[int, ...]) -> np.ndarray:
    _, height, width = image.shape
    near = position(dilations)
    kernel = np.zeros((8 * len(dilations), height, width))
    for row in range(height):
        for column in range(width):
            around = places(row, column, (height, width), dilations)
            energies = [0.0] * len(around)
            for channel in image:
                colours = [float(channel[place]) for place in around]
                spread = stdev(colours) + 1e-8
                for number, colour in enumerate(colours):
                    gap = abs(colour - float(channel[row, column]))
                    energies[number] -= (gap / (W1 * spread)) ** 2 / 3
            alike = softmax(energies)
            kernel[:, row, column] = [
                (a + W3 * n) / (1 + W3) for a, n in zip(alike, near, strict=True)
            ]
    return kernel


def varm_by_cell(image: np.ndarray, dilations: tuple[int, ...]) -> np.ndarray:
    """RTC's kernel for a picture on 0 … 255."""
    _, height, width = image.shape
    kernel = np.zeros((8 * len(dilations), height, width))
    for row in range(height):
        for column in range(width):
            around = places(row, column, (height, width), dilations)
            energies, varied = [0.0] * len(around), [0.0] * len(around)
            for channel in image:
                spread = stdev([float(channel[place]) for place in around]) + 1e-8
                for number, (y, x) in enumerate(around):
                    gap = abs(float(channel[y, x]) - float(channel[row, column]))
                    energies[number] -= (4 * gap / spread) ** 2 / 3
                    for next_y, next_x in ((y + 1, x), (y, x + 1)):
                        if next_y < height and next_x < width:
                            step = float(channel[next_y, next_x]) - float(channel[y, x])
                            varied[number] += (step / 255) ** 2 / 3
            kernel[:, row, column] = [
                (a - 0.01 * v) / 0.99
                for a, v in zip(softmax(energies), softmax(varied), strict=True)
            ]
    return kernel


def propagate_by_cell(
    maps: np.ndarray, kernel: np.ndarray, dilations: tuple[int, ...], iterations: int
) -> np.ndarray:
    for _ in range(iterations):
        following = np.zeros_like(maps)
        for number, row, column in np.ndindex(*maps.shape):
            around = places(row, column, maps.shape[1:], dilations)
            following[number, row, column] = sum(
                kernel[j, row, column] * maps[number][place] for j, place in enumerate(around)
            )
        maps = following
    return maps
