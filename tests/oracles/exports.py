"""Readers of what is exported, by the formats' descriptions, one bit and one pixel at a time."""

from __future__ import annotations

import numpy as np


class Bits:
    """A stream of bits, highest first."""

    def __init__(self, content: list[int]) -> None:
        self.text = "".join(f"{byte:08b}" for byte in content)
        self.place = 0

    def read(self, count: int) -> int:
        piece = self.text[self.place : self.place + count]
        assert len(piece) == count, "the stream ends too early"
        self.place += count
        return int(piece, 2)


def unpack(content: list[int]) -> list[int]:
    """thi.ng's rle-pack: count, word size, four run sizes; then runs and single values."""
    bits = Bits(content)
    count, word = bits.read(32), bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        repeated = bits.read(1)
        length = bits.read(sizes[bits.read(2)]) + 1
        if repeated:
            values += [bits.read(word)] * length
        else:
            values += [bits.read(word) for _ in range(length)]
    assert len(values) == count
    assert len(bits.text) - bits.place < 8, "more bytes than bits need"
    return values


def brush(content: list[int], height: int, width: int) -> np.ndarray:
    """A Label Studio brush as a mask: alpha above zero."""
    pixels = np.array(unpack(content)).reshape(height, width, 4)
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[:, :, 3] > 0


def cvat_mask(attributes: dict[str, str], height: int, width: int) -> np.ndarray:
    """A CVAT mask in its image: the rows of the box, runs of zeros and ones in turn."""
    left, top, across, down = (int(attributes[k]) for k in ("left", "top", "width", "height"))
    mask, place, value = np.zeros((height, width), dtype=bool), 0, False
    for text in attributes["rle"].split(","):
        for _ in range(int(text)):
            mask[top + place // across, left + place % across] = value
            place += 1
        value = not value
    assert place == across * down
    return mask
