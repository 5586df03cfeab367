"""What a cell shows, and which cells are asked: the uncertain ones of the foreground."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from tag2mask.types import BACKGROUND, UNKNOWN

TINY: Final = 1e-12  # inside the logarithm


def with_background(maps: Float[Tensor, "B C N"], level: float) -> Float[Tensor, "B L N"]:
    """The maps behind a constant one, the background's."""
    return functional.pad(maps, (0, 0, 1, 0), value=level)


def uncertain(
    maps: Float[Tensor, "B C N"],
    labels: Int64[Tensor, "B N"],
    level: float,
    sure: float,
    clear: float,
) -> Bool[Tensor, "B N"]:
    """Foreground cells that are not sure and not clear: the queries.

    A cell is sure if its evidence is above the value at the position `sure` among the cells of its
    class in its photograph, the lowest first. It is clear if the entropy of its labels is not above
    the quantile `clear` of its photograph.

    Args:
        sure: from 0 to 1.
        clear: from 0 to 1.
    """
    doubt = entropy(with_background(maps, level), labels)
    known = doubt.masked_fill(labels == UNKNOWN, torch.nan)
    cut = known.nanquantile(clear, dim=1, keepdim=True)
    return is_foreground(labels) & (doubt > cut) & ~confident(maps, labels, sure)


def is_foreground(labels: Int64[Tensor, "*N"]) -> Bool[Tensor, "*N"]:
    """Cells of a class."""
    return (labels != BACKGROUND) & (labels != UNKNOWN)


def entropy(evidence: Float[Tensor, "B L N"], labels: Int64[Tensor, "B N"]) -> Float[Tensor, "B N"]:
    """H = − sum over l of p_l log p_l, p the softmax of the evidence; 0 outside the foreground."""
    p = evidence.softmax(dim=1)
    found: Tensor = -(p * (p + TINY).log()).sum(dim=1)
    return found * is_foreground(labels)


def confident(
    maps: Float[Tensor, "B C N"], labels: Int64[Tensor, "B N"], sure: float
) -> Bool[Tensor, "B N"]:
    """Cells whose evidence lies above the cut of their class in their photograph.

    The cut is the n-th lowest value of the class's cells, n = ⌊sure · their number⌋ counted from 0,
    or the highest.
    """
    count, classes, _ = maps.shape
    number = torch.arange(count, device=labels.device)[:, None] * classes
    foreground = is_foreground(labels)
    own = (labels - 1).where(foreground, 0)
    values = maps.gather(1, own[:, None])[:, 0][foreground]
    groups = (number + own)[foreground]
    by_value = values.argsort()
    order = by_value[groups[by_value].argsort(stable=True)]  # by group, then by value
    sizes = groups.bincount(minlength=count * classes)
    starts = sizes.cumsum(0) - sizes
    steps = torch.minimum((sizes * sure).long(), sizes - 1)
    cuts = values[order][(starts + steps)[groups]]
    found = torch.zeros_like(foreground)
    found[foreground] = values > cuts
    return found
