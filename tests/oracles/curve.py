"""The curve the long way: decide every pixel anew at one level, then count."""

from __future__ import annotations

import numpy as np
from oracles.confusion import confusion_by_pixel, iou_by_sets
from oracles.threshold import threshold_by_pixel


def decide(maps: np.ndarray, classes: list[int], size: tuple[int, int], level: float) -> np.ndarray:
    return threshold_by_pixel(maps, classes, size, level, None)


def counts_at_level(
    maps: np.ndarray, present: list[int], truth: np.ndarray, classes: int, level: float
) -> list[list[int]]:
    return confusion_by_pixel(truth, decide(maps, present, truth.shape, level), classes)


def miou_at_level(
    maps: np.ndarray, present: list[int], truth: np.ndarray, classes: int, level: float
) -> float:
    decided = decide(maps, present, truth.shape, level)
    values = [v for v in iou_by_sets(truth, decided, classes) if v is not None]
    return sum(values) / len(values)
