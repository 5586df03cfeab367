"""k-means of several sets of points at once, on whatever device they are."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

ROUNDS: Final = 10  # of Lloyd; k-means++ starts near where it ends


def cluster_centres(
    points: Float[Tensor, "B N D"], selected: Bool[Tensor, "B N"], count: int
) -> tuple[Float[Tensor, "B K D"], Bool[Tensor, "B K"]]:
    """The centres of `count` clusters of every row's selected points, and which of them exist.

    k-means++ draws the first centres from torch's generator, then Lloyd's two steps alternate:

        a_n = argmin over k of |x_n − c_k|²,   c_k = mean of x_n over n with a_n = k

    A row with at most `count` selected points gets these points themselves. A centre to which no
    point belongs does not exist: duplicates make fewer clusters, an empty row makes none. No
    gradient, and never below single precision.
    """
    with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
        points = points.to(torch.promote_types(points.dtype, torch.float32))
        centres = first_centres(points, selected, count)
        for _ in range(ROUNDS):
            centres, filled = moved(points, selected, centres)
        own, there = first_points(points, selected, count)
        few = (selected.sum(dim=1) <= count)[:, None]
        return torch.where(few[..., None], own, centres), torch.where(few, there, filled)


def first_centres(
    points: Float[Tensor, "B N D"], selected: Bool[Tensor, "B N"], count: int
) -> Float[Tensor, "B K D"]:
    """k-means++: every next centre is a point, drawn by its squared distance to those there are.

    Where all selected points are centres already, any of them comes again.
    """
    spare = (selected | ~selected.any(dim=1, keepdim=True)).to(points.dtype)
    chance, gaps, found = spare, torch.full_like(spare, torch.inf), []
    for _ in range(count):
        drawn = torch.multinomial(chance, 1)
        centre = points.gather(1, drawn[..., None].expand(-1, -1, points.shape[2]))
        found.append(centre)
        gaps = torch.minimum(gaps, (points - centre).square().sum(dim=2))
        chance = gaps * selected
        chance = torch.where(chance.sum(dim=1, keepdim=True) > 0, chance, spare)
    return torch.cat(found, dim=1)


def moved(
    points: Float[Tensor, "B N D"], selected: Bool[Tensor, "B N"], centres: Float[Tensor, "B K D"]
) -> tuple[Float[Tensor, "B K D"], Bool[Tensor, "B K"]]:
    """One round of Lloyd: centres at the mean of what is nearest to them, and where there is any.

    A centre to which nothing is nearest stays. |x|² is the same for all centres and is left out.
    """
    squares = centres.square().sum(dim=2)[:, None]
    distances = torch.baddbmm(squares, points, centres.transpose(1, 2), alpha=-2)
    nearest = functional.one_hot(distances.argmin(dim=2), centres.shape[1])
    members = (nearest * selected[..., None]).to(points.dtype)
    sizes = members.sum(dim=1)[..., None]
    means = torch.bmm(members.transpose(1, 2), points) / sizes.clamp(min=1)
    return torch.where(sizes > 0, means, centres), sizes[..., 0] > 0


def first_points(
    points: Float[Tensor, "B N D"], selected: Bool[Tensor, "B N"], count: int
) -> tuple[Float[Tensor, "B K D"], Bool[Tensor, "B K"]]:
    """The first `count` selected points of every row, and which of them there are."""
    order = (~selected).to(torch.int8).argsort(dim=1, stable=True)[:, :count]
    order = functional.pad(order, (0, count - order.shape[1]))  # a row with fewer points than that
    there = torch.arange(count, device=points.device) < selected.sum(dim=1, keepdim=True)
    return points.gather(1, order[..., None].expand(-1, -1, points.shape[2])), there
