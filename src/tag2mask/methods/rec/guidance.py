"""What a frozen classifier says of pictures of one label alone."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from tag2mask.types import Scalar

Guidance = Literal["evidence", "tags"]


def draw_labels(tags: Bool[Tensor, "B C"], absent: int) -> Float[Tensor, "B L"]:
    """How much the picture of each label counts; those of weight 0 need not be made.

        1 for the background and for tags; a/n for n of the a absent classes, drawn evenly; else 0

    So the expected sum of weighted losses is the sum over all labels.

    Args:
        absent: n, at most so many absent classes of every photograph.
    """
    gone = (~tags).sum(dim=1, keepdim=True)
    drawn = gone.clamp(max=absent)
    keys = torch.rand(tags.shape, device=tags.device).masked_fill(tags, torch.inf)
    places = keys.argsort(dim=1).argsort(dim=1)
    rates = gone / drawn.clamp(min=1)
    weights = torch.where(tags, 1.0, (places < drawn) * rates)
    return functional.pad(weights, (1, 0), value=1.0)


def guidance_loss(
    scores: Float[Tensor, "M C"],
    pairs: tuple[Int64[Tensor, "M"], Int64[Tensor, "M"]],
    weights: Float[Tensor, "B L"],
    tags: Bool[Tensor, "B C"],
) -> Scalar:
    """A tag's picture shows that class and no other; those of other labels show none.

        L_cls = sum over photographs b and labels k of w_bk BCE(g(C_bk), target_bk) / sum of w

    BCE is the sum over classes, so that a class counts as much among many (the released code has
    one class, and the mean); a target is zero but for entry k, which is y_k.

    Args:
        scores: logits of g.
        pairs: number of the photograph and label of each picture.
        weights: w.
    """
    photos, labels = pairs
    wanted = functional.pad(tags, (1, 0))[photos, labels]  # the background asks for nothing
    targets = functional.one_hot(labels, weights.shape[1])[:, 1:] * wanted[:, None]
    losses = functional.binary_cross_entropy_with_logits(
        scores, targets.to(scores.dtype), reduction="none"
    ).sum(dim=1)
    return (losses * weights[pairs].to(losses.dtype)).sum() / weights.sum()


def margin(
    whole: Float[Tensor, "B C"], nothing: Float[Tensor, "1 C"], tags: Bool[Tensor, "B C"]
) -> Scalar:
    """How far g is above nothing where a class is tagged: max(1, mean of g_c(I) − g_c(∅)).

    Ours. What a mask-let can change of g's scores, and so L_cls's gradient, is in proportion to it.

    Args:
        whole: g(I) of the photographs.
        nothing: g(∅), of the ground alone.
    """
    above = (whole - nothing) * tags
    return (above.sum() / tags.sum().clamp(min=1)).clamp(min=1)


def evidence_loss(
    scores: Float[Tensor, "M C"],
    pairs: tuple[Int64[Tensor, "M"], Int64[Tensor, "M"]],
    weights: Float[Tensor, "B L"],
    tags: Bool[Tensor, "B C"],
    known: tuple[Float[Tensor, "B C"], Float[Tensor, "1 C"]],
) -> Scalar:
    """A tag's picture holds all evidence of it that the photograph has, those of other labels none.

        e_c(C) = (g_c(C) − g_c(∅)) / max(1, g_c(I) − g_c(∅))
        L = 1/B sum over b and its tags c of
            max(0, 1 − e_c(C_c)) + sum over k ≠ c of w_k max(0, e_c(C_k))

    Ours. In these units a confident g is asked for no less than a hesitant one, and nobody is asked
    for less evidence than of nothing.

    Args:
        scores: logits of g.
        pairs: number of the photograph and label of each picture.
        weights: w.
        known: g(I) of the photographs, and g(∅) of the ground alone.
    """
    photos, labels = pairs
    whole, nothing = known
    found = (scores - nothing) / (whole - nothing).clamp(min=1)[photos]
    own = functional.one_hot(labels, weights.shape[1])[:, 1:] > 0
    gaps = torch.where(own, 1 - found, found).relu() * tags[photos]
    counted = gaps.sum(dim=1) * weights[pairs].to(gaps.dtype)
    return counted.sum() / len(tags)
