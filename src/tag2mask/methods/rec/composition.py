"""Mask-lets and image-lets put together: the photograph again, and one picture a label."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from tag2mask.methods.rec.networks import WHITE
from tag2mask.nn.equivariance import onto
from tag2mask.types import Scalar

Composition = Literal["soft", "gumbel"]


def masklets(
    logits: Float[Tensor, "B L h w"], composition: Composition
) -> Float[Tensor, "B L h w"]:
    """M, whose sum over the labels is one.

    soft:    M_k = softmax over k of z_k
    gumbel:  M_k = [k = argmax of z + G], G drawn from Gumbel's distribution; the gradient is
             that of softmax(z + G) (straight through)
    """
    if composition == "soft":
        return logits.softmax(dim=1)
    return functional.gumbel_softmax(logits, hard=True, dim=1)


def recomposed(
    shares: Float[Tensor, "B L h w"], imagelets: Float[Tensor, "B L 3 h w"]
) -> Float[Tensor, "B 3 h w"]:
    """The photograph again: Î = sum over labels k of M_k X_k."""
    return torch.einsum("blhw,blchw->bchw", shares, imagelets)


def reconstruction_loss(
    images: Float[Tensor, "B 3 H W"],
    shares: Float[Tensor, "B L h w"],
    imagelets: Float[Tensor, "B L 3 h w"],
    inside: Bool[Tensor, "B h w"],
) -> Scalar:
    """Mean of (Î − I)² over colours and over the cells that show the photograph.

    I are the means of the pixels of each cell.

    Args:
        images: RGB on 0 … 255.
        imagelets: in [0, 1].
        inside: cells that show the photograph.
    """
    size = (inside.shape[1], inside.shape[2])
    wanted = functional.adaptive_avg_pool2d(images, size) / WHITE
    gaps = (recomposed(shares, imagelets) - wanted).square().mean(dim=1)
    return (gaps * inside).sum() / inside.sum().clamp(min=1)


def composed(
    imagelets: Float[Tensor, "B L 3 h w"],
    shares: Float[Tensor, "B L h w"],
    pairs: tuple[Int64[Tensor, "M"], Int64[Tensor, "M"]],
    size: tuple[int, int],
    ground: Float[Tensor, "1 3 1 1"],
) -> Float[Tensor, "M 3 H W"]:
    """A picture of one label alone: C = M_k X_k + (1 − M_k) ground, RGB on 0 … 255.

    Args:
        imagelets: in [0, 1].
        pairs: number of the photograph and label of each picture.
        size: (H, W).
        ground: colour where the label is not; black in the paper.
    """
    here = onto(shares[pairs][:, None], size)
    pictures = onto(imagelets[pairs], size) * WHITE
    return here * pictures + (1 - here) * ground


def cut_out(
    images: Float[Tensor, "B 3 H W"],
    shares: Float[Tensor, "B L h w"],
    pairs: tuple[Int64[Tensor, "M"], Int64[Tensor, "M"]],
    ground: Float[Tensor, "1 3 1 1"],
) -> Float[Tensor, "M 3 H W"]:
    """The photograph itself where a label is: C = M_k I + (1 − M_k) ground.

    Args:
        images: RGB on 0 … 255.
        pairs: number of the photograph and label of each picture.
    """
    here = onto(shares[pairs][:, None], (images.shape[2], images.shape[3]))
    return here * images[pairs[0]] + (1 - here) * ground
