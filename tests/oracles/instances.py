"""Instances as loops: centroids, parts and average precision, straight from the definitions."""

from __future__ import annotations

from collections import deque

import numpy as np

Cell = tuple[int, int]


def bilinear(field: np.ndarray, row: float, column: float) -> np.ndarray:
    height, width = field.shape[1:]
    y, x = int(np.floor(row)), int(np.floor(column))
    total = np.zeros(len(field))
    for down, weight_y in ((0, 1 - (row - y)), (1, row - y)):
        for right, weight_x in ((0, 1 - (column - x)), (1, column - x)):
            spot = min(y + down, height - 1), min(x + right, width - 1)
            total += weight_y * weight_x * field[(slice(None), *spot)]
    return total


def settled(field: np.ndarray, steps: int) -> np.ndarray:
    height, width = field.shape[1:]
    places = np.zeros_like(field)
    for y in range(height):
        for x in range(width):
            row, column = float(y), float(x)
            for _ in range(steps):
                down, right = bilinear(field, row, column)
                row = min(max(row + down, 0.0), height - 1)
                column = min(max(column + right, 0.0), width - 1)
            places[:, y, x] = row, column
    return places


def flooded(values: np.ndarray, corners: bool, none: int) -> list[set[Cell]]:
    """What touches and has one value, part after part in reading order."""
    near = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    if corners:
        near += [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    height, width = values.shape
    seen: set[Cell] = set()
    parts = []
    for y in range(height):
        for x in range(width):
            if (y, x) in seen or values[y, x] == none:
                continue
            part, queue = {(y, x)}, deque([(y, x)])
            while queue:
                row, column = queue.popleft()
                for down, right in near:
                    spot = row + down, column + right
                    inside = 0 <= spot[0] < height and 0 <= spot[1] < width
                    if inside and spot not in part and values[spot] == values[y, x]:
                        part.add(spot)
                        queue.append(spot)
            seen |= part
            parts.append(part)
    return parts


def objects(field: np.ndarray, near: float, steps: int) -> list[set[Cell]]:
    """Cells of one object; those that settle in no middle are one, too."""
    weak = (np.sqrt((field**2).sum(axis=0)) < near).astype(int)
    middles = flooded(weak, corners=False, none=0)
    places = settled(field, steps)
    found: dict[int, set[Cell]] = {}
    for y in range(field.shape[1]):
        for x in range(field.shape[2]):
            end = round(float(places[0, y, x])), round(float(places[1, y, x]))
            which = next((n for n, middle in enumerate(middles) if end in middle), -1)
            found.setdefault(which, set()).add((y, x))
    return list(found.values())


def large_parts(labels: np.ndarray, zones: np.ndarray, share: float) -> list[tuple[int, set[Cell]]]:
    """Class and pixels of every part that is large enough, or is its class's largest."""
    found = []
    for label in np.unique(labels).tolist():
        if label in (0, 255):
            continue
        own = np.where(labels == label, zones, -1)
        parts = sorted(flooded(own, corners=True, none=-1), key=lambda part: -len(part))
        kept = [p for n, p in enumerate(parts) if n == 0 or len(p) >= share * labels.size]
        found += [(label, part) for part in kept]
    return found


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


Found = tuple[int, float, np.ndarray]  # photograph, score, mask
True_ = tuple[int, np.ndarray]


def voc(found: list[Found], true: list[True_], least: float) -> float:
    """AP of one class: detections in falling order of score; the area below the envelope."""
    found = sorted(found, key=lambda one: -one[1])
    taken: set[int] = set()
    points = []
    hits = 0
    for rank, (photo, _, mask) in enumerate(found, 1):
        pairs = [(overlap(mask, m), n) for n, (p, m) in enumerate(true) if p == photo]
        best, number = max(pairs, default=(0.0, -1), key=lambda pair: pair[0])
        if best >= least and number not in taken:
            taken.add(number)
            hits += 1
        points.append((hits / len(true), hits / rank))
    area, before = 0.0, 0.0
    for recall in sorted({r for r, _ in points}):
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


def coco(found: list[Found], true: list[True_], least: float) -> float:
    """AP of one class at one IoU: the best free object is taken; precision at 101 recalls."""
    found = sorted(found, key=lambda one: -one[1])
    taken: set[int] = set()
    hits, points = 0, []
    for rank, (photo, _, mask) in enumerate(found, 1):
        free = [
            (overlap(mask, m), n) for n, (p, m) in enumerate(true) if p == photo and n not in taken
        ]
        best, number = max(free, default=(0.0, -1), key=lambda pair: pair[0])
        if best >= least:
            taken.add(number)
            hits += 1
        points.append((hits / len(true), hits / rank))
    levels = np.linspace(0, 1, 101)
    return float(np.mean([max([p for r, p in points if r >= x], default=0.0) for x in levels]))
