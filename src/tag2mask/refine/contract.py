"""What a refiner promises."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor

from tag2mask.types import CamSet


@runtime_checkable
class Refiner(Protocol):
    """Lets maps follow the picture."""

    def __call__(self, image: UInt8[Tensor, "3 H W"], cams: CamSet) -> CamSet:
        """The same classes of the same photograph; maps in [0, 1], on a grid of its choice."""
        ...
