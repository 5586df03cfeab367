"""Masks as COCO's compressed run lengths: a few hundred bytes where pixels would take megabytes.

Runs go down the columns; the first is of what is not covered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as coco_mask

from tag2mask.types import Size


def pack(mask: Bool[np.ndarray, "H W"]) -> bytes:
    """Pixels as compressed run lengths."""
    counts: bytes = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return counts


def unpack(runs: bytes, size: Size) -> Bool[np.ndarray, "H W"]:
    """The pixels of compressed run lengths."""
    return covered(decompressed(runs.decode("ascii")), size)


def covered(lengths: Sequence[int], size: Size) -> Bool[np.ndarray, "H W"]:
    """The pixels of run lengths that add up to all of them."""
    turns = np.arange(len(lengths)) % 2 == 1
    return np.repeat(turns, lengths).reshape(size[::-1]).T


def decompressed(text: str) -> list[int]:
    """Run lengths of COCO's compressed text.

    Five bits a character from 48 on, the lowest first; bit 6 says that more follow, the highest
    bit of the last gives the sign. From the fourth on, differences to the last but one.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"run lengths have the character {character!r}")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("run lengths break off")
    return lengths
