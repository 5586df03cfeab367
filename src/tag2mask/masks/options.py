"""What the decision may vary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MaskOptions:
    """How maps become pseudo masks."""

    background: float | None = None
    """Level a class must beat, 0 … 1; without one it is chosen blind (from the maps alone)."""
    confident: float | None = None
    """Second, higher level: what lies between the two is unknown."""
