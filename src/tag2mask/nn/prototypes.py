"""Class prototypes: what a class looks like where the batch shows it most."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tag2mask.types import BACKGROUND, UNKNOWN


def top_prototypes(
    features: Float[Tensor, "B D *grid"], maps: Float[Tensor, "B L *cells"], one_in: int
) -> tuple[Float[Tensor, "L D"], Bool[Tensor, "L"]]:
    """Every class's mean feature over its strongest cells of the batch, and which classes have one.

        p_c = sum over i in T_c of A_ci f_i / sum over i in T_c of A_ci,

    T_c the k cells with the highest A_c among those of all photographs, k = ⌊N / one_in⌋ of the N
    cells that one photograph has, but at least 1. Without gradient, in single precision or better,
    and not normalised: cosines are meant to compare them. Cells without evidence weigh nothing; a
    class without any evidence has no prototype, its row is zero.

    Args:
        maps: evidence ≥ 0 on the same cells; zero where the tags do not name a class, or the
            prototype is taken from photographs that do not show it.
        one_in: a prototype is made of one in so many cells.
    """
    with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
        exact = torch.promote_types(features.dtype, torch.float32)
        rows = features.flatten(2).transpose(1, 2).flatten(0, 1).to(exact)
        weights, places = top_cells(maps.to(exact), one_in)
        totals = weights.sum(dim=1)
        present = totals > 0
        shares = weights / totals.where(present, 1)[:, None]
        vectors = torch.bmm(shares[:, None], rows[places])[:, 0]
        return vectors, present


def top_cells(
    maps: Float[Tensor, "B L *cells"], one_in: int
) -> tuple[Float[Tensor, "L k"], Int64[Tensor, "L k"]]:
    """The k highest values of every class among the cells of a batch, and their places.

    Below zero counts as zero. k = ⌊N / one_in⌋ of the N cells that one photograph has, at least 1;
    places count through the photographs, N each.
    """
    evidence = maps.flatten(2).transpose(0, 1).flatten(1).clamp(min=0)
    values, places = evidence.topk(max(1, maps[0, 0].numel() // one_in), dim=1)
    return values, places


def label_prototypes(
    features: Float[Tensor, "B D *grid"],
    maps: Float[Tensor, "B C *cells"],
    labels: Int64[Tensor, "B *cells"],
    one_in: int,
) -> tuple[Float[Tensor, "L D"], Bool[Tensor, "L"]]:
    """The classes' prototypes behind that of the background, and which there are.

    The background's evidence is what the classes leave, 1 − max over c of A_c, in cells with that
    label; cells of unknown label are in no prototype.

    Args:
        maps: evidence in [0, 1], zero where the tags do not name a class.
        labels: 0 background, 1 … C, 255 unknown.
        one_in: a prototype is made of one in so many cells.
    """
    background = (1 - maps.amax(dim=1)) * (labels == BACKGROUND)
    classes = maps * (labels != UNKNOWN)[:, None]
    return top_prototypes(features, torch.cat([background[:, None], classes], dim=1), one_in)
