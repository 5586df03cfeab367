"""SLIC as its docstring says it, with scikit-image's colours and every distance of every pixel."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab

ITERATIONS, STRIDE, REACH, SMALLEST = 5, 3, 1.25, 0.25


def nearest_integer(value: float) -> int:
    return math.floor(value + 0.5)


def slic_by_pixel(pixels: np.ndarray, segments: int, compactness: float) -> np.ndarray:
    height, width, _ = pixels.shape
    lab = rgb2lab(pixels)
    high = min(max(1, nearest_integer(math.sqrt(segments * height / width))), height)
    wide = min(max(1, nearest_integer(segments / high)), width)
    clusters = []
    for row in range(high):
        for column in range(wide):
            y, x = (row + 0.5) * height / high - 0.5, (column + 0.5) * width / wide - 0.5
            clusters.append([*lab[nearest_integer(y), nearest_integer(x)], y, x])
    step = max(1.0, math.sqrt(height * width / len(clusters)))
    labels = np.zeros((height, width), dtype=int)
    for iteration in range(1, ITERATIONS + 1):
        last = iteration == ITERATIONS
        first, stride = (0, 1) if last else (iteration % min(STRIDE, height), STRIDE)
        assign(
            labels[first::stride], lab[first::stride], clusters, (first, stride, step), compactness
        )
        move(labels[first::stride], lab[first::stride], clusters, (first, stride))
    return merge(components(labels), lab, SMALLEST * step**2)


def assign(
    labels: np.ndarray,
    lab: np.ndarray,
    clusters: list[list[float]],
    place: tuple[int, int, float],
    compactness: float,
) -> None:
    first, stride, step = place
    for row, column in np.ndindex(*labels.shape):
        y, least = first + row * stride, math.inf
        for number, (*colour, down, right) in enumerate(clusters):
            left, end = reached(right, REACH * step)
            if abs(y - down) > REACH * step or not left <= column < end:
                continue
            far = sum((a - b) ** 2 for a, b in zip(lab[row, column], colour, strict=True))
            far += (compactness / step) ** 2 * ((y - down) ** 2 + (column - right) ** 2)
            if far < least:
                least, labels[row, column] = far, number


def reached(middle: float, reach: float) -> tuple[int, int]:
    """Columns that a cluster reaches, rounded outwards to blocks of 16."""
    return max(0, int(middle - reach)) // 16 * 16, -(-(int(middle + reach) + 1) // 16) * 16


def move(
    labels: np.ndarray, lab: np.ndarray, clusters: list[list[float]], place: tuple[int, int]
) -> None:
    first, stride = place
    for number in range(len(clusters)):
        rows, columns = np.nonzero(labels == number)
        if len(rows):
            colour = lab[rows, columns].mean(axis=0)
            clusters[number] = [*colour, (first + rows * stride).mean(), columns.mean()]


def components(labels: np.ndarray) -> np.ndarray:
    """Numbers of what hangs together by edges of pixels, in the order of first pixels."""
    found = np.full(labels.shape, -1)
    for place in np.ndindex(*labels.shape):
        if found[place] < 0:
            pieces, _ = ndimage.label(labels == labels[place])
            found[pieces == pieces[place]] = found.max() + 1
    return found


def merge(pieces: np.ndarray, lab: np.ndarray, smallest: float) -> np.ndarray:
    """Pieces that are too small, the smallest first, join their neighbour of the nearest colour."""
    pieces = pieces.copy()
    for small in np.argsort(np.bincount(pieces.ravel()), kind="stable"):
        inside = pieces == small
        touching = np.unique(pieces[ndimage.binary_dilation(inside) & ~inside])
        if 0 < inside.sum() < smallest and len(touching):
            own = lab[inside].mean(axis=0)
            gaps = [np.sum((lab[pieces == other].mean(axis=0) - own) ** 2) for other in touching]
            pieces[inside] = touching[int(np.argmin(gaps))]
    return pieces
