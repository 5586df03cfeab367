"""Self-modulation and the decoder's norm, one number at a time."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def normalised(maps: Array) -> Array:
    positive = np.maximum(maps, 0)
    return np.asarray(positive / (positive.max() + 1e-5))


def eroded(selected: Array, window: int) -> Array:
    height, width = selected.shape
    found = np.zeros_like(selected)
    for y in range(height):
        for x in range(width):
            around = [
                selected[y + dy, x + dx]
                for dy in range(-(window // 2), window - window // 2)
                for dx in range(-(window // 2), window - window // 2)
                if 0 <= y + dy < height and 0 <= x + dx < width
            ]
            found[y, x] = all(around)
    return found


def target(maps: Array, regions: Array, threshold: float, window: int) -> Array:
    shared = maps.copy()
    for number in set(regions[regions >= 0].tolist()):
        shared[regions == number] = maps[regions == number].mean()
    activation = normalised(maps)
    kept = activation * eroded(activation > threshold, window)
    return np.maximum(normalised(shared), kept)


def whole_norm(features: Array, gain: Array, shift: Array) -> Array:
    found = np.empty_like(features)
    for n, one in enumerate(features):
        mean, deviation = one.mean(), one.std(ddof=1)
        for c in range(len(one)):
            found[n, c] = gain[c] * (one[c] - mean) / (deviation + 1e-5) + shift[c]
    return found
