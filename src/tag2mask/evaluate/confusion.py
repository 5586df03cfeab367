"""Count pixels: truth against decision."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import UInt8
from torch import Tensor

from tag2mask.types import BACKGROUND, UNKNOWN, Confusion

BYTES: Final = 256  # every value that a label can have


def confusion(
    truth: UInt8[Tensor, "H W"], labels: UInt8[Tensor, "H1 W1"], classes: int
) -> Confusion:
    """Pixel counts of one photograph, rows truth, columns decision.

    Pixels whose truth is unknown count nothing; a decision of unknown counts as background (the
    field's convention for pseudo masks, IRN).

    Raises:
        ValueError: the two differ in size, or one holds a label beyond `classes`.
    """
    if truth.shape != labels.shape:
        raise ValueError(f"truth is {tuple(truth.shape)}, labels {tuple(labels.shape)}.")
    pairs = truth.int().mul_(BYTES).add_(labels).flatten()
    table = torch.bincount(pairs, minlength=BYTES * BYTES).view(BYTES, BYTES)
    count = classes + 1
    if table[count:UNKNOWN].any() or table[:, count:UNKNOWN].any():
        highest = max(int(part[part != UNKNOWN].max()) for part in (truth, labels))
        raise ValueError(f"label {highest} where labels end at {classes}.")
    counts = table[:count, :count].clone()
    counts[:, BACKGROUND] += table[:count, UNKNOWN]
    return Confusion(counts)
