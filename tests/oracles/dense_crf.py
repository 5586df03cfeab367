"""The dense CRF by brute force: a lattice point by point, Gaussian and mean field in N² steps."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Point = tuple[int, ...]


def features_of(image: npt.NDArray[np.uint8], sxy: float, srgb: float | None) -> Array:
    """(column, row[, red, green, blue]) of every pixel in spreads, N × d; image 3 × H × W."""
    _, height, width = image.shape
    places = []
    for y, x in itertools.product(range(height), range(width)):
        colour = [] if srgb is None else [float(value) / srgb for value in image[:, y, x]]
        places.append([x / sxy, y / sxy, *colour])
    return np.array(places)


def gaussian_matrix(features: Array) -> Array:
    """n_i · exp(−½ |x_i − x_j|²) · n_j with n the inverse root of the row sums, N × N."""
    distances = ((features[:, None] - features[None]) ** 2).sum(-1)
    return symmetric(np.exp(-distances / 2))


def lattice_matrix(features: Array) -> Array:
    """The same kernel as the permutohedral lattice sees it, N × N.

    Adams, Baek and Davis 2010, section 3, a dictionary of points: elevate by the basis whose k-th
    vector is (1, …, 1, −k, 0, …), round to the nearest point of remainder 0, walk the simplex.
    """
    simplices = [simplex(elevated(place)) for place in features]
    points = {point: n for n, point in enumerate({p for s in simplices for p, _ in s})}
    splat = np.zeros((len(points), len(features)))
    for place, corners in enumerate(simplices):
        for point, weight in corners:
            splat[points[point], place] += weight
    blurred = splat
    for axis in range(features.shape[1] + 1):
        blurred = blur(blurred, points, axis)
    return symmetric(splat.T @ blurred)


def blur(values: Array, points: dict[Point, int], axis: int) -> Array:
    """Half of both neighbours along a direction (… −1, d, −1 …) added; absent ones are zero."""
    found = values.copy()
    for point, row in points.items():
        for sign in (1, -1):
            step = [-sign] * len(point)
            step[axis] = sign * (len(point) - 1)
            other = points.get(tuple(a + b for a, b in zip(point, step, strict=True)))
            if other is not None:
                found[row] += values[other] / 2
    return found


def elevated(place: Array) -> Array:
    degree = len(place)
    basis = np.zeros((degree + 1, degree))
    for k in range(1, degree + 1):
        basis[:k, k - 1] = 1
        basis[k, k - 1] = -k
        basis[:, k - 1] /= math.sqrt(k * (k + 1))
    return basis @ place * (degree + 1) * math.sqrt(2 / 3)


def simplex(y: Array) -> list[tuple[Point, float]]:
    """The d + 1 points around y on the plane of sum zero, with their barycentric weights."""
    count = len(y)
    origin = np.round(y / count) * count
    while origin.sum() > 0:  # bring back onto the plane where it costs least
        origin[np.argmin(y - origin)] -= count
    while origin.sum() < 0:
        origin[np.argmax(y - origin)] += count
    order = np.argsort(-(y - origin), kind="stable")
    gaps = (y - origin)[order] / count
    corners, point = [], origin.copy()
    for k in range(count):
        weight = gaps[count - 1 - k] - gaps[count - k] if k else 1 - gaps[0] + gaps[-1]
        corners.append((tuple(int(v) for v in point), float(weight)))
        point = point + 1
        point[order[count - 1 - k]] -= count
    return corners


def symmetric(kernel: Array) -> Array:
    scale = 1 / np.sqrt(kernel.sum(1))
    return scale[:, None] * kernel * scale[None]


def mean_field_by_pixel(
    energies: Array, kernels: list[tuple[Array, float]], costs: Array, iterations: int
) -> Array:
    """Krähenbühl and Koltun 2011, algorithm 1: energies and result are K × N."""
    found = softmax(-energies)
    labels, pixels = energies.shape
    for _ in range(iterations):
        following = np.zeros_like(found)
        for pixel in range(pixels):
            for label in range(labels):
                energy = energies[label, pixel]
                for kernel, weight in kernels:
                    for other in range(labels):
                        message = float(kernel[pixel] @ found[other])
                        energy += costs[label, other] * weight * message
                following[label, pixel] = -energy
        found = softmax(following)
    return found


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(0))
    return powers / powers.sum(0)
