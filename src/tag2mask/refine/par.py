"""Pixel-adaptive refinement: values travel to neighbours of the same colour.

A class map is coarse, a photograph is not. Every cell repeatedly takes the mean over 48 neighbours,
near and far, weighted by how much they look like the cell.

    L. Ru, Y. Zhan, B. Yu, B. Du. Learning Affinity from Attention: End-to-End Weakly-Supervised
    Semantic Segmentation with Transformers. CVPR 2022 (AFA; PAR). After
    N. Araslanov, S. Roth. Single-Stage Semantic Segmentation from Image Labels. CVPR 2020 (PAMR).

| paper | here | where |
|---|---|---|
| I, P | `image`, `dilations` | `neighbour_shares` |
| κ_rgb, σ_rgb | appearance, `spread` | `_appearance` |
| κ_pos, σ_pos | position | `_position` |
| w1, w2, w3 | `W1`, `W2`, `W3` | `neighbour_shares` |
| M^t | `maps` | `propagate` |

`kernel="varm"` is the variant of RTC (Y. Wang et al. 2023), which has a narrower kernel of colour
and, in place of position, takes a little from neighbours where the picture varies:

| VARM | here | where |
|---|---|---|
| 4 / σ | `VARM_W1` = 1/4 | `_appearance` |
| local variation, squared forward differences | | `variation` |
| softmax of appearance − 0.01 · softmax of variation | | `neighbour_shares` |

What is arithmetic on tensors alone is in `tag2mask.nn.par`, for methods refine their maps too.

Differs from the paper: the two softmaxes add to 1 + w3, which lets maps grow by 1 % an iteration;
here the kernel is divided by 1 + w3 (VARM: by 1 − w3), so a constant map stays as it is. Effect:
none on the best class; without it levels would depend on the number of iterations.

Differs from the official code: maps have no background channel, which belongs to the decision; the
photograph is averaged down to a grid of `stride` pixels a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.nn import par
from tag2mask.nn.checks import check_photograph
from tag2mask.nn.par import DILATIONS, EPSILON, ITERATIONS, Kernel
from tag2mask.types import CamSet, Size


@dataclass(frozen=True)
class PAROptions:
    """How far and how long values travel."""

    iterations: int = ITERATIONS
    """Times every cell takes the mean of its neighbours."""
    dilations: tuple[int, ...] = DILATIONS
    """Distances of the eight neighbours, in cells."""
    stride: int = 4
    """Pixels per cell of the grid it works on (measured, docs/journal.md)."""
    long_side: int = 320
    """Longer photographs are first brought to this many pixels."""
    kernel: Kernel = "par"
    """How neighbours are weighed: as AFA does, or as RTC's variant does."""

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise InputError(f"--par.iterations {self.iterations} came; expected 0 or more.")
        if not self.dilations or min(self.dilations) < 1:
            raise InputError(
                f"--par.dilations {self.dilations} came; expected distances of 1 or more."
            )
        if self.stride < 1 or self.long_side < 1:
            raise InputError("--par.stride and --par.long-side are pixels; expected 1 or more.")


class PAR:
    """Pixel-adaptive refinement of the maps of one photograph."""

    def __init__(self, options: PAROptions | None = None) -> None:
        self.options = options or PAROptions()

    @torch.no_grad()
    def __call__(self, image: UInt8[Tensor, "3 H W"], cams: CamSet) -> CamSet:
        """The maps, refined, on the working grid.

        Averaging lowers peaks, and levels are relative to the peak; so every map is scaled back to
        the maximum it came with. A map without evidence stays zero.

        Raises:
            InputError: maps with NaN or of another photograph.
        """
        check_photograph(image, cams)
        if not len(cams.classes):
            return cams
        size = grid_size((image.shape[-2], image.shape[-1]), self.options)
        cells = functional.interpolate(image[None].to(cams.maps.device).float(), size, mode="area")
        maps = functional.interpolate(
            cams.maps[None].float(), size, mode="bilinear", align_corners=False, antialias=True
        )
        refined = propagate(maps[0], affinity(cells[0], self.options), self.options)
        before, after = (m.amax(dim=(1, 2), keepdim=True) for m in (cams.maps, refined))
        refined = refined * (before / after.clamp(min=EPSILON))
        return CamSet(cams.id, cams.classes, refined.clamp(0, 1), cams.size)


def grid_size(size: Size, options: PAROptions) -> Size:
    """(h, w) of the working grid for a photograph of (H, W) pixels."""
    factor = min(1.0, options.long_side / max(size)) / options.stride
    height, width = (max(1, round(extent * factor)) for extent in size)
    return height, width


def affinity(image: Float[Tensor, "*B 3 h w"], options: PAROptions) -> Float[Tensor, "*B P h w"]:
    """`tag2mask.nn.par.neighbour_shares` with these options."""
    return par.neighbour_shares(image, options.dilations, options.kernel)


def propagate(
    maps: Float[Tensor, "*B K h w"], affinity: Float[Tensor, "*B P h w"], options: PAROptions
) -> Float[Tensor, "*B K h w"]:
    """`tag2mask.nn.par.propagate` with these options."""
    return par.propagate(maps, affinity, options.dilations, options.iterations)
