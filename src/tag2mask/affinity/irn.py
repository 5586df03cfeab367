"""IRN: cells belong together unless an edge lies between them, and every cell points to its object.

J. Ahn, S. Cho, S. Kwak: Weakly Supervised Learning of Instance Segmentation with Inter-pixel
Relations, CVPR 2019.

| paper | name here | where |
|---|---|---|
| B, class boundary map | `edges` | `IRN.look` |
| a_ij = 1 − max over the line of B | `affinity` | `pairs.path_affinity` |
| D, displacement field, (down, right) in cells | `displacement` | `IRN.look` |
| P⁺_fg, P⁺_bg, P⁻, pairs closer than γ = 10 | `relations` | `pairs.relations` |
| L_B | terms | `network.pair_terms` (half of it) |
| L_D_fg, δ(i, j) − δ̂(i, j) | `step`, `difference` | `displacement_costs` |
| L_D_bg | | `displacement_costs` |
| T^t · vec(M ⊙ (1 − B)) | `near`, `off_edges` | `nn.walk`, `walking.AffinityWalk` |
| centroids, instance-wise maps | | `instances` |

Differs from the paper: maps stay on the edges unless `off_edges` says otherwise. Differs from the
official code: the line between two cells is the discrete one, where the code takes all cells closer
than 1 to it (effect unknown); AdamW; by default a narrower displacement branch, and a draw of the
pairs at every step. The recipe `cam_irn_voc` has the
official values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from tag2mask.affinity.network import AffinityNetwork, exact, pair_terms
from tag2mask.affinity.options import AffinityOptions
from tag2mask.affinity.pairs import (
    Step,
    added_up,
    affinity_costs,
    on_full_grid,
    over_steps,
    path_affinity,
    relations,
    seen_from,
)
from tag2mask.affinity.pyramid import on_grid
from tag2mask.errors import InputError
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.seeds import on_cells
from tag2mask.nn.walk import RADIUS, half_disc
from tag2mask.types import MaskBatch, Scalar, Size

EDGE_WIDTH: Final = 32  # official code: channels a stage, in 4 groups
EDGE_GROUPS: Final = 4
GROUPS: Final = 8  # official code: 8 groups of 64 channels, 16 of 256
DEEP: Final = 3  # official code: the last three stages meet first
SHARE: Final = 0.5  # of the objective: each of the two displacement terms


@dataclass(frozen=True)
class IRNOptions(AffinityOptions):
    """Edges and displacements on cells of 4 pixels."""

    radius: int = 10
    """Pairs closer than this many cells are learned from (official code)."""
    width: int = 64
    """Channels of the displacement branch, a multiple of 32 (official code: 256)."""
    displacement: float = 1.0
    """The displacement branch learns this many times faster (official code: 10)."""
    off_edges: bool = False
    """Multiply maps by 1 − edge before the walk (official code: yes). In small photographs thin
    things are edge all through (measured, docs/journal.md)."""

    def __post_init__(self) -> None:
        AffinityOptions.__post_init__(self)
        if self.width < 1 or self.width % (4 * GROUPS):
            raise InputError(
                f"--irn.width {self.width} came; expected a multiple of {4 * GROUPS} channels."
            )


class EdgeBranch(nn.Module):
    """Every stage to 32 channels, all beside each other, then one: the logit of an edge."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.sides = nn.ModuleList(_reduced(given, EDGE_WIDTH, EDGE_GROUPS) for given in channels)
        self.mix = nn.Conv2d(EDGE_WIDTH * len(channels), 1, 1)

    def forward(self, seen: Sequence[Tensor], size: Size) -> Float[Tensor, "B h w"]:
        """Logits on a grid of (h, w)."""
        parts = [on_grid(side(x), size).relu() for side, x in zip(self.sides, seen, strict=True)]
        logits: Tensor = self.mix(torch.cat(parts, dim=1))[:, 0]
        return logits


