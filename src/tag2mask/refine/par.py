"""Pixel-adaptive refinement: values travel to neighbours of the same colour.

A class map is coarse, a photograph is not. Every cell repeatedly takes the mean over 48 neighbours,
near and far, weighted by how much they look like the cell.

    L. Ru, Y. Zhan, B. Yu, B. Du. Learning Affinity from Attention: End-to-End Weakly-Supervised
    Semantic Segmentation with Transformers. CVPR 2022 (AFA; PAR). After
    N. Araslanov, S. Roth. Single-Stage Semantic Segmentation from Image Labels. CVPR 2020 (PAMR).

| paper | here | where |
|---|---|---|
| I, P | `image`, `steps` | `affinity`, `_steps` |
| κ_rgb, σ_rgb | appearance, `spread` | `_appearance` |
| κ_pos, σ_pos | position | `_position` |
| w1, w2, w3 | `W1`, `W2`, `W3` | `affinity` |
| M^t | `maps` | `propagate` |

`kernel="varm"` is the variant of RTC (Y. Wang et al. 2023), which has a narrower kernel of colour
and, in place of position, takes a little from neighbours where the picture varies:

| VARM | here | where |
|---|---|---|
| 4 / σ | `VARM_W1` = 1/4 | `_appearance` |
| local variation, squared forward differences | | `variation` |
| softmax of appearance − 0.01 · softmax of variation | | `affinity` |

Differs from the paper: the two softmaxes add to 1 + w3, which lets maps grow by 1 % an iteration;
here the kernel is divided by 1 + w3 (VARM: by 1 − w3), so a constant map stays as it is. Effect:
none on the best class; without it levels would depend on the number of iterations.

Differs from the official code: maps have no background channel, which belongs to the decision; the
photograph is averaged down to a grid of `stride` pixels a cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.nn.checks import check_photograph
from tag2mask.types import CamSet, Size

W1: Final = 0.3  # AFA, implementation details: spread of colour
W2: Final = 0.3  # AFA, implementation details: spread of position
VARM_W1: Final = 0.25  # RTC, released code: differences are multiplied by 4
W3: Final = 0.01  # AFA, implementation details: share of position; RTC: of variation
WHITE: Final = 255.0
EPSILON: Final = 1e-8  # official code, not in the paper: flat neighbourhoods have no spread
DIRECTIONS: Final = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x)


@dataclass(frozen=True)
class PAROptions:
    """How far and how long values travel."""

    iterations: int = 10
    """Times every cell takes the mean of its neighbours."""
    dilations: tuple[int, ...] = (1, 2, 4, 8, 12, 24)
    """Distances of the eight neighbours, in cells."""
    stride: int = 4
    """Pixels per cell of the grid it works on (measured, docs/journal.md)."""
    long_side: int = 320
    """Longer photographs are first brought to this many pixels."""
    kernel: Literal["par", "varm"] = "par"
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
    """How much every cell listens to each of its P = 8 · dilations neighbours; sums to 1 over P.

        par:   (softmax_j k_rgb(i, j) + w3 · softmax_j k_pos(i, j)) / (1 + w3)
        varm:  (softmax_j k_rgb(i, j) − w3 · softmax_j v(j)) / (1 − w3)

    Beyond the border the nearest cell of the picture stands in.

    Args:
        image: for `par` on any range, only ratios of colours matter; for `varm` on 0 … 255.
    """
    weights = _softmax_in_place(_appearance(image, options))
    if options.kernel == "varm":
        varied = variation(image / WHITE)
        seen = [neighbour.squeeze(-3) for neighbour in _neighbours(varied, options)]
        return weights.sub_(_softmax_in_place(torch.stack(seen, -3)), alpha=W3).div_(1 - W3)
    position = torch.softmax(_position(options).to(image), dim=0)
    return weights.add_(position[:, None, None], alpha=W3).div_(1 + W3)


def variation(image: Float[Tensor, "*B 3 h w"]) -> Float[Tensor, "*B 1 h w"]:
    """Squared differences to the next cell to the right and below, added up; mean over RGB.

    The last column and the last row have no next one: zero there.
    """
    right, below = image.diff(dim=-1).square(), image.diff(dim=-2).square()
    total = functional.pad(right, (0, 1)) + functional.pad(below, (0, 0, 0, 1))
    return total.mean(dim=-3, keepdim=True)


def propagate(
    maps: Float[Tensor, "*B K h w"], affinity: Float[Tensor, "*B P h w"], options: PAROptions
) -> Float[Tensor, "*B K h w"]:
    """Repeat the weighted mean over the neighbours, for one picture or for a batch.

    M^t_i = sum over j of affinity_ij · M^(t−1)_j
    """
    if not maps.numel():
        return maps
    weights = affinity.unsqueeze(-3).unbind(-4)
    for _ in range(options.iterations):
        following = torch.zeros_like(maps)
        for weight, neighbour in zip(weights, _neighbours(maps, options), strict=True):
            following.addcmul_(weight, neighbour)
        maps = following
    return maps


def _appearance(image: Float[Tensor, "*B 3 h w"], options: PAROptions) -> Float[Tensor, "*B P h w"]:
    """Minus the mean over RGB of (|I_i − I_j| / (w1 · sigma_i))²; sigma over the neighbours."""
    count = len(_steps(options))
    mean = torch.zeros_like(image)
    for neighbour in _neighbours(image, options):
        mean.add_(neighbour, alpha=1 / count)
    variance = torch.zeros_like(image)
    for neighbour in _neighbours(image, options):
        deviation = neighbour - mean
        variance.addcmul_(deviation, deviation, value=1 / (count - 1))
    narrow = VARM_W1 if options.kernel == "varm" else W1
    scale = 1 / (narrow * (variance.sqrt_() + EPSILON))
    values = image.new_empty((*image.shape[:-3], count, *image.shape[-2:]))
    for value, neighbour in zip(values.unbind(-3), _neighbours(image, options), strict=True):
        difference = (neighbour - image).mul_(scale)
        value.copy_(difference.square_().mean(dim=-3))
    return values.neg_()


def _position(options: PAROptions) -> Float[Tensor, "P"]:
    """Minus (|P_i − P_j| / (w2 · sigma))²; the same for every cell."""
    distances = torch.tensor([math.hypot(*step) for step in _steps(options)], dtype=torch.float64)
    return -(distances / (W2 * (distances.std() + EPSILON))).square()


def _softmax_in_place(values: Float[Tensor, "*B P h w"]) -> Float[Tensor, "*B P h w"]:
    """Softmax over the neighbours, without a second copy of the largest tensor here."""
    values.sub_(values.amax(dim=-3, keepdim=True)).exp_()
    return values.div_(values.sum(dim=-3, keepdim=True))


def _steps(options: PAROptions) -> list[tuple[int, int]]:
    return [(d * y, d * x) for d in options.dilations for y, x in DIRECTIONS]


def _neighbours(values: Float[Tensor, "*B C h w"], options: PAROptions) -> Iterator[Tensor]:
    """For every step, what each cell sees there: views of one padded tensor."""
    reach, (height, width) = max(options.dilations), values.shape[-2:]
    padded = functional.pad(values, (reach, reach, reach, reach), mode="replicate")
    for y, x in _steps(options):
        yield padded[..., reach + y :, reach + x :][..., :height, :width]
