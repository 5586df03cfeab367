"""Cells that show the photograph, and cells of plain ground."""

from __future__ import annotations

import torch

from tag2mask.nn.padding import PAD_COLOUR, photographed


def test_a_cell_with_one_pixel_of_the_photograph_shows_it() -> None:
    images = torch.tensor(PAD_COLOUR).float().view(1, 3, 1, 1).repeat(2, 1, 32, 48)
    images[0, 0, 17, 20] = 7.0  # one channel of one pixel
    images[1] = 0.0
    expected = torch.zeros(2, 4, 6, dtype=torch.bool)
    expected[0, 2, 2] = True
    expected[1] = True
    assert torch.equal(photographed(images, (4, 6)), expected)
