"""Alpha compositing pixel by pixel, as the formula reads."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from tag2mask.data.layers import Layer


def flatten_slowly(background: np.ndarray, layers: list[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Picture (rounded to the nearest byte) and owner of every pixel."""
    height, width, _ = background.shape
    picture = np.zeros_like(background)
    owners = np.zeros((height, width), dtype=np.uint8)
    for y in range(height):
        for x in range(width):
            colour = [Fraction(int(value)) for value in background[y, x]]
            for layer in layers:
                row, column = y - layer.top, x - layer.left
                if not (0 <= row < layer.rgba.shape[0] and 0 <= column < layer.rgba.shape[1]):
                    continue
                *above, opacity = (int(value) for value in layer.rgba[row, column])
                alpha = Fraction(opacity, 255)
                colour = [
                    alpha * new + (1 - alpha) * old for new, old in zip(above, colour, strict=True)
                ]
                if alpha >= Fraction(1, 2):
                    owners[y, x] = layer.owner
            picture[y, x] = [round(value) for value in colour]
    return picture, owners
