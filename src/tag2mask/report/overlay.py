"""Pictures of decisions and of evidence, small enough to live inside a page."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from tag2mask.storage import voc_palette
from tag2mask.types import BACKGROUND, UNKNOWN, Size

Format = Literal["webp", "jpeg", "png"]

HATCH: Final = (96, 208)  # grey values of the two stripes over unknown pixels
HATCH_PERIOD: Final = 8  # pixels from one dark stripe to the next
CONTOUR_OPACITY: Final = 0.9
SHADES: Final = (0.0, 0.55, 0.25, 0.75)  # of white in the colours of a class's objects, in turn
# Dark to bright, so that more evidence is lighter in grey prints and to colour-blind eyes too.
HEAT_STOPS: Final = (
    (18, 16, 42), (58, 24, 102), (112, 30, 126), (168, 42, 118),
    (214, 68, 92), (242, 112, 62), (252, 166, 56), (253, 214, 104), (255, 248, 204),
)  # fmt: skip


def overlay(
    image: UInt8[Tensor, "3 H W"],
    labels: UInt8[Tensor, "H W"],
    opacity: float = 0.55,
    colours: UInt8[np.ndarray, "_ 3"] | None = None,
) -> UInt8[Tensor, "3 H W"]:
    """The photograph with its labels in VOC colours.

    Background stays as photographed and unknown is hatched in grey. A white line, one pixel wide
    and on the classes' side, runs where a class meets another label.

    Args:
        opacity: 0 shows the photograph alone, 1 the colours alone.
        colours: of the labels, where they are not VOC's: those of `object_colours`.
    """
    known = voc_palette()
    if colours is not None:
        known[: len(colours)] = colours
    paint = torch.from_numpy(known.astype(np.float32))[labels.long()].permute(2, 0, 1)
    paint = torch.where(labels == UNKNOWN, _hatch(labels.shape), paint)
    photo = image.float()
    painted = torch.lerp(photo, paint, opacity)
    line = _contour(labels) & (labels != BACKGROUND) & (labels != UNKNOWN)
    painted = torch.where(line, torch.lerp(painted, torch.tensor(255.0), CONTOUR_OPACITY), painted)
    return torch.where(labels == BACKGROUND, photo, painted).round().byte()


def object_colours(classes: Sequence[int]) -> UInt8[np.ndarray, "_ 3"]:
    """Colours of objects 0 … n, 0 being none: their class's, whitened in turn.

    Args:
        classes: label (1 … C) of each object.
    """
    colours = voc_palette()[[0, *classes]].astype(np.float32)
    before = Counter[int]()
    for number, label in enumerate(classes, start=1):
        colours[number] += (255 - colours[number]) * SHADES[before[label] % len(SHADES)]
        before[label] += 1
    return colours.round().astype(np.uint8)


def heat(
    image: UInt8[Tensor, "3 H W"], evidence: Float[Tensor, "h w"], opacity: float = 0.65
) -> UInt8[Tensor, "3 H W"]:
    """The photograph seen through a map: dim without evidence, glowing with it.

    Args:
        evidence: one class's map in [0, 1], on a grid that covers the whole photograph.
        opacity: 0 shows the photograph alone, 1 the map alone.
    """
    size = (image.shape[1], image.shape[2])
    full = F.interpolate(evidence.float()[None, None], size, mode="bilinear", align_corners=False)
    steps = (full[0, 0].clamp(0, 1) * 255).round().long()
    return torch.lerp(image.float(), heat_table()[steps].permute(2, 0, 1), opacity).round().byte()


def heat_table() -> Float[Tensor, "256 3"]:
    """Colours on 0 … 255 of 256 steps of evidence; every step is brighter than the one before."""
    stops = torch.tensor(HEAT_STOPS, dtype=torch.float32)
    rows = F.interpolate(stops.T[None], 256, mode="linear", align_corners=True)
    return rows[0].T.contiguous()


def thumbnail(image: UInt8[Tensor, "3 H W"], side: int) -> UInt8[Tensor, "3 h w"]:
    """The photograph shrunk until its longer side is `side`; never enlarged."""
    height, width = _fit((image.shape[1], image.shape[2]), side)
    picture = _picture(image).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def thumbnail_labels(labels: UInt8[Tensor, "H W"], side: int) -> UInt8[Tensor, "h w"]:
    """Labels shrunk like `thumbnail` shrinks the photograph; no label is invented between two."""
    height, width = _fit((labels.shape[0], labels.shape[1]), side)
    shrunk = F.interpolate(labels[None, None].float(), (height, width), mode="nearest-exact")
    return shrunk[0, 0].byte()


def encode(image: UInt8[Tensor, "3 H W"], format: Format = "webp", quality: int = 72) -> str:  # noqa: A002
    """The picture as a data URI, which a page shows without asking anyone.

    Args:
        quality: 0 … 100; PNG is exact and does not read it.
    """
    stream = io.BytesIO()
    _picture(image).save(stream, format=format.upper(), quality=quality)
    return f"data:image/{format};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _picture(image: UInt8[Tensor, "3 H W"]) -> Image.Image:
    return Image.fromarray(image.cpu().permute(1, 2, 0).contiguous().numpy())


def _fit(size: Size, side: int) -> Size:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _hatch(size: torch.Size) -> Float[Tensor, "H W"]:
    diagonal = torch.arange(size[0])[:, None] + torch.arange(size[1])[None, :]
    dark, bright = HATCH
    return torch.where(diagonal % HATCH_PERIOD < HATCH_PERIOD // 2, float(dark), float(bright))


def _contour(labels: UInt8[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Pixels of which a neighbour above, below, left or right has another label."""
    contour = torch.zeros_like(labels, dtype=torch.bool)
    across = labels[:, 1:] != labels[:, :-1]
    down = labels[1:] != labels[:-1]
    contour[:, 1:] |= across
    contour[:, :-1] |= across
    contour[1:] |= down
    contour[:-1] |= down
    return contour
