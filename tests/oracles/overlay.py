"""The overlay, pixel by pixel, with VOC's colours from their bit rule."""

import numpy as np


def colour_of(label: int) -> list[int]:
    red = green = blue = 0
    for place in range(8):
        red |= (label & 1) << (7 - place)
        green |= (label >> 1 & 1) << (7 - place)
        blue |= (label >> 2 & 1) << (7 - place)
        label >>= 3
    return [red, green, blue]


def overlay_by_pixel(image: np.ndarray, labels: np.ndarray, opacity: float) -> np.ndarray:
    """Integers, (3, H, W)."""
    height, width = labels.shape
    painted = np.zeros((3, height, width))
    for row in range(height):
        for column in range(width):
            painted[:, row, column] = _pixel(image, labels, row, column, opacity)
    return np.round(painted).astype(int)


def _pixel(
    image: np.ndarray, labels: np.ndarray, row: int, column: int, opacity: float
) -> list[float]:
    own = int(labels[row, column])
    photo = [float(value) for value in image[:, row, column]]
    if own == 0:
        return photo
    if own == 255:
        paint = [96 if (row + column) % 8 < 4 else 208] * 3
        return [(1 - opacity) * p + opacity * c for p, c in zip(photo, paint, strict=True)]
    mixed = [(1 - opacity) * p + opacity * c for p, c in zip(photo, colour_of(own), strict=True)]
    around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    inside = [(r, c) for r, c in around if 0 <= r < labels.shape[0] and 0 <= c < labels.shape[1]]
    if any(int(labels[r, c]) != own for r, c in inside):
        return [0.1 * value + 0.9 * 255 for value in mixed]
    return mixed
