"""Count pixels: truth against decision."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from tag2mask.types import BACKGROUND, UNKNOWN, Confusion


def confusion(truth: UInt8[Tensor, "H W"], labels: UInt8[Tensor, "H W"], classes: int) -> Confusion:
    """Pixel counts of one photograph, rows truth, columns decision.

    Pixels whose truth is unknown count nothing; a decision of unknown counts as background (the
    field's convention for pseudo masks, IRN).

    Raises:
        ValueError: the two differ in size.
    """
    if truth.shape != labels.shape:
        raise ValueError(f"truth is {tuple(truth.shape)}, labels {tuple(labels.shape)}.")
    known = truth != UNKNOWN
    rows = truth[known].long()
    columns = labels[known].long()
    columns = torch.where(columns == UNKNOWN, BACKGROUND, columns)
    count = classes + 1
    flat = torch.bincount(rows * count + columns, minlength=count * count)
    return Confusion(flat.view(count, count))
