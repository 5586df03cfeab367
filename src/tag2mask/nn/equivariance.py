"""What two views of a photograph must agree on (SEAM's terms; RTC's too).

The maps of a smaller photograph should be the smaller maps. All views of a term are on one grid;
`onto` brings them there.

Y. Wang, J. Zhang, M. Kan, S. Shan, X. Chen: Self-supervised Equivariant Attention Mechanism for
Weakly Supervised Semantic Segmentation, CVPR 2020.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from tag2mask.types import Scalar

EPSILON: Final = 1e-5  # official code of SEAM
LOWEST: Final = 4  # one in so many cells is background for sure; official code of SEAM


def smaller(images: Float[Tensor, "B 3 H W"], scale: float) -> Float[Tensor, "B 3 _ _"]:
    """The second view: the photographs at a share of their size, bilinear and without aliasing."""
    height, width = (max(1, round(extent * scale)) for extent in images.shape[2:])
    resized: Tensor = functional.interpolate(
        images, (height, width), mode="bilinear", align_corners=False, antialias=True
    )
    return resized


def onto(maps: Float[Tensor, "B L _ _"], size: tuple[int, int]) -> Float[Tensor, "B L h w"]:
    """Maps or features on another grid, bilinear."""
    if tuple(maps.shape[2:]) == size:
        return maps
    resized: Tensor = functional.interpolate(maps, size, mode="bilinear", align_corners=False)
    return resized


def spanned(maps: Float[Tensor, "B L h w"]) -> Float[Tensor, "B L h w"]:
    """Each map from 0 to 1, in single precision or better.

        A' = max(0, A − min − 1e-5) / (max − min + 1e-5),  A cut at zero before

    A map without any contrast is zero.
    """
    positive = maps.to(torch.promote_types(maps.dtype, torch.float32)).relu()
    low = positive.amin(dim=(2, 3), keepdim=True)
    high = positive.amax(dim=(2, 3), keepdim=True)
    scaled: Tensor = (positive - low - EPSILON).relu() / (high - low + EPSILON)
    return scaled


def strongest(maps: Float[Tensor, "B C h w"]) -> Float[Tensor, "B L h w"]:
    """Every cell's strongest class alone, and in front the background, 1 − that.

    Args:
        maps: in [0, 1], classes only.
    """
    peak = maps.amax(dim=1, keepdim=True)
    return torch.cat([1 - peak, maps * (maps == peak)], dim=1)


def with_tags(
    maps: Float[Tensor, "B L h w"], tags: Bool[Tensor, "B C"]
) -> Float[Tensor, "B L h w"]:
    """The maps of the tags and of the background; none for a photograph without tags."""
    shown = torch.cat([tags.any(dim=1, keepdim=True), tags], dim=1)
    return maps * shown[:, :, None, None]


def equivariance_loss(one: Float[Tensor, "B C h w"], other: Float[Tensor, "B C h w"]) -> Scalar:
    """ER: how far the maps of two views are apart, the mean of |A_1 − A_2|."""
    return (one - other).abs().mean()


def cross_loss(
    reference: Float[Tensor, "B L h w"], refined: Float[Tensor, "B L h w"], share: float
) -> Scalar:
    """ECR: how far refined maps are from another view's strongest classes, where it is farthest.

        L = 1/B sum over photographs of the mean of the share of values |R − A'| that is highest

    The reference gets no gradient.

    Args:
        share: above 0, at most 1; SEAM takes the highest fifth of classes × cells.
    """
    distances = (reference.detach() - refined).abs().flatten(1)
    count = max(1, int(share * distances.shape[1]))
    return distances.topk(count, dim=1).values.mean()


def lowest_loss(maps: Float[Tensor, "B C h w"]) -> Scalar:
    """Min-pooling: the evidence that is left where a photograph has least, in a quarter of it.

    L = 1/B sum over photographs of the mean of the ⌊N/4⌋ lowest max(0, max over c of A_c)
    """
    peak = maps.amax(dim=1).flatten(1)
    count = max(1, peak.shape[1] // LOWEST)
    return peak.topk(count, dim=1, largest=False).values.relu().mean()
