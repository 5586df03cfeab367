"""Gaussian filtering of many values at arbitrary places, in time linear in their number.

Every value is shared out over the corners of the simplex it lies in (splat), the corners are
blurred along the directions of the lattice, and every place collects from its corners (slice).

    A. Adams, J. Baek, M. A. Davis. Fast High-Dimensional Filtering Using the Permutohedral Lattice.
    Eurographics 2010.

| paper | here | where |
|---|---|---|
| E, y = E x | elevated | `_elevate` |
| y_0, remainder-0 point | origin | `_enclosing_simplex` |
| sorting permutation | rank | `_enclosing_simplex` |
| b, barycentric coordinates | weights | `_corners` |
| hash table | sorted packed keys | `_number`, `_neighbours` |
| splat, blur, slice | | `Lattice.filter` |

Differs from the paper: corners are numbered by sorting, not by hashing, so that nothing but tensor
operations is needed. The result is divided by its own response to ones, half before the filter and
half after it (as `NORMALIZE_SYMMETRIC` of pydensecrf); the halves live in the weights.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int8, Int32, Int64
from torch import Tensor

from tag2mask.errors import InputError

EMPTY: Final = 1e-20  # as in pydensecrf: keeps the division finite
KEY_BITS: Final = 62


def _multiplies_sparse() -> bool:
    """Whether this PyTorch multiplies sparse matrices fast on a CPU: builds with MKL can."""
    if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        return False
    with warnings.catch_warnings():  # PyTorch calls sparse matrices beta once, at the first
        warnings.simplefilter("ignore")
        one = torch.zeros(1, dtype=torch.int32)
        try:
            matrix = torch.sparse_csr_tensor(torch.tensor([0, 1]).int(), one, torch.ones(1), (1, 1))
            return bool(matrix.mv(torch.ones(1)) == 1)
        except RuntimeError:  # some platforms have MKL without its sparse part
            return False


MULTIPLIES_SPARSE: Final = _multiplies_sparse()


@dataclass(frozen=True, slots=True)
class Lattice:
    """Places of N values, ready to filter any number of channels.

    Slot M stands for every corner that is not there; it holds zero.

    Attributes:
        corners: which of the M corners each place touches.
        weights: how much of a place belongs to each of its corners, normalisation included.
        above, below: the neighbours of every corner along each direction.
        gather: the same weights corner by corner, a sparse matrix, where sparse products are fast.
        spread: `corners` and `weights` as a sparse matrix, likewise.
    """

    corners: Int32[Tensor, "N V"]
    weights: Float[Tensor, "N V"]
    above: Int32[Tensor, "V M1"]
    below: Int32[Tensor, "V M1"]
    gather: Tensor | None
    spread: Tensor | None

    def filter(self, values: Float[Tensor, "C N"]) -> Float[Tensor, "C N"]:
        """Normalised Gaussian mean of every channel around every place.

            f_i = n_i · sum over j of k(i, j) · n_j · v_j,   n_i = (sum over j of k(i, j))^−½

        with k(i, j) = exp(−½ |x_i − x_j|²) as the lattice approximates it, i itself included. On an
        accelerator sums are taken in any order, so the last digits vary.
        """
        held = self._splat(values)
        for above, below in zip(self.above, self.below, strict=True):
            held = _blur(held, above, below)
        return self._slice(held)

    def _splat(self, values: Float[Tensor, "C N"]) -> Float[Tensor, "C M1"]:
        if self.gather is not None:
            return _product(self.gather, values)
        shares = (values[:, :, None] * self.weights).flatten(1)
        held = values.new_zeros(len(values), self.above.shape[1])
        return held.scatter_add_(1, self.corners.flatten().long().expand_as(shares), shares)

    def _slice(self, held: Float[Tensor, "C M1"]) -> Float[Tensor, "C N"]:
        if self.spread is not None:
            return _product(self.spread, held)
        found = held.index_select(1, self.corners.flatten())
        return (found.view(len(held), *self.corners.shape) * self.weights).sum(dim=-1)


@torch.no_grad()
def build_lattice(
    features: Float[Tensor, "d N"], groups: Int64[Tensor, "N"] | None = None
) -> Lattice:
    """The lattice of N places.

    Args:
        features: places in units of the standard deviation; d up to 7.
        groups: number of the photograph each place belongs to, 0 … ; different photographs never
            share a corner. None: one photograph.

    Raises:
        InputError: the places span more lattice cells than a 62-bit number can count.
    """
    elevated = _elevate(features)
    origin, rank = _enclosing_simplex(elevated)
    strides = _strides(origin, groups)
    weights, keys = _corners(elevated, origin, rank, strides)
    if groups is not None:
        keys += groups[:, None] * strides[-1]
    unique, first, order, corners = _number(keys.flatten())
    above, below = _neighbours(unique, strides[:-1])
    corners = corners.view_as(keys)
    weights = _normalise(weights, corners, above, below)
    gather = spread = None
    if features.device.type == "cpu" and MULTIPLIES_SPARSE:
        gather, spread = _products(corners, weights, first, order)
    return Lattice(corners, weights, above, below, gather, spread)


def _elevate(features: Float[Tensor, "d N"]) -> Float[Tensor, "V N"]:
    """The places on the plane that sums to zero, where a blurred lattice has unit deviation."""
    count = len(features)
    elevated = features.new_empty(count + 1, features.shape[1])
    above = torch.zeros_like(features[0])
    for axis in range(count, 0, -1):
        scale = math.sqrt(2 / 3) * (count + 1) / math.sqrt(axis * (axis + 1))
        scaled = features[axis - 1] * scale
        torch.sub(above, scaled, alpha=axis, out=elevated[axis])
        above += scaled
    elevated[0] = above
    return elevated


def _enclosing_simplex(
    elevated: Float[Tensor, "V N"],
) -> tuple[Float[Tensor, "V N"], Int8[Tensor, "V N"]]:
    """The remainder-0 corner of the simplex, and the order of the coordinates' distances to it."""
    count = len(elevated)
    rounded = (elevated / count).round_()
    excess = rounded.sum(dim=0).to(torch.int8)
    origin = rounded.mul_(count)
    distance = elevated - origin
    rank = torch.arange(count, dtype=torch.int8, device=elevated.device)[:, None]
    rank = rank.repeat(1, elevated.shape[1])
    for one in range(count):
        for other in range(one + 1, count):
            closer = (distance[one] < distance[other]).view(torch.int8)
            rank[one] += closer
            rank[other] -= closer
    rank += excess
    turn = (rank < 0).to(torch.int8) - (rank >= count).to(torch.int8)
    rank.add_(turn, alpha=count)
    return origin.add_(turn, alpha=count), rank


