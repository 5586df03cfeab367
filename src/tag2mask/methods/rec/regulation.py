"""How large a mask-let may be: by its area, and by scores pooled under it."""

from __future__ import annotations

from typing import Final, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from tag2mask.types import Scalar

Regulation = Literal["prior", "area", "pooling"]
EPSILON: Final = 1e-6  # released code
FOCUS: Final = 3  # power of the size penalty; Araslanov & Roth, released code
LEAST: Final = 0.01  # in its logarithm; Araslanov & Roth, released code


def areas(shares: Float[Tensor, "B L h w"], inside: Bool[Tensor, "B h w"]) -> Float[Tensor, "B L"]:
    """m̄_k: the share of the photograph that each label takes.

    Args:
        inside: cells that show the photograph; the others are not counted.
    """
    count = inside.sum(dim=(1, 2)).clamp(min=1)
    return (shares * inside[:, None]).sum(dim=(2, 3)) / count[:, None]


def area_loss(taken: Float[Tensor, "B L"], present: Bool[Tensor, "B L"]) -> Scalar:
    """Of labels that are there some, of others none.

        L_mask = 1/B sum over b, k of − y log(m̄ + ε) − (1 − y) log(1 − m̄ + ε)

    Labels of one photograph are cheapest in equal parts: a lone tag has half of the picture.

    Args:
        present: tags, behind the background, which is always there.
    """
    some, none = (taken + EPSILON).log(), (1 - taken + EPSILON).log()
    return -some.where(present, none).sum(dim=1).mean()


def prior_loss(taken: Float[Tensor, "B L"], present: Bool[Tensor, "B L"], share: float) -> Scalar:
    """Of a photograph's tags together `share` of it, of absent classes none.

        L_mask = − 1/B sum over b of 2 (1 − a) log(m̄_0 + ε) + 2 a/t sum over tags of log(m̄ + ε)
                 + sum over absent classes of log(1 − m̄ + ε)

    Ours; t is the number of tags. With one tag it is `area_loss` where a = 1/2, and cheapest where
    the tag has a of the photograph.

    Args:
        present: tags, behind the background.
        share: a; without a tag the background has all.
    """
    tags = present[:, 1:].to(taken.dtype)
    count = tags.sum(dim=1, keepdim=True)
    background = 1 - share * count.clamp(max=1)
    weights = torch.cat([2 * background, 2 * share * tags / count.clamp(min=1)], dim=1)
    some, none = (taken + EPSILON).log(), (1 - taken + EPSILON).log()
    return -torch.where(present, weights * some, none).sum(dim=1).mean()


def pooled_scores(
    logits: Float[Tensor, "B L h w"],
    shares: Float[Tensor, "B L h w"],
    inside: Bool[Tensor, "B h w"],
) -> Float[Tensor, "B L"]:
    """Normalised global weighted pooling and the focal size penalty.

        s_k = sum of M z / (ε + sum of M) + (1 − m̄)³ log(.01 + m̄)

    N. Araslanov, S. Roth: Single-Stage Semantic Segmentation from Image Labels, CVPR 2020.
    """
    here = shares * inside[:, None]
    means = (here * logits).sum(dim=(2, 3)) / (EPSILON + here.sum(dim=(2, 3)))
    taken = areas(shares, inside)
    return means + (1 - taken) ** FOCUS * (LEAST + taken).log()


def pooling_loss(
    logits: Float[Tensor, "B L h w"],
    shares: Float[Tensor, "B L h w"],
    inside: Bool[Tensor, "B h w"],
    present: Bool[Tensor, "B L"],
) -> Scalar:
    """L_mask = BCE(σ(s), y), the mean over photographs and labels.

    Args:
        present: tags, behind the background, which is always there.
    """
    scores = pooled_scores(logits, shares, inside)
    loss: Tensor = functional.binary_cross_entropy_with_logits(scores, present.to(scores.dtype))
    return loss
