"""Where the terms compare: two projections of the host's features, and a small segmenter."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.types import Scalar

WIDTH: Final = 128  # D of both projections, official code
DROPOUT: Final = 0.5  # official code
EMPTY: Final = 0.05  # below this sum of maps a cell is background for the segmenter, official code


class Heads(nn.Module):
    """φ_fg, φ_bg and φ_seg, needed in training alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.foreground = nn.Conv2d(channels, WIDTH, 1, bias=False)
        self.background = nn.Conv2d(channels, WIDTH, 1, bias=False)
        self.segmenter = nn.Sequential(
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Conv2d(WIDTH, 1, 1, bias=False),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(
        self, features: Float[Tensor, "B D h w"]
    ) -> tuple[Float[Tensor, "B P h w"], Float[Tensor, "B P h w"]]:
        """Z_fg, rectified, and Z_bg before it is rectified; one convolution makes both."""
        weights = torch.cat([self.foreground.weight, self.background.weight])
        foreground, background = functional.conv2d(features, weights).chunk(2, dim=1)
        return foreground.relu(), background


def similarity_loss(
    foreground: Float[Tensor, "B P h w"],
    background: Float[Tensor, "B P h w"],
    inside: Bool[Tensor, "B h w"],
) -> Scalar:
    """How alike the two projections of a cell are, mean over the photographs' cells.

    L_sim = mean over cells of cos(Z_fg, Z_bg);  both rectified, so it is 0 at the least
    """
    alike = functional.cosine_similarity(foreground, background, dim=1)
    return (alike * inside).sum() / inside.sum().clamp(min=1)


def segmentation_loss(
    logits: Float[Tensor, "B 1 h w"],
    maps: Float[Tensor, "B C h w"],
    inside: Bool[Tensor, "B h w"],
) -> Scalar:
    """How badly the background head tells background, Eq. 6.

        L_seg = mean over the photographs' cells of BCE(logit, [ sum over c of A_c < 0.05 ])

    Args:
        maps: evidence of the tagged classes.
    """
    exact = logits[:, 0].to(torch.promote_types(logits.dtype, torch.float32))
    wanted = (maps.sum(dim=1) < EMPTY).to(exact.dtype)
    gaps = functional.binary_cross_entropy_with_logits(exact, wanted, reduction="none")
    return (gaps * inside).sum() / inside.sum().clamp(min=1)
