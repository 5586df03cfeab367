"""Means over regions: what a photograph's pieces agree on."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor


def region_mean(
    maps: Float[Tensor, "B C N"], regions: Int64[Tensor, "B N"], count: int
) -> Float[Tensor, "B C N"]:
    """Replace every value by the mean over its region.

        m'_i = 1/|S(i)| · sum over j in S(i) of m_j

    Cells of a region need not be neighbours; regions without cells are allowed. A cell in no
    region keeps its value. Averaging a second time changes nothing.

    Args:
        regions: region number of every cell, 0 … count − 1, or −1 for none.
    """
    places = regions.clamp(min=0)
    inside = (regions >= 0).to(maps.dtype)
    sizes = maps.new_zeros(len(maps), count).scatter_add_(1, places, inside)
    spread = places[:, None].expand_as(maps)
    sums = maps.new_zeros(*maps.shape[:2], count).scatter_add_(2, spread, maps * inside[:, None])
    means = (sums / sizes.clamp(min=1)[:, None]).gather(2, spread)
    return means.where(inside[:, None] > 0, maps)