def _strides(origin: Float[Tensor, "V N"], groups: Int64[Tensor, "N"] | None) -> list[int]:
    """What each coordinate is worth in a packed key; at the end what a photograph is worth.

    The last coordinate follows from the others and is worth nothing. Every coordinate has room for
    corners and their neighbours around the outermost origins.
    """
    degree = len(origin) - 1
    low, high = origin.amin(dim=1), origin.amax(dim=1)
    strides, worth = [], 1
    for span in (high - low)[:-1].tolist():
        strides.append(worth)
        worth *= int(span) + 4 * degree + 1
    photographs = 1 if groups is None else int(groups.amax()) + 1
    if worth * photographs >= 1 << KEY_BITS:
        raise InputError(
            f"Features span {worth:.1e} lattice cells; expected below 2^{KEY_BITS}. Use larger "
            "spreads (sxy, srgb) or fewer photographs at a time."
        )
    return [*strides, 0, worth]


def _corners(
    elevated: Float[Tensor, "V N"],
    origin: Float[Tensor, "V N"],
    rank: Int8[Tensor, "V N"],
    strides: list[int],
) -> tuple[Float[Tensor, "N V"], Int64[Tensor, "N V"]]:
    """Barycentric coordinates, and packed keys, of the corners of remainder 0 … d.

    Corner k is the origin plus k in every coordinate, minus d + 1 where the rank is above d − k.
    """
    count, places = elevated.shape
    index = rank.long()
    worth = torch.tensor(strides[:-1], device=rank.device)[:, None]
    key = ((origin - origin.amin(dim=1, keepdim=True)).long() * worth).sum(dim=0)
    distance = (elevated - origin).div_(count)
    distance = torch.empty_like(distance).scatter_(0, index, distance)
    steps = torch.empty_like(index).scatter_(0, index, worth.expand(count, places))
    weights, keys = elevated.new_empty(places, count), index.new_empty(places, count)
    weights[:, 0] = distance[-1] - distance[0] + 1
    keys[:, 0] = key
    for corner in range(1, count):
        weights[:, corner] = distance[-1 - corner] - distance[-corner]
        key = key.add(steps[-corner], alpha=-count).add_(sum(strides[:-1]))
        keys[:, corner] = key
    return weights, keys


def _number(
    keys: Int64[Tensor, "n"],
) -> tuple[Int64[Tensor, "M"], Int64[Tensor, "M"], Int32[Tensor, "n"], Int32[Tensor, "n"]]:
    """Different keys, ascending; where each begins in sorted order; that order; number of each."""
    arranged, order = _sort(keys)
    begins = torch.ones_like(arranged, dtype=torch.bool)
    torch.ne(arranged[1:], arranged[:-1], out=begins[1:])
    first = begins.nonzero()[:, 0]
    numbers = begins.cumsum(0, dtype=torch.int32).sub_(1)
    found = torch.empty_like(numbers).scatter_(0, order, numbers)
    return arranged[first], first, order.int(), found


