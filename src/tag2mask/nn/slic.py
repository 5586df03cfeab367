"""Superpixels: pieces of a photograph of one colour and about one size.

    R. Achanta, A. Shaji, K. Smith, A. Lucchi, P. Fua, S. Süsstrunk. SLIC Superpixels Compared to
    State-of-the-art Superpixel Methods. TPAMI 2012.

Every pixel goes to the cluster that is nearest in colour (CIE Lab) and place,

    |Lab_i − Lab_k|² + (m / S)² · |yx_i − yx_k|²

with the compactness m and the step S of the grid on which the clusters start; every cluster moves
to the mean of its pixels; and so on. What does not hang together becomes several pieces, and pieces
smaller than a quarter of S² join the neighbour of the nearest colour.

Differs from the paper: clusters start where the grid says, not at the lowest gradient nearby; they
reach 1.25 S far, not S; all iterations but the last look at every third row, another one each time;
and small pieces join by colour, where the paper's code takes any neighbour.

A compiled kernel does this; where it could not be built, scikit-image's SLIC stands in, which is
slower and misses more boundaries.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from skimage.measure import label
from skimage.segmentation import slic as skimage_slic
from torch import Tensor

from tag2mask.errors import InputError

SEGMENTS: Final = 200
COMPACTNESS: Final = 10.0  # SLIC's code and scikit-image
ITERATIONS: Final = 5  # 8 change the boundary recall by 0.001 to 0.003


def _load_kernel() -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = import_module("tag2mask.nn._superpixels").slic
    except ImportError:
        return None
    return found


_KERNEL: Final = _load_kernel()


def is_compiled() -> bool:
    """Whether the compiled kernel is there."""
    return _KERNEL is not None


def slic(
    image: UInt8[Tensor, "3 H W"], segments: int = SEGMENTS, compactness: float = COMPACTNESS
) -> Int64[Tensor, "H W"]:
    """The superpixel of every pixel, 0 … S − 1 in reading order of their first pixels.

    Every superpixel is connected (by edges of pixels). The same picture gives the same superpixels.

    Args:
        segments: about so many; pictures of few colours give fewer, busy ones more.
        compactness: how much place counts against colour; higher is rounder.

    Raises:
        InputError: a picture without pixels, fewer than one segment, or a compactness of 0 or less.
    """
    if not image.numel():
        raise InputError(f"A picture of {tuple(image.shape)} has no pixels to group.")
    if segments < 1 or not compactness > 0:
        raise InputError(
            f"{segments} segments of compactness {compactness:g} were asked for; expected 1 or "
            "more segments and a compactness above 0."
        )
    if _KERNEL is None:
        return _slic_without_kernel(image, segments, compactness)
    planes = image.cpu().contiguous().numpy()
    regions = np.empty(planes.shape[1:], dtype=np.int64)
    segments = min(segments, regions.size)
    _KERNEL(planes, *planes.shape[1:], segments, compactness, ITERATIONS, regions)
    return torch.from_numpy(regions).to(image.device)


def _slic_without_kernel(
    image: UInt8[Tensor, "3 H W"], segments: int, compactness: float
) -> Int64[Tensor, "H W"]:
    pixels = image.permute(1, 2, 0).cpu().numpy()
    found = skimage_slic(pixels, n_segments=segments, compactness=compactness, start_label=0)
    connected = label(found, background=-1, connectivity=1) - 1
    return torch.from_numpy(connected.astype(np.int64)).to(image.device)
