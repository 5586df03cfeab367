"""What a learned affinity may vary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tag2mask.errors import InputError
from tag2mask.nn.seeds import SeedOptions
from tag2mask.nn.walk import BETA

ELSEWHERE: Final = {"foreground", "background", "beta", "walk"}


@dataclass(frozen=True)
class AffinityOptions:
    """Seeds that teach the affinity, its training, and the walk by it."""

    foreground: float | None = None
    """Level above which maps are sure of a class (IRN: 0.30); chosen blind if not given."""
    background: float | None = None
    """Level below which maps are sure of none (IRN: 0.05); chosen blind if not given."""
    radius: int = 5
    """Pairs closer than this many cells are learned from."""
    directions: int = 32
    """Of the ways from a cell to such a neighbour so many are drawn anew at every training step, or
    all (official codes: all, which is 34 for a radius of 5 and 152 for 10)."""
    rate: float = 3e-3
    """Learning rate of AdamW (measured, docs/journal.md; official codes: 0.1 of SGD)."""
    decay: float = 1e-4
    """Weight decay (IRN)."""
    beta: float = BETA
    """Power of the affinities in the walk: higher, and less crosses an edge."""
    walk: int = 64
    """Steps of the walk (measured on grids of 40 to 48 cells, docs/journal.md; official codes: 256,
    on grids of more than a hundred)."""

    def __post_init__(self) -> None:
        name = "--" + type(self).__name__.removesuffix("Options").lower()
        levels = (self.background, self.foreground)
        if (levels[0] is None) != (levels[1] is None):
            raise InputError(
                f"{name}.background {levels[0]} and {name}.foreground {levels[1]} came; expected "
                "both, or neither for levels chosen blind."
            )
        if levels[0] is not None and levels[1] is not None and not 0 < levels[0] <= levels[1] < 1:
            raise InputError(
                f"{name}.background {levels[0]} and {name}.foreground {levels[1]} came; expected "
                "levels between 0 and 1, the first not above the second."
            )
        if self.radius < 2:
            raise InputError(f"{name}.radius {self.radius} came; expected 2 or more cells.")
        if self.directions < 1:
            raise InputError(f"{name}.directions {self.directions} came; expected 1 or more.")
        if self.walk < 0 or self.beta < 0:
            raise InputError(
                f"{name}.walk {self.walk} and {name}.beta {self.beta} came; expected 0 or more."
            )

    @property
    def trained(self) -> dict[str, Any]:
        """The options that decide the network, and not the seeds or the walk."""
        return {name: value for name, value in vars(self).items() if name not in ELSEWHERE}

    @property
    def seeds(self) -> SeedOptions | None:
        """The levels that were given; None asks for blind ones."""
        if self.foreground is None or self.background is None:
            return None
        return SeedOptions(self.foreground, self.background)
