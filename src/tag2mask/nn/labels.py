"""What a cell shows, by the maps."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tag2mask.types import BACKGROUND, UNKNOWN


def cell_labels(
    maps: Float[Tensor, "B C *cells"], inside: Bool[Tensor, "B *cells"], level: float
) -> Int64[Tensor, "B *cells"]:
    """The label of every cell: its strongest class, or background where none is above `level`.

    The argmax of softmax(level, A_1, …, A_C) is that of the values. Padding is unknown.

    Args:
        maps: evidence in [0, 1], zero for classes that the tags do not name.
        inside: cells that show the photograph.
    """
    strength, number = maps.max(dim=1)
    labels = (number + 1).where(strength > level, BACKGROUND)
    return labels.where(inside, UNKNOWN)
