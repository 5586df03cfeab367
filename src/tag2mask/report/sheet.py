"""Pictures in rows on one sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from tag2mask.storage import write_bytes

GAP: Final = 6  # white pixels between pictures


def sheet(rows: Sequence[Sequence[UInt8[Tensor, "3 _ _"]]], side: int) -> Image.Image:
    """Every picture in a square of its own, its longer edge brought to the side of it.

    Args:
        rows: pictures from left to right; rows may differ in length.
        side: pixels.
    """
    columns = max((len(row) for row in rows), default=0)
    step = side + GAP
    drawn = Image.new("RGB", (columns * step + GAP, len(rows) * step + GAP), "white")
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            small = _fitted(picture, side)
            left, top = GAP + across * step, GAP + down * step
            inner = (left + (side - small.width) // 2, top + (side - small.height) // 2)
            drawn.paste(small, inner)
    return drawn


def write_jpeg(path: Path, picture: Image.Image, quality: int = 85) -> None:
    """Keep a picture, whole or not at all."""
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=quality)
    write_bytes(path, stream.getvalue())


def _fitted(picture: UInt8[Tensor, "3 H W"], side: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()))
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)
