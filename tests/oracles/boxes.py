"""Boxes of components, one level and one pixel at a time; IoU from first and last pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]


def flooded(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """Pixels of every component, touching at sides or corners, by their first pixel."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}
    found = []
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        component, border = [start], [start]
        while border:
            row, column = border.pop()
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    place = row + down, column + across
                    if place in left:
                        left.discard(place)
                        component.append(place)
                        border.append(place)
        found.append(component)
    return found


def around(component: Sequence[tuple[int, int]]) -> Box:
    rows, columns = [p[0] for p in component], [p[1] for p in component]
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def inclusive_iou(one: Box, other: Box) -> float:
    """As the field writes it: the last pixel belongs to the box."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = one, other
    x1, y1, u1, v1 = x1 - 1, y1 - 1, u1 - 1, v1 - 1
    across = max(0.0, min(x1, u1) - max(x0, u0) + 1)
    down = max(0.0, min(y1, v1) - max(y0, v0) + 1)
    areas = (x1 - x0 + 1) * (y1 - y0 + 1) + (u1 - u0 + 1) * (v1 - v0 + 1)
    return across * down / (areas - across * down)


def ious_at(values: np.ndarray, level: float, truth: Sequence[Box]) -> tuple[float, float]:
    """The best IoU of the largest component's box, and of any component's."""
    components = flooded(values > np.float32(level))
    if not components:
        return 0.0, 0.0
    best = [max(inclusive_iou(around(c), box) for box in truth) for c in components]
    largest = max(range(len(components)), key=lambda n: (len(components[n]), -n))
    return best[largest], max(best)
