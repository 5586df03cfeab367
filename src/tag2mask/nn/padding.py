"""Which cells show the photograph, and which the plain ground around it."""

from __future__ import annotations

from typing import Final

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from tag2mask.types import Size

PAD_COLOUR: Final = (124, 116, 104)  # ImageNet's mean RGB


def photographed(images: Float[Tensor, "B 3 H W"], size: Size) -> Bool[Tensor, "B h w"]:
    """Cells with at least one pixel that is not of the padding's very colour.

    Args:
        images: RGB on 0 … 255.
        size: (h, w) of the grid.
    """
    ground = images.new_tensor(PAD_COLOUR).view(1, 3, 1, 1)
    shown = (images != ground).any(dim=1, keepdim=True)
    cells: Tensor = functional.adaptive_max_pool2d(shown.float(), size)[:, 0] > 0
    return cells
