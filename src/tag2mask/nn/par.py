"""Pixel-adaptive refinement of a picture or of a batch: values travel to neighbours of one colour.

    L. Ru, Y. Zhan, B. Yu, B. Du. Learning Affinity from Attention: End-to-End Weakly-Supervised
    Semantic Segmentation with Transformers. CVPR 2022 (AFA; PAR). After
    N. Araslanov, S. Roth. Single-Stage Semantic Segmentation from Image Labels. CVPR 2020 (PAMR).
    `varm` is the variant of RTC (Y. Wang et al. 2023).

What differs from paper and code stands in `tag2mask.refine.par`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Kernel = Literal["par", "varm"]
W1: Final = 0.3  # AFA, implementation details: spread of colour
W2: Final = 0.3  # AFA, implementation details: spread of position
VARM_W1: Final = 0.25  # RTC, released code: differences are multiplied by 4
W3: Final = 0.01  # AFA, implementation details: share of position; RTC: of variation
WHITE: Final = 255.0
EPSILON: Final = 1e-8  # official code, not in the paper: flat neighbourhoods have no spread
DILATIONS: Final = (1, 2, 4, 8, 12, 24)  # AFA, official code; RTC's too
ITERATIONS: Final = 10  # AFA, official code; RTC's too
DIRECTIONS: Final = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x)


def neighbour_shares(
    image: Float[Tensor, "*B 3 h w"], dilations: Sequence[int], kernel: Kernel
) -> Float[Tensor, "*B P h w"]:
    """How much every cell listens to each of its P = 8 · dilations neighbours; sums to 1 over P.

        par:   (softmax_j k_rgb(i, j) + w3 · softmax_j k_pos(i, j)) / (1 + w3)
        varm:  (softmax_j k_rgb(i, j) − w3 · softmax_j v(j)) / (1 − w3)

    Beyond the border the nearest cell of the picture stands in.

    Args:
        image: for `par` on any range, only ratios of colours matter; for `varm` on 0 … 255.
        dilations: distances of the eight neighbours, in cells.
    """
    weights = _softmax_in_place(_appearance(image, dilations, VARM_W1 if kernel == "varm" else W1))
    if kernel == "varm":
        varied = variation(image / WHITE)
        seen = [neighbour.squeeze(-3) for neighbour in _neighbours(varied, dilations)]
        return weights.sub_(_softmax_in_place(torch.stack(seen, -3)), alpha=W3).div_(1 - W3)
    position = torch.softmax(_position(dilations).to(image), dim=0)
    return weights.add_(position[:, None, None], alpha=W3).div_(1 + W3)


def variation(image: Float[Tensor, "*B 3 h w"]) -> Float[Tensor, "*B 1 h w"]:
    """Squared differences to the next cell to the right and below, added up; mean over RGB.

    The last column and the last row have no next one: zero there.
    """
    right, below = image.diff(dim=-1).square(), image.diff(dim=-2).square()
    total = functional.pad(right, (0, 1)) + functional.pad(below, (0, 0, 0, 1))
    return total.mean(dim=-3, keepdim=True)


def propagate(
    maps: Float[Tensor, "*B K h w"],
    shares: Float[Tensor, "*B P h w"],
    dilations: Sequence[int],
    iterations: int,
) -> Float[Tensor, "*B K h w"]:
    """Repeat the weighted mean over the neighbours, for one picture or for a batch.

    M^t_i = sum over j of shares_ij · M^(t−1)_j

    Args:
        dilations: those that the shares were made for.
    """
    if not maps.numel():
        return maps
    weights = shares.unsqueeze(-3).unbind(-4)
    for _ in range(iterations):
        following = torch.zeros_like(maps)
        for weight, neighbour in zip(weights, _neighbours(maps, dilations), strict=True):
            following.addcmul_(weight, neighbour)
        maps = following
    return maps


def _appearance(
    image: Float[Tensor, "*B 3 h w"], dilations: Sequence[int], narrow: float
) -> Float[Tensor, "*B P h w"]:
    """Minus the mean over RGB of (|I_i − I_j| / (w1 · sigma_i))²; sigma over the neighbours."""
    count = len(_steps(dilations))
    mean = torch.zeros_like(image)
    for neighbour in _neighbours(image, dilations):
        mean.add_(neighbour, alpha=1 / count)
    variance = torch.zeros_like(image)
    for neighbour in _neighbours(image, dilations):
        deviation = neighbour - mean
        variance.addcmul_(deviation, deviation, value=1 / (count - 1))
    scale = 1 / (narrow * (variance.sqrt_() + EPSILON))
    values = image.new_empty((*image.shape[:-3], count, *image.shape[-2:]))
    for value, neighbour in zip(values.unbind(-3), _neighbours(image, dilations), strict=True):
        difference = (neighbour - image).mul_(scale)
        value.copy_(difference.square_().mean(dim=-3))
    return values.neg_()


def _position(dilations: Sequence[int]) -> Float[Tensor, "P"]:
    """Minus (|P_i − P_j| / (w2 · sigma))²; the same for every cell."""
    distances = torch.tensor([math.hypot(*step) for step in _steps(dilations)], dtype=torch.float64)
    return -(distances / (W2 * (distances.std() + EPSILON))).square()


def _softmax_in_place(values: Float[Tensor, "*B P h w"]) -> Float[Tensor, "*B P h w"]:
    """Softmax over the neighbours, without a second copy of the largest tensor here."""
    values.sub_(values.amax(dim=-3, keepdim=True)).exp_()
    return values.div_(values.sum(dim=-3, keepdim=True))


def _steps(dilations: Sequence[int]) -> list[tuple[int, int]]:
    return [(d * y, d * x) for d in dilations for y, x in DIRECTIONS]


def _neighbours(values: Float[Tensor, "*B C h w"], dilations: Sequence[int]) -> Iterator[Tensor]:
    """For every step, what each cell sees there: views of one padded tensor."""
    reach, (height, width) = max(dilations), values.shape[-2:]
    padded = functional.pad(values, (reach, reach, reach, reach), mode="replicate")
    for y, x in _steps(dilations):
        yield padded[..., reach + y :, reach + x :][..., :height, :width]
