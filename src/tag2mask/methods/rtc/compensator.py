"""The compensator: cells are told what the strongest cells of their class in the batch show.

In the released code what is told is a mean of the strongest values alone: nearly one for every
cell, alike or not. `alike` lets a cell hear as much as it resembles who speaks.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from tag2mask.nn.equivariance import cross_loss, onto, strongest
from tag2mask.nn.host import normalised
from tag2mask.nn.prototypes import top_cells
from tag2mask.types import Scalar

HIGHEST: Final = 0.8  # of the distances count; official code
TEMPERATURE: Final = 0.1  # of likeness, as of the contrasts; ours


def compensation(
    maps: Float[Tensor, "B C h w"], features: Float[Tensor, "B D h w"], one_in: int, alike: bool
) -> Float[Tensor, "B C h w"]:
    """What every cell hears from the strongest cells of each class, wherever in the batch.

        alike:      κ_ci = sum over j in T_c of a_ij max(0, s_ij) A_cj
                    s_ij = cos(e_i − ē, e_j − ē),   a_ij = softmax over j in T_c of s_ij / τ
        otherwise:  κ_ci = sum over j in T_c of a_ij A_cj
                    a_ij = softmax over j in T_c of cos(e_i, e_j)            (released code)

    T_c as in `top_cells`, ē the mean over the batch. Without gradient, in single precision or
    better; zero for a class without evidence.

    Args:
        maps: A, evidence ≥ 0, zero where the tags do not name a class.
        features: e, of the other view on the same cells.
        one_in: one in so many cells speaks.
        alike: whether cells hear as much as they are alike.
    """
    with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
        exact = torch.promote_types(features.dtype, torch.float32)
        rows = features.flatten(2).transpose(1, 2).flatten(0, 1).to(exact)
        rows = functional.normalize(rows - rows.mean(dim=0) if alike else rows, dim=1)
        values, places = top_cells(maps.to(exact), one_in)
        likeness = torch.matmul(rows, rows[places].transpose(1, 2))  # C × P × k
        shares = (likeness / TEMPERATURE if alike else likeness).softmax(dim=2)
        heard = torch.bmm(shares * likeness.relu() if alike else shares, values[:, :, None])[
            :, :, 0
        ]
        return heard.view(maps.shape[1], len(maps), *maps.shape[2:]).transpose(0, 1)


def compensation_loss(
    rough: Float[Tensor, "B C h w"],
    refined: Float[Tensor, "B C _ _"],
    features: Float[Tensor, "B D _ _"],
    tags: Bool[Tensor, "B C"],
    one_in: int,
    alike: bool = True,
) -> Scalar:
    """How far the rough maps are from the refined ones after compensation.

        A' = (A + κ) / max of (A + κ),   L = mean of the highest 4/5 of |s(A') − s(Â)|

    s keeps every cell's strongest class. The gradient reaches the rough maps alone.

    Args:
        rough: Â, in [0, 1], zero for classes that the tags do not name.
        refined: A, in [0, 1], on the grid of the features.
        features: of the other view.
        alike: as in `compensation`.
    """
    maps = refined.detach()
    better = normalised(maps + compensation(maps, features, one_in, alike), tags)
    better = onto(better, (rough.shape[2], rough.shape[3]))
    return cross_loss(strongest(better)[:, 1:], strongest(rough)[:, 1:], HIGHEST)
