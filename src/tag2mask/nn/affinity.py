"""Pixel correlation: cells that look alike share their evidence (SEAM's PCM).

Y. Wang, J. Zhang, M. Kan, S. Shan, X. Chen: Self-supervised Equivariant Attention Mechanism for
Weakly Supervised Semantic Segmentation, CVPR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

GAIN: Final = 4.0  # Xavier's, of the last layer; official code of SEAM
TINY: Final = 1e-12  # a cell whose embedding is zero hears nothing


class Correlation(nn.Module):
    """Which cells belong together, from inner features and, if wanted, from colours.

        e = W [ photograph, max(0, W_1 f_1), max(0, W_2 f_2), … ],  then `affinity` of e

    All W are 1 × 1. Inputs on other grids are brought to this one by the mean over each cell.

    Args:
        channels: of every input.
        widths: to which each is brought.
        width: D of the embedding.
        colours: whether the photograph counts.
    """

    def __init__(
        self, channels: Sequence[int], widths: Sequence[int], width: int, colours: bool = True
    ) -> None:
        super().__init__()
        pairs = zip(channels, widths, strict=True)
        layers = [nn.Conv2d(given, kept, 1, bias=False) for given, kept in pairs]
        self.colours, self.reduce = colours, nn.ModuleList(layers)
        self.mix = nn.Conv2d(sum(widths) + 3 * colours, width, 1, bias=False)
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
        nn.init.xavier_uniform_(self.mix.weight, gain=GAIN)

    def forward(
        self,
        images: Float[Tensor, "B 3 H W"],
        features: Sequence[Float[Tensor, "B _ _ _"]],
        size: tuple[int, int],
    ) -> Float[Tensor, "B N N"]:
        """How much each of the h × w cells hears of each.

        Args:
            images: as the network takes them, normalised.
            features: one of every input, in the order of the channels.
            size: (h, w) of the grid.
        """
        parts = [functional.adaptive_avg_pool2d(images, size)] if self.colours else []
        for layer, found in zip(self.reduce, features, strict=True):
            parts.append(functional.adaptive_avg_pool2d(layer(found).relu(), size))
        return affinity(self.mix(torch.cat(parts, dim=1)))


def affinity(embedding: Float[Tensor, "B D h w"]) -> Float[Tensor, "B N N"]:
    """How much cell j (column) hears of cell i (row); what it hears adds up to one.

        a_ij = max(0, cos(e_i, e_j)) / sum over i of max(0, cos(e_i, e_j))

    In single precision or better. The column of a cell whose embedding is zero is zero.
    """
    with torch.autocast(embedding.device.type, enabled=False):
        exact = torch.promote_types(embedding.dtype, torch.float32)
        unit = functional.normalize(embedding.flatten(2).to(exact), dim=1)
        likeness = torch.bmm(unit.transpose(1, 2), unit).relu()
        shares: Tensor = likeness / likeness.sum(dim=1, keepdim=True).clamp(min=TINY)
        return shares


def spread(
    maps: Float[Tensor, "B L h w"], shares: Float[Tensor, "B N N"]
) -> Float[Tensor, "B L h w"]:
    """Maps after every cell has heard the others: m'_j = sum over i of m_i a_ij."""
    with torch.autocast(maps.device.type, enabled=False):
        return torch.bmm(maps.flatten(2).to(shares.dtype), shares).view_as(maps)
