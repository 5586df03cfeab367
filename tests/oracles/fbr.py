"""FBR's terms one cell at a time."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np

Array = np.ndarray


def cosine(a: Array, b: Array) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def contrast(z: Array, positive: Array, negatives: Array, temperature: float) -> float:
    up = math.exp(cosine(z, positive) / temperature)
    return -math.log(up / (up + sum(math.exp(cosine(z, n) / temperature) for n in negatives)))


def contrast_loss(
    features: Array, queries: list[int], prototypes: Array, negatives: Array, temperature: float
) -> float:
    total = 0.0
    for number, prototype in enumerate(prototypes):
        asking = [z for z, asked in zip(features, queries, strict=True) if asked == number]
        values = [contrast(z, prototype, negatives[number], temperature) for z in asking]
        total += sum(values) / len(values) if values else 0.0
    return total / len(prototypes)


def similarity(foreground: Array, background: Array, inside: Array) -> float:
    values = [
        cosine(foreground[n, :, y, x], background[n, :, y, x]) for n, y, x in np.argwhere(inside)
    ]
    return sum(values) / len(values)


def segmentation(logits: Array, maps: Array, inside: Array) -> float:
    values = []
    for n, y, x in np.argwhere(inside):
        p = 1 / (1 + math.exp(-logits[n, 0, y, x]))
        wanted = sum(maps[n, :, y, x]) < 0.05
        values.append(-math.log(p if wanted else 1 - p))
    return sum(values) / len(values)


def graph(prototypes: Array, temperature: float) -> Array:
    found = np.zeros((len(prototypes), len(prototypes)))
    for c, k in product(range(len(prototypes)), repeat=2):
        if c != k:
            found[c, k] = math.exp(cosine(prototypes[c], prototypes[k]) / temperature)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def cells(
    maps: Array, inside: Array, level: float, sure: float, clear: float
) -> tuple[list[int], list[bool]]:
    """Labels and queries of one photograph, maps classes × cells."""
    labels, doubts = [], []
    for n in range(maps.shape[1]):
        values = [level, *maps[:, n]]
        weights = [math.exp(value) for value in values]
        p = [weight / sum(weights) for weight in weights]
        labels.append(p.index(max(p)) if inside[n] else 255)
        doubt = -sum(share * math.log(share) for share in p)
        doubts.append(doubt if labels[-1] not in (0, 255) else 0.0)
    cut = np.quantile([d for d, there in zip(doubts, inside, strict=True) if there], clear)
    asked = []
    for n, label in enumerate(labels):
        own = (
            sorted(maps[label - 1, m] for m, other in enumerate(labels) if other == label)
            if (label not in (0, 255))
            else []
        )
        certain = own and maps[label - 1, n] > own[min(int(sure * len(own)), len(own) - 1)]
        asked.append(bool(own) and not certain and doubts[n] > cut)
    return labels, asked


def best_centres(points: Array, count: int) -> float:
    """The least sum of squared distances that any division into `count` parts has."""
    best = math.inf
    for borders in combinations(range(1, len(points)), count - 1):
        parts = np.split(np.sort(points, axis=0), borders)
        best = min(best, sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in parts))
    return best
