"""What localisation may vary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LocalizeOptions:
    """How a trained method is asked where things are."""

    scales: tuple[float, ...] = (1.0, 1.5, 2.0)
    """Sizes to look at, in units of the size trained at (measured, docs/journal.md; IRN also
    looks at 0.5)."""
    flip: bool = True
    """Also look at the mirrored photograph (IRN)."""
    batch: int = 16
    """Photographs of one size at once."""
