"""Photographs added to a curve: by the compiled kernel where it was built, else in PyTorch.

The kernel enlarges maps row by row and counts as it goes, so that nothing as large as the
photograph is made. Both ways count the same pixels alike, to the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Final

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.evaluate.bins import CELLS, Bins
from tag2mask.evaluate.curve import LEVELS, Curve
from tag2mask.nn.checks import check_maps
from tag2mask.types import BACKGROUND, UNKNOWN, CamSet, Size

SHAPES: Final = 4096  # of photographs and maps, whose rounding is remembered


def _load_kernel() -> ModuleType | None:
    try:
        return import_module("tag2mask.evaluate._tally")
    except ImportError:
        return None


_KERNEL: Final = _load_kernel()


def is_compiled() -> bool:
    """Whether the compiled kernel is there."""
    return _KERNEL is not None


def curve_counts(
    cams: CamSet,
    truth: UInt8[Tensor, "H W"],
    classes: int,
    levels: Sequence[float] = LEVELS,
) -> Curve:
    """Count one photograph; maps are brought to the truth's size first (bilinear).

    Raises:
        InputError: the maps hold NaN.
        ValueError: the truth holds a label beyond `classes`, or levels do not ascend.
    """
    curve = Curve.zeros(classes, levels)
    Tally(curve).add(cams, truth)
    return curve


class Tally:
    """Adds photographs to a curve in place.

    Args:
        kernel: what counts; None is PyTorch.
    """

    def __init__(self, curve: Curve, kernel: ModuleType | None = _KERNEL) -> None:
        self.curve, self.bins, self.kernel = curve, Bins(curve.marks), kernel
        self.wide = curve.counts.shape[1]
        self.rows = torch.full((UNKNOWN + 1,), self.wide + 1, dtype=torch.int32)  # beyond classes
        self.rows[: self.wide] = torch.arange(self.wide, dtype=torch.int32)
        self.rows[UNKNOWN] = self.wide

    def add(self, cams: CamSet, truth: UInt8[Tensor, "H W"]) -> None:
        """Count one photograph; nothing is added where it is refused."""
        check_maps(cams)
        counts = self._count(cams.maps, truth)
        if counts[-1].any():
            highest = int(truth[truth != UNKNOWN].max())
            raise ValueError(f"label {highest} where labels end at {self.wide - 1}.")
        known = counts[: self.wide]
        self.curve.counts[0, :, BACKGROUND] += known[:, 0].sum(dim=1)
        if len(cams.classes):
            self.curve.counts[:, :, cams.classes] += known[:, 1:].transpose(0, 1)

    def _count(
        self, maps: Float[Tensor, "K h w"], truth: UInt8[Tensor, "H W"]
    ) -> Int64[Tensor, "rows bins k"]:
        """Pixels by row of their truth, levels that their best class beats, and that class."""
        maps, truth = maps.detach().float().contiguous(), truth.contiguous()
        if self.kernel is None or not maps.numel() or not truth.numel():
            return self.bins.count_pixels(maps, truth, self.rows, self.wide + 2)
        size = (truth.shape[0], truth.shape[1])
        variant = rounding_of(self.kernel, tuple(maps.shape), size, torch.get_num_threads())
        if variant is None:
            maps, variant = enlarge(maps, size), 0  # of its own size a map is what it is
        counts = torch.empty(self.wide + 2, self.bins.count + 1, len(maps), dtype=torch.int64)
        buffers = maps, truth, self.rows, self.bins.marks, self.bins.below, counts
        sizes = counts.shape[0], self.bins.count, CELLS
        self.kernel.tally(*(b.numpy() for b in buffers), maps.shape, size, sizes, variant)
        return counts


def enlarge(maps: Float[Tensor, "K h w"], size: Size) -> Float[Tensor, "K H W"]:
    """Bilinear, as `masks.threshold` does."""
    return functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


@lru_cache(SHAPES)
def rounding_of(kernel: ModuleType, shape: tuple[int, ...], size: Size, threads: int) -> int | None:
    """Which variant of the kernel enlarges maps of a shape to the very bits of PyTorch, if any.

    PyTorch rounds as shape, threads and machine have it; so noise is enlarged both ways, once.
    """
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(threads))
    expected = enlarge(noise, size)
    found = torch.empty_like(expected)
    for variant in range(len(kernel.variants())):
        kernel.enlarge(noise.numpy(), found.numpy(), shape, size, variant)
        if torch.equal(found, expected):
            return variant
    return None
