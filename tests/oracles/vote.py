"""Region voting and stacking of masks, one pixel at a time."""

from __future__ import annotations

import numpy as np


def vote_by_pixel(maps: np.ndarray, regions: np.ndarray) -> np.ndarray:
    voted = maps.copy()
    for number, row, column in np.ndindex(*maps.shape):
        if regions[row, column] < 0:
            continue
        same = [
            maps[number][place]
            for place in np.ndindex(*regions.shape)
            if regions[place] == regions[row, column]
        ]
        voted[number, row, column] = sum(same) / len(same)
    return voted


def uppermost(masks: np.ndarray) -> np.ndarray:
    """The smallest mask of every pixel, the later of equal ones; −1 where there is none."""
    regions = np.full(masks.shape[1:], -1)
    for place in np.ndindex(*regions.shape):
        covering = [number for number, mask in enumerate(masks) if mask[place]]
        if covering:
            regions[place] = min(covering, key=lambda number: (masks[number].sum(), -number))
    return regions
