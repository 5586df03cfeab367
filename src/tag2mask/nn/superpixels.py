"""Superpixels as a cue: a photograph in at most so many regions.

    P. F. Felzenszwalb, D. P. Huttenlocher. Efficient Graph-Based Image Segmentation. IJCV 2004.

The graph's regions follow outlines and have any size; the most alike neighbours are then merged,
small ones first, until few enough are left. SLIC's superpixels, the other choice, are of one size.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from skimage.color import rgb2lab
from skimage.segmentation import felzenszwalb
from torch import Tensor
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.nn.slic import slic

SCALE: Final = 75  # ICD's superpixels, which SSC uses
SIGMA: Final = 0.8  # ICD
LEAST: Final = 75  # pixels of a region, ICD
LONG_SIDE: Final = 320  # pixels; the regions of longer photographs are made at this size
LIGHTNESS: Final = 100.0  # range of L in CIE Lab

Kind = Literal["felzenszwalb", "slic"]


@dataclass(frozen=True)
class SuperpixelOptions:
    """What the regions of a photograph are."""

    kind: Kind = "felzenszwalb"
    count: int = 64

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"{self.count} regions were asked for; expected 1 or more.")


def superpixels(
    image: UInt8[Tensor, "3 H W"], options: SuperpixelOptions, long_side: int = LONG_SIDE
) -> Int64[Tensor, "h w"]:
    """Regions 0 … S − 1 of a photograph, S at most `count` (about `count` for SLIC).

    The grid covers the photograph; its long side is at most `long_side` pixels.
    """
    small = _bounded(image, long_side)
    if options.kind == "slic":
        return slic(small, options.count)
    pixels = small.permute(1, 2, 0).numpy()
    found = felzenszwalb(pixels, scale=SCALE, sigma=SIGMA, min_size=LEAST).astype(np.int64)
    colours = torch.from_numpy(rgb2lab(pixels)).permute(2, 0, 1).double()
    return merge(torch.from_numpy(found), colours, options.count)


def merge(
    regions: Int64[Tensor, "h w"], colours: Float[Tensor, "D h w"], count: int
) -> Int64[Tensor, "h w"]:
    """Join neighbouring regions until at most `count` are left, the cheapest pair first.

        cost(i, j) = |mean colour i − mean colour j| / 100 + (area i + area j) / area of all

    Args:
        regions: numbers 0 … S − 1, each used; neighbours share an edge of pixels.
        colours: what makes regions alike; CIE Lab.
    """
    numbers = regions.numpy()
    size = int(numbers.max()) + 1
    areas = np.bincount(numbers.ravel(), minlength=size).astype(float)
    means = np.stack([np.bincount(numbers.ravel(), c.numpy().ravel(), size) for c in colours], 1)
    means = means / areas[:, None]
    nodes = _Regions(areas, means, _neighbours(numbers, size))
    for _ in range(size - count):
        nodes.join_cheapest()
    _, merged = np.unique(nodes.roots()[numbers], return_inverse=True)
    return torch.from_numpy(merged.reshape(numbers.shape).astype(np.int64))


class _Regions:
    """Regions while they are being joined; pairs wait in a heap, stale ones are passed over."""

    def __init__(self, areas: np.ndarray, means: np.ndarray, neighbours: list[set[int]]) -> None:
        self.areas, self.means, self.neighbours = areas, means, neighbours
        self.all = areas.sum()
        self.parent = np.arange(len(areas))
        self.turn = [0] * len(areas)  # how often a region has grown
        self.heap = [self._pair(i, j) for i, near in enumerate(neighbours) for j in near if i < j]
        heapq.heapify(self.heap)

    def _pair(self, i: int, j: int) -> tuple[float, int, int, int, int]:
        distance = float(np.sqrt(((self.means[i] - self.means[j]) ** 2).sum()))
        cost = distance / LIGHTNESS + (self.areas[i] + self.areas[j]) / self.all
        return cost, i, j, self.turn[i], self.turn[j]

    def join_cheapest(self) -> None:
        """The cheapest pair becomes one region, under the first's number."""
        while self.heap:
            _, i, j, grown_i, grown_j = heapq.heappop(self.heap)
            if (grown_i, grown_j) == (self.turn[i], self.turn[j]):
                self._join(i, j)
                return

    def _join(self, i: int, j: int) -> None:
        both = self.areas[i] + self.areas[j]
        self.means[i] = (self.means[i] * self.areas[i] + self.means[j] * self.areas[j]) / both
        self.areas[i] = both
        self.parent[j] = i
        self.turn[i] += 1
        self.turn[j] = -1  # gone
        near = (self.neighbours[i] | self.neighbours[j]) - {i, j}
        self.neighbours[i] = near
        for k in near:
            self.neighbours[k] = (self.neighbours[k] - {j}) | {i}
            heapq.heappush(self.heap, self._pair(min(i, k), max(i, k)))

    def roots(self) -> np.ndarray:
        """The region that each first region has become part of."""
        roots = self.parent
        while not np.array_equal(roots[roots], roots):
            roots = roots[roots]
        return roots


def _neighbours(numbers: np.ndarray, size: int) -> list[set[int]]:
    pairs = np.concatenate(
        [
            np.stack([numbers[1:].ravel(), numbers[:-1].ravel()], 1),
            np.stack([numbers[:, 1:].ravel(), numbers[:, :-1].ravel()], 1),
        ]
    )
    near: list[set[int]] = [set() for _ in range(size)]
    for i, j in np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0).tolist():
        near[i].add(j)
        near[j].add(i)
    return near


def _bounded(image: UInt8[Tensor, "3 H W"], long_side: int) -> UInt8[Tensor, "3 h w"]:
    factor = long_side / max(image.shape[1:])
    if factor >= 1:
        return image
    size = [max(1, round(extent * factor)) for extent in image.shape[1:]]
    return functional.interpolate(image[None].float(), size, mode="area")[0].round().byte()
