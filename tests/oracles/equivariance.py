"""SEAM's and PPC's terms one cell at a time; arrays are photographs × classes × cells."""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray


def prototype(features: Array, maps: Array, one_in: int) -> Array | None:
    """Of one class: features photographs × D × cells, maps photographs × cells."""
    cells = [
        (float(maps[b, i]), features[b, :, i])
        for b in range(maps.shape[0])
        for i in range(maps.shape[1])
    ]
    chosen = sorted(cells, key=lambda cell: -cell[0])[: max(1, maps.shape[1] // one_in)]
    total = sum(value for value, _ in chosen)
    if total == 0:
        return None
    return np.asarray(sum(value * feature for value, feature in chosen) / total)


def label(maps: Array, level: float) -> int:
    """Of one cell: its maps, by the softmax with the constant background."""
    values = [level, *maps]
    shares = [math.exp(v) / sum(math.exp(w) for w in values) for v in values]
    return shares.index(max(shares))


def background(maps: Array, label: int) -> float:
    """Evidence of one cell for the background: its maps and its label."""
    return 1 - float(max(maps)) if label == 0 else 0.0


def cosine(a: Array, b: Array) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def heard(maps: Array, embedding: Array) -> Array:
    """Of one photograph: maps classes × cells, embedding D × cells."""
    found = np.zeros_like(maps)
    cells = maps.shape[1]
    for j in range(cells):
        likeness = [max(0.0, cosine(embedding[:, i], embedding[:, j])) for i in range(cells)]
        total = sum(likeness)
        for i in range(cells):
            found[:, j] += maps[:, i] * (likeness[i] / total if total else 0.0)
    return found


def spanned(values: Array) -> Array:
    """One map."""
    positive = [max(0.0, float(value)) for value in values]
    low, high = min(positive), max(positive)
    return np.asarray([max(0.0, v - low - 1e-5) / (high - low + 1e-5) for v in positive])


def strongest(values: Array) -> Array:
    """One cell: the background, then the classes."""
    peak = max(values)
    return np.asarray([1 - peak, *(value if value == peak else 0.0 for value in values)])


def equivariance(one: Array, other: Array) -> float:
    gaps = [abs(a - b) for a, b in zip(one.ravel(), other.ravel(), strict=True)]
    return float(sum(gaps) / len(gaps))


def cross(reference: Array, refined: Array, share: float) -> float:
    means = []
    for one, other in zip(reference, refined, strict=True):
        gaps = [abs(a - b) for a, b in zip(one.ravel(), other.ravel(), strict=True)]
        farthest = sorted(gaps, reverse=True)[: int(share * len(gaps))]
        means.append(sum(farthest) / len(farthest))
    return float(sum(means) / len(means))


def lowest(maps: Array) -> float:
    means = []
    for one in maps:
        peaks = sorted(max(one[:, i]) for i in range(one.shape[1]))[: one.shape[1] // 4]
        means.append(sum(max(0.0, peak) for peak in peaks) / len(peaks))
    return float(sum(means) / len(means))


def info_nce(cell: Array, own: Array, others: list[Array], temperature: float) -> float:
    up = math.exp(cosine(cell, own) / temperature)
    return -math.log(up / (up + sum(math.exp(cosine(cell, p) / temperature) for p in others)))


def contrast(
    cells: Array, labels: list[int], prototypes: dict[int, Array], temperature: float
) -> float:
    """Cells P × D; prototypes of the labels that have one."""
    values = [
        info_nce(z, prototypes[y], [p for n, p in prototypes.items() if n != y], temperature)
        for z, y in zip(cells, labels, strict=True)
        if y in prototypes
    ]
    return sum(values) / len(values) if values else 0.0


def semi_hard(
    cells: Array,
    labels: list[int],
    prototypes: dict[int, Array],
    temperature: float,
    halves: dict[int, list[int]],
) -> float:
    """Halves: for each label, which of its cells, counted among them, the dice chose."""
    means = []
    for y in sorted(set(labels) & set(prototypes)):
        own = [z for z, label in zip(cells, labels, strict=True) if label == y]
        order = sorted(range(len(own)), key=lambda n: cosine(own[n], prototypes[y]))
        middle = order[math.floor(len(own) / 10) : math.ceil(6 * len(own) / 10)]
        values = []
        for z in (own[n] for n in [*halves[y], *middle]):
            others = [p for n, p in prototypes.items() if n != y]
            others.sort(key=lambda p: -cosine(z, p))
            m = len(others)
            negatives = others[math.floor(m / 10) : math.ceil(6 * m / 10)]
            values.append(info_nce(z, prototypes[y], negatives, temperature))
        means.append(sum(values) / len(values))
    return sum(means) / len(means) if means else 0.0
