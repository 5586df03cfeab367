"""What training changes in a photograph: resize by the long side, flip, crop.

The field's standard (PSA, IRN, SEAM): the long side is drawn from a range, the picture flipped
with probability one half, and a square cut out at random; where the picture is smaller than the
square, it is put at a random place on a plain ground of ImageNet's mean colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, functional

from tag2mask.nn.padding import PAD_COLOUR
from tag2mask.types import UNKNOWN, Size

Labels = UInt8[Tensor, "H W"] | Int64[Tensor, "H W"]
MovedLabels = UInt8[Tensor, "S S"] | Int64[Tensor, "S S"]


@dataclass(frozen=True, slots=True)
class View:
    """One random view: what is done to a photograph, and to all that belongs to its pixels.

    Attributes:
        crop: side S of the square, pixels.
        size: (height, width) that the photograph is brought to before it is cut.
        rows, columns: where in the square, and which part of the photograph.
    """

    crop: int
    size: Size
    flip: bool
    rows: tuple[slice, slice]
    columns: tuple[slice, slice]

    def photograph(self, image: UInt8[Tensor, "3 H W"]) -> UInt8[Tensor, "3 S S"]:
        """The photograph in this view; ImageNet's mean colour around it."""
        resized = self._flipped(functional.resize(image, list(self.size), antialias=True))
        ground = torch.tensor(PAD_COLOUR, dtype=torch.uint8).view(3, 1, 1)
        return self._placed(resized, ground.repeat(1, self.crop, self.crop))

    def labels(self, labels: Labels, outside: int) -> MovedLabels:
        """Labels or region numbers in this view, taken from the nearest pixel.

        Args:
            labels: of the photograph, in any size that covers it.
            outside: what padding gets.
        """
        nearest = InterpolationMode.NEAREST_EXACT
        resized = self._flipped(functional.resize(labels[None], list(self.size), nearest)[0])
        return self._placed(resized, labels.new_full((self.crop, self.crop), outside))

    def saliency(self, values: Float[Tensor, "H W"]) -> Float[Tensor, "S S"]:
        """Saliency in this view, resampled as the photograph is; zero around it.

        Args:
            values: in [0, 1], of the photograph, in any size that covers it.
        """
        resized = functional.resize(values[None], list(self.size), antialias=True)[0].clamp(0, 1)
        return self._placed(self._flipped(resized), values.new_zeros(self.crop, self.crop))

    def _flipped(self, resized: Tensor) -> Tensor:
        return resized.flip(-1) if self.flip else resized

    def _placed(self, resized: Tensor, ground: Tensor) -> Tensor:
        (rows_to, rows_from), (columns_to, columns_from) = self.rows, self.columns
        ground[..., rows_to, columns_to] = resized[..., rows_from, columns_from]
        return ground


def draw_view(size: Size, crop: int, zoom: tuple[float, float], draw: np.random.Generator) -> View:
    """A random view of a photograph of `size` pixels.

    Args:
        crop: side S of the square, pixels.
        zoom: range of the long side, in units of `crop`.
    """
    factor = crop * draw.uniform(*zoom) / max(size)
    height, width = (max(1, round(extent * factor)) for extent in size)
    flip = bool(draw.random() < 0.5)
    rows, columns = _place(height, crop, draw), _place(width, crop, draw)
    return View(crop, (height, width), flip, rows, columns)


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
    view = draw_view((image.shape[1], image.shape[2]), crop, zoom, draw)
    moved = None if labels is None else view.labels(labels, UNKNOWN)
    return view.photograph(image), moved


def _place(extent: int, crop: int, draw: np.random.Generator) -> tuple[slice, slice]:
    """Where along one axis the picture lands in the square, and which part of it does."""
    shared = min(extent, crop)
    offset = int(draw.integers(0, abs(extent - crop) + 1))
    inside, whole = slice(offset, offset + shared), slice(0, shared)
    return (whole, inside) if extent >= crop else (inside, whole)
