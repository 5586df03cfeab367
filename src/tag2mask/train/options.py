"""What a training may vary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

LEAST_STEPS: Final = 300  # a few hundred photographs need more than a few epochs (docs/journal.md)


@dataclass(frozen=True)
class TrainOptions:
    """One training: of the classifier on tags, or of the network on pseudo masks."""

    steps: int | None = None
    """Optimizer steps; without a number, `epochs` over the photographs but at least 300."""
    epochs: int = 5
    """Passes over the photographs without given steps (IRN)."""
    batch: int = 16
    """Photographs a step, over all devices (IRN)."""
    zoom: tuple[float, float] = (0.625, 1.25)
    """Range of the long side in units of the crop (IRN: 320 to 640 at crop 512)."""
    power: float = 0.9
    """Learning rate falls as (1 - progress)^power (DeepLab, IRN, SEAM)."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises from 0 (ours, for AdamW)."""
    checkpoint: float = 20.0
    """Seconds between checkpoints; decides what a kill loses, never the result."""


def resolved(options: TrainOptions, photographs: int) -> TrainOptions:
    """The same options with the number of steps worked out.

    >>> resolved(TrainOptions(epochs=5, batch=16), 10_582).steps
    3307
    """
    if options.steps is not None:
        return options
    steps = max(LEAST_STEPS, -(-options.epochs * photographs // options.batch))
    return replace(options, steps=steps)
