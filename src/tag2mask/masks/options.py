"""What the decision may vary."""

from __future__ import annotations

from dataclasses import dataclass

from tag2mask.errors import InputError
from tag2mask.masks.background import alpha_level


@dataclass(frozen=True)
class MaskOptions:
    """How maps become pseudo masks."""

    background: float | None = None
    """Level a class must beat, 0 … 1; without one it is chosen blind (from the maps alone)."""
    confident: float | None = None
    """Second, higher level: what lies between the two is unknown."""
    alpha: float | None = None
    """In place of a level: a class must beat (1 − best)^alpha (PSA). Sets `background`."""

    def __post_init__(self) -> None:
        if self.alpha is None:
            return
        level = alpha_level(self.alpha)
        if self.background not in (None, level):
            raise InputError(
                f"--masks.background {self.background} and --masks.alpha {self.alpha} were both "
                "given; expected one of them, leave the other out."
            )
        object.__setattr__(self, "background", level)
