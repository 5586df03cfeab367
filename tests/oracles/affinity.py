"""Affinities of pairs and what is learned from them, one pair at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

Cell = tuple[int, int]
BACKGROUND, UNKNOWN = 0, 255


def near(size: tuple[int, int], radius: int) -> Iterator[tuple[Cell, Cell]]:
    """Both cells of every pair closer than the radius, each pair once, in the order of reading."""
    height, width = size
    cells = [(y, x) for y in range(height) for x in range(width)]
    for first in cells:
        for second in cells:
            if first < second and math.dist(first, second) < radius:
                yield first, second


def between(first: Cell, second: Cell) -> list[Cell]:
    """The discrete line, both ends counted: a step along the longer side each, then the nearest."""
    down, right = second[0] - first[0], second[1] - first[1]
    count = max(abs(down), abs(right))
    if not count:
        return [first]
    return [
        (
            math.floor(first[0] + k * down / count + 0.5),
            math.floor(first[1] + k * right / count + 0.5),
        )
        for k in range(count + 1)
    ]


def by_edges(edges: np.ndarray, first: Cell, second: Cell) -> float:
    """1 − the strongest edge on the line."""
    return 1 - max(float(edges[cell]) for cell in between(first, second))


def by_features(features: np.ndarray, first: Cell, second: Cell) -> float:
    """exp(−mean |f_i − f_j|), features D × h × w."""
    apart = [abs(float(f[first]) - float(f[second])) for f in features]
    return math.exp(-sum(apart) / len(apart))


def relation(labels: np.ndarray, first: Cell, second: Cell) -> int | None:
    """0 both background, 1 both one class, 2 different, None if one is unknown."""
    here, there = int(labels[first]), int(labels[second])
    if UNKNOWN in (here, there):
        return None
    if here != there:
        return 2
    return 0 if here == BACKGROUND else 1


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def affinity_terms(
    affinities: list[np.ndarray], labels: list[np.ndarray], radius: int
) -> list[float]:
    """1/4, 1/4 and 1/2 of the mean cost of the pairs of each relation.

    Args:
        affinities: of every picture, first cell by second cell.
    """
    costs: list[list[float]] = [[], [], []]
    for table, seeds in zip(affinities, labels, strict=True):
        for first, second in near((seeds.shape[0], seeds.shape[1]), radius):
            kind = relation(seeds, first, second)
            if kind is None:
                continue
            value = float(table[(*first, *second)])
            costs[kind].append(-math.log((1 - value if kind == 2 else value) + 1e-5))
    return [share * mean(found) for share, found in zip((0.25, 0.25, 0.5), costs, strict=True)]


def displacement_terms(
    fields: np.ndarray, labels: list[np.ndarray], radius: int
) -> tuple[float, float]:
    """Half the mean of |D_i − D_j| on background, of |(i + D_i) − (j + D_j)| within a class.

    Args:
        fields: B × 2 × h × w, (down, right).
    """
    background, same = [], []
    for field, seeds in zip(fields, labels, strict=True):
        for first, second in near((seeds.shape[0], seeds.shape[1]), radius):
            kind = relation(seeds, first, second)
            for axis in (0, 1):
                here, there = float(field[axis][first]), float(field[axis][second])
                if kind == 0:
                    background.append(abs(here - there))
                if kind == 1:
                    same.append(abs(first[axis] + here - (second[axis] + there)))
    return 0.5 * mean(background), 0.5 * mean(same)
