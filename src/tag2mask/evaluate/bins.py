"""How many levels a value beats, and pixels counted by it in PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64, UInt8
from torch import Tensor

CELLS: Final = 1 << 12  # of the table that finds a value's bin


class Bins:
    """Pixels by truth, by how many levels their best class beats, and by that class.

    A level is beaten by what is above it, exactly. Each cell of a table over 0 … 1 knows the levels
    that are surely below it and the next one; only where several levels share a cell are values
    looked up one by one. Arrays as large as a photograph are kept for the next one: fresh memory
    costs more than the arithmetic.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.count = len(levels)
        self.levels = torch.tensor(levels, dtype=torch.float32)
        self.marks = torch.cat([self.levels, torch.tensor([math.inf])])
        edges = torch.arange(CELLS + 1, dtype=torch.float32) / CELLS
        self.below = torch.bucketize(edges[:-1], self.levels, out_int32=True)
        self.below[0] = 0  # this cell holds what is negative, too
        upper = torch.bucketize(edges[1:], self.levels, out_int32=True)
        self.single = bool(((upper - self.below) <= 1).all()) and levels[0] >= 0
        self.next = self.marks[self.below.long()]
        self.full, self.scaled = torch.empty(0), torch.empty(0)
        self.flags = torch.empty(0, dtype=torch.bool)
        self.flat = torch.empty(0, dtype=torch.int32)
        self.cells, self.found = torch.empty_like(self.flat), torch.empty_like(self.flat)

    def count_pixels(
        self,
        maps: Float[Tensor, "K h w"],
        truth: UInt8[Tensor, "H W"],
        rows: Int32[Tensor, "256"],
        row_count: int,
    ) -> Int64[Tensor, "rows bins k"]:
        """Counts by row of the truth, levels beaten and best class; without maps k is 1.

        Args:
            rows: of every label that a truth may hold.
            row_count: how many there are.
        """
        shape = (row_count, self.count + 1, max(len(maps), 1))
        if self.flat.numel() != truth.numel():
            self.flat = torch.empty(truth.numel(), dtype=torch.int32)
            self.flags = torch.empty(truth.numel(), dtype=torch.bool)
        np.take(rows.numpy(), truth.numpy().ravel(), out=self.flat.numpy(), mode="clip")
        self.flat.mul_(shape[1] * shape[2])
        if len(maps):
            self._add_best(maps, (truth.shape[0], truth.shape[1]))
        return torch.bincount(self.flat, minlength=math.prod(shape)).view(shape)

    def _add_best(self, maps: Float[Tensor, "K h w"], size: tuple[int, int]) -> None:
        """Add bin and place of every pixel's best class; of equals the first, classes ascend."""
        count, pixels = len(maps), size[0] * size[1]
        self.full.resize_(1, count, *size)
        enlarge = torch.ops.aten.upsample_bilinear2d.out  # functional.interpolate, into memory
        enlarge(maps[None], list(size), False, out=self.full)
        peak, *others = self.full.view(count, pixels)
        if others:
            place = torch.zeros(pixels, dtype=torch.int32)
            for number, values in enumerate(others, start=1):
                torch.gt(values, peak, out=self.flags)
                place.masked_fill_(self.flags, number)
                torch.maximum(peak, values, out=peak)
            self.flat.add_(place)
        self._add_beaten(peak, count)

    def _add_beaten(self, values: Float[Tensor, "n"], weight: int) -> None:
        """Add weight × the number of levels below each value."""
        if not self.single:
            beaten = torch.bucketize(values, self.levels, out_int32=True)
            self.flat.add_(beaten, alpha=weight)
            return
        for room in (self.scaled, self.cells, self.found):
            room.resize_(len(values))
        self.cells.copy_(torch.mul(values, CELLS, out=self.scaled).clamp_(0, CELLS - 1))
        torch.index_select(self.below, 0, self.cells, out=self.found)
        torch.index_select(self.next, 0, self.cells, out=self.scaled)
        above = torch.gt(values, self.scaled, out=self.flags)
        self.flat.add_(self.found, alpha=weight).add_(above, alpha=weight)
