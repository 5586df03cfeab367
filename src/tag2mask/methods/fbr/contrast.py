"""Contrast of uncertain cells: nearer to their class than to background, or to other classes.

Cells of the whole batch stand in one row, P of them. Prototypes, negatives and the bank are
references: the gradient runs through the queries alone.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from tag2mask.types import Scalar


def contrast_loss(
    features: Float[Tensor, "P D"],
    queries: Int64[Tensor, "P"],
    prototypes: Float[Tensor, "K D"],
    negatives: Float[Tensor, "K M D"],
    temperature: float,
) -> Scalar:
    """How little queries prefer their class's prototype to its negatives, Eq. 7 and Eq. 9.

        L = 1/K sum over classes c of the mean over queries q of c of
            − log [ exp(cos(z_q, p_c)/τ) / (exp(cos(z_q, p_c)/τ) + sum_j exp(cos(z_q, n_cj)/τ)) ]

    A class without queries adds nothing and is counted. Zero without negatives or classes.

    Args:
        queries: which of the K classes a cell asks for, −1 if it asks for none.
    """
    total = features.sum() * 0
    asked = queries >= 0
    if 0 in negatives.shape or not bool(asked.any()):
        return total
    exact = torch.promote_types(features.dtype, torch.float32)
    order = queries[asked].argsort(stable=True)
    sizes = queries[asked].bincount(minlength=len(prototypes))
    rows = unit(features[asked][order].to(exact))
    references = unit(torch.cat([prototypes[:, None], negatives], dim=1).detach().to(exact))
    parts = zip(torch.split(rows, sizes.tolist()), references, strict=True)
    logits = torch.cat([row @ reference.T for row, reference in parts]) / temperature
    losses = logits.logsumexp(dim=1) - logits[:, 0]
    return total + (losses / sizes.repeat_interleave(sizes)).sum() / len(prototypes)


def pixels_elsewhere(
    features: Float[Tensor, "P D"],
    groups: Int64[Tensor, "P"],
    prototypes: Float[Tensor, "K D"],
    count: int,
    temperature: float,
) -> Float[Tensor, "K M D"]:
    """For every class, `count` cells of other classes, similar ones more often: Eq. 9's negatives.

        P(k | c) = softmax over k ≠ c of cos(p_c, p_k)/τ;  then a cell of k, each alike

    None where there is one class or none.

    Args:
        groups: which of the K classes a cell shows, −1 for none of them; each class has a cell.
    """
    classes = len(prototypes)
    if classes < 2:
        return features.new_zeros(classes, 0, features.shape[1])
    drawn = torch.multinomial(class_graph(prototypes, temperature), count, replacement=True)
    shown = groups >= 0
    order = groups[shown].argsort(stable=True)
    sizes = groups[shown].bincount(minlength=classes)
    starts = sizes.cumsum(0) - sizes
    shares = torch.rand(drawn.shape, device=drawn.device)
    steps = torch.minimum((shares * sizes[drawn]).long(), sizes[drawn] - 1)  # rounding may reach it
    return features.detach()[shown][order[starts[drawn] + steps]]


def class_graph(prototypes: Float[Tensor, "K D"], temperature: float) -> Float[Tensor, "K K"]:
    """How likely each class is drawn against each: similar ones more, a class never for itself."""
    exact = unit(prototypes.to(torch.promote_types(prototypes.dtype, torch.float32)))
    itself = torch.eye(len(exact), dtype=torch.bool, device=exact.device)
    cosines = (exact @ exact.T / temperature).masked_fill(itself, -torch.inf)
    return cosines.softmax(dim=1)


def numbered(
    labels: Int64[Tensor, "P"], present: Bool[Tensor, "C"], chosen: Bool[Tensor, "P"]
) -> Int64[Tensor, "P"]:
    """The chosen cells' numbers among the classes that are present; −1 for all other cells.

    Args:
        labels: 0 background, 1 … C, 255 unknown; chosen cells show classes.
    """
    numbers = (present.cumsum(0) - 1).where(present, -1)
    return numbers[(labels - 1).where(chosen, 0)].where(chosen, -1)


def unit(vectors: Float[Tensor, "*R D"]) -> Float[Tensor, "*R D"]:
    """Vectors of length one; zero stays zero."""
    return functional.normalize(vectors, dim=-1)
