"""PSA's AffinityNet: cells with like features belong together.

J. Ahn, S. Kwak: Learning Pixel-level Semantic Affinity with Image-level Supervision for Weakly
Supervised Semantic Segmentation, CVPR 2018.

| paper | name here | where |
|---|---|---|
| f^aff, three levels, 64 + 128 + 256 channels, then 448 | `features` | `PSA.embed` |
| W_ij = exp(−‖f_i − f_j‖₁), pairs closer than γ = 5 | `affinity` | `pairs.feature_affinity` |
| P⁺_bg, P⁺_fg, P⁻ | `relations` | `pairs.relations` |
| L = L⁺_fg + L⁺_bg + 2 L⁻ | terms | `network.pair_terms` (a quarter of it) |
| T^t | | `nn.walk`, `walking.AffinityWalk` |

Differs from the paper, as the official code: the mean over the channels instead of their sum.
Differs from the official code: the backbone stays as it was pretrained. Seeds are two decisions on
one lattice, at a level each, where PSA takes (1 − map)^4 and (1 − map)^24 for the background; these
meet a single map at the levels 0.28 and 0.09. The background does not walk: the level is chosen
after the walk, as for every refiner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.affinity.network import AffinityNetwork, exact, pair_terms
from tag2mask.affinity.options import AffinityOptions
from tag2mask.affinity.pairs import (
    affinity_costs,
    feature_affinity,
    on_full_grid,
    over_steps,
    relations,
)
from tag2mask.affinity.pyramid import on_grid
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.seeds import on_cells
from tag2mask.nn.walk import RADIUS, half_disc
from tag2mask.types import MaskBatch, Scalar

LEVELS: Final = 3  # stages that the features are made of
GAIN: Final = 4.0  # Xavier's, of the last layer; official code


@dataclass(frozen=True)
class PSAOptions(AffinityOptions):
    """AffinityNet; pairs closer than 5 cells of 8 pixels."""

    beta: float = 8.0
    """Power of the affinities in the walk (official code)."""
    walk: int = 32
    """Steps of the walk (measured on grids of 20 to 24 cells, docs/journal.md; official code: 256,
    on grids of some 60)."""
    width: int = 64
    """Channels from the last stage, half of it and a quarter from those before (official code:
    256)."""


@final
class PSA(AffinityNetwork):
    """A feature of every cell of 8 pixels, from the last three stages of the backbone."""

    Options: ClassVar[type[PSAOptions]] = PSAOptions
    cell: ClassVar[int] = 8

    def __init__(self, options: PSAOptions, backbone: Backbone) -> None:
        super().__init__(options, backbone)
        channels = self.pyramid.channels[-LEVELS:]
        widths = [options.width // 2**n for n in reversed(range(len(channels)))]
        self.reduce = nn.ModuleList(
            nn.Conv2d(given, kept, 1, bias=False)
            for given, kept in zip(channels, widths, strict=True)
        )
        self.mix = nn.Conv2d(sum(widths), sum(widths), 1, bias=False)
        for weight in self.reduce.parameters():
            nn.init.kaiming_normal_(weight)
        nn.init.xavier_uniform_(self.mix.weight, gain=GAIN)

    def embed(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """f^aff = ELU(W [ELU(W_1 f_1), ELU(W_2 f_2), ELU(W_3 f_3)])."""
        size = self.grid(images)
        seen = self.pyramid(images)[-len(self.reduce) :]
        parts = [
            on_grid(functional.elu(layer(found)), size)
            for layer, found in zip(self.reduce, seen, strict=True)
        ]
        return functional.elu(self.mix(torch.cat(parts, dim=1)))

    def losses(self, batch: MaskBatch, progress: float) -> dict[str, Scalar]:
        """−log of the affinity of like pairs, −log of the rest of unlike ones."""
        features = exact(self.embed(batch.images))
        labels = on_cells(batch.labels, (features.shape[2], features.shape[3])).byte()

        def measure(step: tuple[int, int]) -> Tensor:
            related = relations(labels, step)
            costs = affinity_costs(feature_affinity(features, step), related)
            return torch.cat([costs, related.sum(dim=(1, 2, 3)).to(costs)])

        sums = over_steps(measure, self.drawn())
        return pair_terms(sums[:3], sums[3:])

    def near(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B P h w"], Float[Tensor, "B h w"]]:
        """Affinities of the features; maps are left as they are before the walk."""
        features = exact(self.embed(images))
        size = (features.shape[2], features.shape[3])
        found = [
            on_full_grid(feature_affinity(features, step), step, size) for step in half_disc(RADIUS)
        ]
        return torch.stack(found, dim=1), torch.ones_like(features[:, 0])
