"""What a training may vary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainOptions:
    """One training: of the classifier on tags, or of the network on pseudo masks."""

    steps: int = 300
    """Optimizer steps."""
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
