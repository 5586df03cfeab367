"""A photograph at another size."""

from __future__ import annotations

from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional

from tag2mask.types import Size


def scaled_size(size: Size, long_side: float, cell: int) -> Size:
    """(H, W) with the long side near `long_side`, both whole multiples of a cell."""
    factor = long_side / max(size)
    height, width = (max(cell, round(extent * factor / cell) * cell) for extent in size)
    return height, width


def resize(image: UInt8[Tensor, "3 H W"], size: Size) -> UInt8[Tensor, "3 h w"]:
    """A photograph at another size, bicubic and without aliasing (IRN: bicubic)."""
    resized: Tensor = functional.resize(
        image, list(size), InterpolationMode.BICUBIC, antialias=True
    )
    return resized
