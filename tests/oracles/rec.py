"""REC's terms one pixel at a time; arrays are photographs × labels × rows × columns."""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray


def softmax(logits: Array) -> Array:
    """Of one pixel."""
    powers = [math.exp(z - max(logits)) for z in logits]
    return np.array([p / sum(powers) for p in powers])


def masklets(logits: Array) -> Array:
    found = np.zeros_like(logits)
    for b, y, x in np.ndindex(len(logits), *logits.shape[2:]):
        found[b, :, y, x] = softmax(logits[b, :, y, x])
    return found


def reconstruction(pictures: Array, shares: Array, imagelets: Array, inside: Array) -> float:
    """Pictures in [0, 1], photographs × 3 × rows × columns."""
    gaps = []
    for b, c, y, x in np.ndindex(*pictures.shape):
        if inside[b, y, x]:
            again = sum(
                shares[b, k, y, x] * imagelets[b, k, c, y, x] for k in range(shares.shape[1])
            )
            gaps.append((again - pictures[b, c, y, x]) ** 2)
    return sum(gaps) / len(gaps)


def areas(shares: Array, inside: Array) -> Array:
    found = np.zeros(shares.shape[:2])
    for b, k in np.ndindex(*shares.shape[:2]):
        values = [shares[b, k, y, x] for y, x in np.ndindex(*inside.shape[1:]) if inside[b, y, x]]
        found[b, k] = sum(values) / len(values)
    return found


def area_loss(shares: Array, inside: Array, tags: Array) -> float:
    total = 0.0
    for b, taken in enumerate(areas(shares, inside)):
        for k, share in enumerate(taken):
            there = 1.0 if k == 0 else float(tags[b, k - 1])
            total -= there * math.log(share + 1e-6) + (1 - there) * math.log(1 - share + 1e-6)
    return total / len(shares)


def cross_entropy(score: float, target: float) -> float:
    p = 1 / (1 + math.exp(-score))
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


def pooled_score(logits: Array, shares: Array, inside: Array) -> float:
    """Of one photograph and label: rows × columns."""
    weight, total, count = 0.0, 0.0, 0
    for y, x in np.ndindex(*inside.shape):
        if inside[y, x]:
            weight += shares[y, x]
            total += shares[y, x] * logits[y, x]
            count += 1
    taken = weight / count
    return float(total / (1e-6 + weight) + (1 - taken) ** 3 * math.log(0.01 + taken))


def pooling_loss(logits: Array, inside: Array, tags: Array) -> float:
    shares, losses = masklets(logits), []
    for b, k in np.ndindex(*logits.shape[:2]):
        there = 1.0 if k == 0 else float(tags[b, k - 1])
        score = pooled_score(logits[b, k], shares[b, k], inside[b])
        losses.append(cross_entropy(score, there))
    return sum(losses) / len(losses)


def guidance(scores: dict[tuple[int, int], Array], weights: Array, tags: Array) -> float:
    """Scores of g by photograph and label."""
    photos, labels = weights.shape
    total = 0.0
    for b in range(photos):
        for k in range(labels):
            if weights[b, k] == 0:
                continue
            targets = [float(c + 1 == k and tags[b, c]) for c in range(labels - 1)]
            losses = [
                cross_entropy(float(s), t) for s, t in zip(scores[b, k], targets, strict=True)
            ]
            total += weights[b, k] * sum(losses)
    return total / float(weights.sum())


def prior_loss(shares: Array, inside: Array, tags: Array, share: float) -> float:
    total = 0.0
    for b, taken in enumerate(areas(shares, inside)):
        count = int(tags[b].sum())
        total -= 2 * (1 - share if count else 1.0) * math.log(taken[0] + 1e-6)
        for c, area in enumerate(taken[1:]):
            if tags[b, c]:
                total -= 2 * share / count * math.log(area + 1e-6)
            else:
                total -= math.log(1 - area + 1e-6)
    return total / len(shares)


def evidence(
    scores: dict[tuple[int, int], Array], weights: Array, tags: Array, whole: Array, nothing: Array
) -> float:
    """Scores of g by photograph and label; of the photographs; of the ground."""
    total = 0.0
    for b, c in np.ndindex(*tags.shape):
        if not tags[b, c]:
            continue
        unit = max(1.0, whole[b, c] - nothing[c])
        for k in range(weights.shape[1]):
            if (b, k) in scores:
                found = (scores[b, k][c] - nothing[c]) / unit
                total += weights[b, k] * max(0.0, 1 - found if k == c + 1 else found)
    return total / len(tags)
