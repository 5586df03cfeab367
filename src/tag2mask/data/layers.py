"""Put cut-outs on top of each other and know, exactly, whose every pixel is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import UInt8

HALF: Final = 128  # alpha of a byte that is at least one half; from here on a pixel belongs


@dataclass(frozen=True, slots=True)
class Layer:
    """A cut-out at its place; parts outside the picture are cut off.

    Attributes:
        rgba: colours (not multiplied by alpha) and alpha.
        top: row of the picture where the layer's first row lies; may be negative.
        left: column of the picture where the layer's first column lies; may be negative.
        owner: number written where the layer's alpha is at least one half, 1 … 255.
    """

    rgba: UInt8[np.ndarray, "h w 4"]
    top: int
    left: int
    owner: int


def flatten(
    background: UInt8[np.ndarray, "H W 3"], layers: Sequence[Layer]
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Lay the layers over the background, the last on top; hand back picture and owners.

        picture ← alpha · colour + (1 − alpha) · picture,   owner ← layer where alpha ≥ 1/2

    A pixel that no layer owns has owner 0. A soft shadow is a black layer that stays below one
    half everywhere: it darkens and never owns.
    """
    height, width = background.shape[:2]
    picture = background.astype(np.float64)
    owners = np.zeros((height, width), dtype=np.uint8)
    for layer in layers:
        rows, columns = layer.rgba.shape[:2]
        top, left = max(0, layer.top), max(0, layer.left)
        bottom, right = min(height, layer.top + rows), min(width, layer.left + columns)
        if top >= bottom or left >= right:
            continue
        inside = np.s_[top - layer.top : bottom - layer.top, left - layer.left : right - layer.left]
        part = layer.rgba[inside]
        alpha = part[..., 3:] / 255.0
        place = np.s_[top:bottom, left:right]
        picture[place] = alpha * part[..., :3] + (1 - alpha) * picture[place]
        owners[place][part[..., 3] >= HALF] = layer.owner
    return np.rint(picture).astype(np.uint8), owners
