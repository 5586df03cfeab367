"""AMN's loss, a cell and a label at a time."""

from __future__ import annotations

import math

from torch import Tensor


def balanced_loss(logits: Tensor, labels: Tensor, smoothing: float) -> float:
    """Half the mean cost of background cells plus half that of foreground cells."""
    costs: dict[bool, list[float]] = {True: [], False: []}
    photographs, count, height, width = logits.shape
    for b in range(photographs):
        for y in range(height):
            for x in range(width):
                label = int(labels[b, y, x])
                if label == 255:
                    continue
                values = [float(logits[b, k, y, x]) for k in range(count)]
                total = math.log(sum(math.exp(value) for value in values))
                cost = 0.0
                for k, value in enumerate(values):
                    share = 1 - smoothing if k == label else smoothing / (count - 1)
                    cost -= share * (value - total)
                costs[label == 0].append(cost)
    return sum(sum(part) / len(part) for part in costs.values() if part) / 2
