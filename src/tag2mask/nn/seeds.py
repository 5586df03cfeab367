"""Seeds: labels of which maps are sure, and the loss of a network that learns from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.types import BACKGROUND, UNKNOWN, Scalar


@dataclass(frozen=True)
class SeedOptions:
    """Levels of the maps between which a seed is unknown."""

    foreground: float = 0.30
    background: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.background <= self.foreground < 1:
            raise InputError(
                f"Seeds with the levels {self.background} for background and {self.foreground} for "
                "foreground came; expected both between 0 and 1, the first not above the second."
            )


def balanced_loss(
    logits: Float[Tensor, "B L h w"], labels: Int64[Tensor, "B h w"], smoothing: float
) -> Scalar:
    """Cross-entropy with smoothed labels, background and foreground of the batch weighing the same.

        L = 1/2 [ mean over background i of H_i + mean over foreground i of H_i ],
        H_i = − (1 − ε) log p_i,label − ε / C · sum over the other labels k of log p_ik,

    p the softmax of the logits, in single precision or better. A part without cells is zero;
    unknown cells are in none.

    Args:
        logits: background first.
        labels: 0 background, 1 … C, 255 unknown.
        smoothing: ε.
    """
    exact = torch.promote_types(logits.dtype, torch.float32)
    chances = logits.to(exact).log_softmax(dim=1)
    background, unknown = labels == BACKGROUND, labels == UNKNOWN
    own = chances.gather(1, labels.masked_fill(unknown, BACKGROUND)[:, None])[:, 0]
    others = (chances.sum(dim=1) - own) / (logits.shape[1] - 1)
    costs = -(1 - smoothing) * own - smoothing * others
    parts = (background, ~background & ~unknown)
    means = [(costs * part).sum() / part.sum().clamp(min=1) for part in parts]
    loss: Tensor = torch.stack(means).mean()
    return loss


def on_cells(labels: Int64[Tensor, "B H W"], size: tuple[int, int]) -> Int64[Tensor, "B h w"]:
    """The label in the middle of every cell.

    Args:
        size: (h, w) of the grid.
    """
    resized = functional.interpolate(labels[:, None].float(), size, mode="nearest-exact")
    return resized[:, 0].long()