def _sort(keys: Int64[Tensor, "n"]) -> tuple[Int64[Tensor, "n"], Int64[Tensor, "n"]]:
    """Keys ascending, and where each came from.

    On a CPU the place is packed below the key, for NumPy sorts plain integers with vector
    instructions, several times faster than PyTorch sorts pairs.
    """
    bits = (len(keys) - 1).bit_length()
    if keys.device.type != "cpu" or int(keys.amax() - keys.amin()).bit_length() + bits > KEY_BITS:
        return keys.sort()
    lowest = keys.amin()
    packed = ((keys - lowest) << bits) | torch.arange(len(keys))
    packed.numpy().sort()
    return (packed >> bits).add_(lowest), packed & ((1 << bits) - 1)


def _neighbours(
    keys: Int64[Tensor, "M"], strides: list[int]
) -> tuple[Int32[Tensor, "V M1"], Int32[Tensor, "V M1"]]:
    """The corner one step ahead and one step back, along every direction; M where there is none.

    A step along direction j is + d in coordinate j and − 1 in all others: a constant between keys.
    """
    missing = len(keys)
    numbers = torch.arange(missing + 1, dtype=torch.int32, device=keys.device)
    above = numbers.new_full((len(strides), missing + 1), missing)
    below = above.clone()
    for ahead, back, stride in zip(above, below, strides, strict=True):
        wanted = keys + (len(strides) * stride - sum(strides))
        place = _search(keys, wanted).clamp_(max=missing - 1)
        place = torch.where(keys.index_select(0, place) == wanted, place, missing)
        ahead[:-1] = place
        back.scatter_(0, place, numbers[:-1])
        back[-1] = missing
    return above, below


def _search(keys: Int64[Tensor, "M"], wanted: Int64[Tensor, "M"]) -> Int64[Tensor, "M"]:
    """Where each would stand among the sorted keys; NumPy makes use of both being sorted."""
    if keys.device.type != "cpu":
        return torch.searchsorted(keys, wanted)
    return torch.from_numpy(np.searchsorted(keys.numpy(), wanted.numpy()))


def _normalise(
    weights: Float[Tensor, "N V"],
    corners: Int32[Tensor, "N V"],
    above: Int32[Tensor, "V M1"],
    below: Int32[Tensor, "V M1"],
) -> Float[Tensor, "N V"]:
    """Weights times the inverse root of the filter's response to ones."""
    held = weights.new_zeros(above.shape[1])
    held.scatter_add_(0, corners.flatten().long(), weights.flatten())
    held = held[None]
    for ahead, back in zip(above, below, strict=True):
        held = _blur(held, ahead, back)
    found = held[0].index_select(0, corners.flatten()).view_as(weights)
    response = (found * weights).sum(dim=1)
    return weights * response.add_(EMPTY).rsqrt_()[:, None]


def _blur(
    held: Float[Tensor, "C M1"], above: Int32[Tensor, "M1"], below: Int32[Tensor, "M1"]
) -> Float[Tensor, "C M1"]:
    """(½, 1, ½) along one direction; the constant factor is lost in the normalisation."""
    around = held.index_select(1, above).add_(held.index_select(1, below))
    return torch.add(held, around, alpha=0.5)


def _products(
    corners: Int32[Tensor, "N V"],
    weights: Float[Tensor, "N V"],
    first: Int64[Tensor, "M"],
    order: Int32[Tensor, "n"],
) -> tuple[Tensor, Tensor]:
    """Splat and slice as sparse matrices, (M + 1) × N and N × (M + 1)."""
    places, count = corners.shape
    shape = (len(first) + 1, places)
    ends = first.new_full((2,), order.numel())
    rows = torch.cat((first, ends)).int()
    gather = torch.sparse_csr_tensor(
        rows,
        torch.div(order, count, rounding_mode="trunc"),
        weights.flatten().index_select(0, order),
        shape,
        check_invariants=False,
    )
    rows = torch.arange(0, order.numel() + 1, count, dtype=torch.int32)
    spread = torch.sparse_csr_tensor(
        rows, corners.flatten(), weights.flatten(), shape[::-1], check_invariants=False
    )
    return gather, spread


def _product(matrix: Tensor, values: Float[Tensor, "C n"]) -> Float[Tensor, "C m"]:
    """A sparse matrix times every channel."""
    if len(values) == 1:
        return matrix.mv(values[0])[None]
    return (matrix @ values.t().contiguous()).t().contiguous()