class DisplacementBranch(nn.Module):
    """Deep stages meet on the grid of their first, then the early ones join."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        deep = min(DEEP, len(channels))
        self.early = len(channels) - deep
        widths = [width // 4, width // 2][: self.early] + [width] * deep
        pairs = zip(channels, widths, strict=True)
        self.sides = nn.ModuleList(_reduced(given, kept, GROUPS) for given, kept in pairs)
        self.top = _reduced(width * deep, width, GROUPS)
        self.all = _reduced(width + sum(widths[: self.early]), width, GROUPS)
        self.field = nn.Conv2d(width, 2, 1, bias=False)

    def forward(self, seen: Sequence[Tensor], size: Size) -> Float[Tensor, "B 2 h w"]:
        """(down, right) in cells, on a grid of (h, w)."""
        sides = [side(found) for side, found in zip(self.sides, seen, strict=True)]
        early, deep = sides[: self.early], sides[self.early :]
        meeting = (deep[0].shape[2], deep[0].shape[3])
        top = self.top(torch.cat([on_grid(x.relu(), meeting) for x in deep], dim=1)).relu()
        parts = [*(on_grid(x.relu(), size) for x in early), on_grid(top, size)]
        field: Tensor = self.field(self.all(torch.cat(parts, dim=1)).relu())
        return field


@final
class IRN(AffinityNetwork):
    """Edges between what is different, and where the middle of each object is."""

    Options: ClassVar[type[IRNOptions]] = IRNOptions
    cell: ClassVar[int] = 4
    options: IRNOptions

    def __init__(self, options: IRNOptions, backbone: Backbone) -> None:
        super().__init__(options, backbone)
        self.edge = EdgeBranch(self.pyramid.channels)
        self.displacement = DisplacementBranch(self.pyramid.channels, options.width)

    def look(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B h w"], Float[Tensor, "B 2 h w"]]:
        """Probability of an edge, and the displacement (down, right) in cells.

        Args:
            images: RGB on 0 … 255.
        """
        seen, size = self.pyramid(images), self.grid(images)
        return exact(self.edge(seen, size)).sigmoid(), exact(self.displacement(seen, size))

    def losses(self, batch: MaskBatch, progress: float) -> dict[str, Scalar]:
        """The affinities' three terms, and the displacements' two."""
        edges, field = self.look(batch.images)
        labels = on_cells(batch.labels, (edges.shape[1], edges.shape[2])).byte()

        def measure(step: Step) -> Tensor:
            related = relations(labels, step)
            costs = affinity_costs(path_affinity(edges, step), related)
            moved = displacement_costs(field, step, related)
            return torch.cat([costs, moved, related.sum(dim=(1, 2, 3)).to(costs)])

        background, same, *rest = over_steps(measure, self.drawn()).unbind()
        different, moved_same, moved_background, *counts = rest
        terms = pair_terms(torch.stack([background, same, different]), torch.stack(counts))
        known = [SHARE / (2 * count.clamp(min=1)) for count in counts[:2]]
        terms["background displacement"] = moved_background * known[0]
        terms["class displacement"] = moved_same * known[1]
        return terms

    def optimizers(self) -> Sequence[Optimizer]:
        """One AdamW, two groups: edges, and displacements at their own rate."""
        rate = self.options.rate
        groups = [
            {"params": list(self.edge.parameters()), "lr": rate},
            {
                "params": list(self.displacement.parameters()),
                "lr": rate * self.options.displacement,
            },
        ]
        return [AdamW(groups, weight_decay=self.options.decay)]

    def near(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B P h w"], Float[Tensor, "B h w"]]:
        """Affinities by the edges between; maps are taken off the edges if the options say so."""
        return self.around(exact(self.edge(self.pyramid(images), self.grid(images))).sigmoid())

    def around(
        self, edges: Float[Tensor, "B h w"]
    ) -> tuple[Float[Tensor, "B P h w"], Float[Tensor, "B h w"]]:
        """What edges say of the pairs that a walk takes, and what maps are multiplied by."""
        size = (edges.shape[1], edges.shape[2])
        found = [on_full_grid(path_affinity(edges, s), s, size) for s in half_disc(RADIUS)]
        kept = 1 - edges if self.options.off_edges else torch.ones_like(edges)
        return torch.stack(found, dim=1), kept


def displacement_costs(
    field: Float[Tensor, "B 2 h w"], step: Step, related: Bool[Tensor, "3 B _ _"]
) -> Float[Tensor, "2"]:
    """How far displacements are from pointing to one place, added up over pairs.

        class pairs:       sum of |D_i − D_j − (j − i)|, for i + D_i = j + D_j is wanted
        background pairs:  sum of |D_i − D_j|

    Both over the two directions; class pairs first.
    """
    here, there = seen_from(field, step, ((0, 0), step))
    difference = here - there
    wanted = difference.new_tensor(step).view(2, 1, 1)
    same, background = ((difference - d).abs().sum(dim=1) for d in (wanted, 0))
    return torch.cat([added_up(same, related[1:2]), added_up(background, related[:1])])


def _reduced(given: int, kept: int, groups: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(given, kept, 1, bias=False), nn.GroupNorm(groups, kept))
