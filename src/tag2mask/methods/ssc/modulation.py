"""Activation self-modulation (ASM): maps are pulled to a version of themselves that knows regions.

All functions take the maps of P (image, class) pairs, those with a tag, and nothing else.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from tag2mask.nn.host import over_peak
from tag2mask.nn.regions import region_mean

SHRINK: Final = 2  # the loss is taken at half the input's resolution (official code)


def modulation_loss(
    responses: Float[Tensor, "B C h w"],
    tags: Bool[Tensor, "B C"],
    superpixels: Int64[Tensor, "B H W"],
    threshold: float,
    erosion: float,
    still: bool = True,
) -> Float[Tensor, ""]:
    """How far the maps of tagged classes are from their target.

        L_a = mean over (image, tagged class), pixels of (A − T)²

    Pixels without a region (padding) are left out; zero where there is no tag. The gradient runs
    through A alone.

    Args:
        responses: raw, of either sign.
        threshold: activation above which a pixel is reliable.
        erosion: window of the erosion, in units of the longer side.
        still: the maximum that divides A passes no gradient.
    """
    image, label = tags.nonzero(as_tuple=True)
    if not len(image):
        return responses.sum() * 0
    size = [max(1, extent // SHRINK) for extent in superpixels.shape[1:]]
    few = superpixels[:, None].float()
    regions = functional.interpolate(few, size, mode="nearest-exact")[:, 0].long()[image]
    exact = torch.promote_types(responses.dtype, torch.float32)
    pairs = responses[image, label].to(exact)
    maps = functional.interpolate(pairs[None], size, mode="bilinear", align_corners=False)[0]
    window = max(1, round(erosion * max(size)))
    target = modulated(maps.detach(), regions, threshold, window)
    inside = (regions >= 0).to(exact)
    distances = (over_peak(maps, still) - target).square() * inside
    return distances.sum() / inside.sum().clamp(min=1)


def modulated(
    maps: Float[Tensor, "P H W"], regions: Int64[Tensor, "P H W"], threshold: float, window: int
) -> Float[Tensor, "P H W"]:
    """The target: regions agree, and what was reliable is kept.

    T = max(Ā, A ⊗ M)

    Args:
        maps: raw responses; Ā averages them before the cut at zero.
        window: side of the square that erodes, pixels.
    """
    flat = maps.flatten(1)[:, None]
    count = int(regions.max().clamp(min=0)) + 1
    shared = region_mean(flat, regions.flatten(1), count).view_as(maps)
    activation = over_peak(maps)
    kept = activation * eroded(activation > threshold, window)
    return torch.maximum(over_peak(shared), kept)


def eroded(selected: Bool[Tensor, "P H W"], window: int) -> Bool[Tensor, "P H W"]:
    """Pixels whose whole window is selected; what lies outside the picture does not count.

    The window of an even side k reaches from −k/2 to k/2 − 1, as OpenCV's does.
    """
    before, after = window // 2, window - 1 - window // 2
    gaps = functional.pad((~selected).float(), (before, after, before, after))
    return functional.max_pool2d(gaps[:, None], window, stride=1)[:, 0] == 0
