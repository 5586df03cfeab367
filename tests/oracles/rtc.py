"""RTC's terms one cell at a time; arrays are photographs × classes × cells, or rows × columns."""

from __future__ import annotations

import math

import numpy as np
from oracles.equivariance import contrast, cosine, heard, prototype
from oracles.par import propagate_by_cell, softmax, varm_by_cell

Array = np.ndarray
DILATIONS = (1, 2, 4, 8, 12, 24)  # of 224 cells


def refined(maps: Array, shallow: Array, deep: Array) -> Array:
    """Of one photograph: what cells hear by each of two embeddings, D × cells, and the mean."""
    return np.asarray((heard(maps, shallow) + heard(maps, deep)) / 2)


def cross_prototypes(features: Array, maps: Array, one_in: int) -> dict[int, Array]:
    """Of every label: features of the other view, maps with the background in front."""
    found = {n: prototype(features, maps[:, n], one_in) for n in range(maps.shape[1])}
    return {n: p for n, p in found.items() if p is not None}


def three_contrasts(
    rows: list[Array], labels: list[list[int]], prototypes: list[dict[int, Array]]
) -> dict[str, float]:
    """Rows, labels and prototypes of both views."""
    names = ("intra view", "cross label", "cross prototype")
    found = dict.fromkeys(names, 0.0)
    for own, other in ((0, 1), (1, 0)):
        found["intra view"] += contrast(rows[own], labels[own], prototypes[own], 0.1) / 2
        found["cross label"] += contrast(rows[own], labels[other], prototypes[own], 0.1) / 2
        found["cross prototype"] += contrast(rows[own], labels[own], prototypes[other], 0.1) / 2
    return found


def compensation(maps: Array, features: Array, one_in: int, alike: bool) -> Array:
    photographs, classes, cells = maps.shape
    found = np.zeros_like(maps)
    if alike:
        features = features - features.mean(axis=(0, 2), keepdims=True)
    for c in range(classes):
        every = [(float(maps[b, c, i]), b, i) for b in range(photographs) for i in range(cells)]
        strong = sorted(every, key=lambda cell: -cell[0])[: max(1, cells // one_in)]
        for b, i in np.ndindex(photographs, cells):
            near = [cosine(features[b, :, i], features[p, :, j]) for _, p, j in strong]
            shares = softmax([s / 0.1 for s in near] if alike else near)
            told = [
                max(0.0, s) * v if alike else v for s, (v, _, _) in zip(near, strong, strict=True)
            ]
            found[b, c, i] = sum(share * value for share, value in zip(shares, told, strict=True))
    return found


def pseudo_labels(
    picture: Array, maps: Array, classes: list[int], levels: tuple[float, float]
) -> Array:
    """Of one photograph: maps of its tags from 0 to 1, on the picture's own grid."""
    reach = sorted({max(1, round(d * max(maps.shape[1:]) / 224)) for d in DILATIONS})
    kernel = varm_by_cell(picture, reach)
    decided = []
    for level in levels:
        shares = np.zeros((len(maps) + 1, *maps.shape[1:]))
        for row, column in np.ndindex(*maps.shape[1:]):
            shares[:, row, column] = softmax([level, *maps[:, row, column]])
        scores = propagate_by_cell(shares, kernel, reach, 10)
        decided.append(np.asarray([0, *classes])[scores.argmax(axis=0)])
    low, high = decided
    labels = np.full(low.shape, 255)
    for place in np.ndindex(*low.shape):
        if high[place] != 0:
            labels[place] = high[place]
        elif low[place] == 0:
            labels[place] = 0
    return labels


def masked(logits: Array, labels: Array, tags: Array, balanced: bool, complete: bool) -> float:
    """Logits photographs × labels × cells."""
    total = 0.0
    for own, decided, present in zip(logits, labels, tags, strict=True):
        known = [int(y) for y in decided if y != 255]
        wanted = {0, *(int(c) + 1 for c in np.flatnonzero(present))}
        if complete and not wanted <= set(known):
            continue
        loss = 0.0
        for i, y in enumerate(decided):
            if y != 255:
                share = (len(known) - known.count(int(y))) / (1 + len(known))
                weight = share if balanced else 1.0
                loss -= weight * math.log(softmax([float(v) for v in own[:, i]])[int(y)])
        total += loss / len(decided)
    return total / len(logits)


def dilated(features: Array, weight: Array, bias: Array, reach: int) -> Array:
    """Of one photograph, a 3 × 3 convolution."""
    _, height, width = features.shape
    found = np.zeros((len(weight), height, width))
    for out, row, column in np.ndindex(*found.shape):
        total = float(bias[out])
        for y, x in np.ndindex(3, 3):
            r, c = row + (y - 1) * reach, column + (x - 1) * reach
            if 0 <= r < height and 0 <= c < width:
                total += float(weight[out, :, y, x] @ features[:, r, c])
        found[out, row, column] = total
    return found
