"""What training changes in a photograph: resize by the long side, flip, crop.

The field's standard (PSA, IRN, SEAM): the long side is drawn from a range, the picture flipped
with probability one half, and a square cut out at random; where the picture is smaller than the
square, it is put at a random place on a plain ground of ImageNet's mean colour.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional

from tag2mask.types import UNKNOWN

PAD_COLOUR: Final = (124, 116, 104)  # ImageNet's mean RGB


def augment(
    image: UInt8[Tensor, "3 H W"],
    labels: UInt8[Tensor, "H W"] | None,
    crop: int,
    zoom: tuple[float, float],
    draw: np.random.Generator,
) -> tuple[UInt8[Tensor, "3 S S"], UInt8[Tensor, "S S"] | None]:
    """One random view of a photograph and of its labels, both moved alike.

    Padding is unknown in the labels.

    Args:
        crop: side S of the square, pixels.
        zoom: range of the long side, in units of `crop`.
    """
    factor = crop * draw.uniform(*zoom) / max(image.shape[-2:])
    height, width = (max(1, round(extent * factor)) for extent in image.shape[-2:])
    flip = bool(draw.random() < 0.5)
    rows_to, rows_from = _place(height, crop, draw)
    columns_to, columns_from = _place(width, crop, draw)

    resized = functional.resize(image, [height, width], antialias=True)
    resized = resized.flip(-1) if flip else resized
    view = torch.tensor(PAD_COLOUR, dtype=torch.uint8).view(3, 1, 1).repeat(1, crop, crop)
    view[:, rows_to, columns_to] = resized[:, rows_from, columns_from]
    if labels is None:
        return view, None

    moved = functional.resize(labels[None], [height, width], InterpolationMode.NEAREST_EXACT)[0]
    moved = moved.flip(-1) if flip else moved
    view_labels = torch.full((crop, crop), UNKNOWN, dtype=torch.uint8)
    view_labels[rows_to, columns_to] = moved[rows_from, columns_from]
    return view, view_labels


def _place(extent: int, crop: int, draw: np.random.Generator) -> tuple[slice, slice]:
    """Where along one axis the picture lands in the square, and which part of it does."""
    shared = min(extent, crop)
    offset = int(draw.integers(0, abs(extent - crop) + 1))
    inside, whole = slice(offset, offset + shared), slice(0, shared)
    return (whole, inside) if extent >= crop else (inside, whole)
