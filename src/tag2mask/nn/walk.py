"""Random walk by a given affinity: evidence spreads between cells that belong together.

A pair of near cells has an affinity in [0, 1], and a walker steps from cell to cell in proportion
to it. After some hundred steps the evidence of a map has spread over whatever hangs together and
stopped where the affinity is low.

    J. Ahn, S. Kwak. Learning Pixel-level Semantic Affinity with Image-level Supervision for Weakly
    Supervised Semantic Segmentation. CVPR 2018 (PSA).
    J. Ahn, S. Cho, S. Kwak. Weakly Supervised Learning of Instance Segmentation with Inter-pixel
    Relations. CVPR 2019 (IRN).

| paper | here | where |
|---|---|---|
| W or A, of pairs closer than γ | `affinity`, `radius` | `half_disc`, `walk` |
| ∘β, Hadamard power | `beta` | `walk` |
| T = A^∘β D⁻¹ | `_Stencil` | `walk` |
| t iterations, vec(M)·T^t | `steps` | `walk` |
| (1 − B) of IRN | `off_edges` | `off_edges` |

Differs from the official codes: they square the dense N × N matrix T log2(t) times. Here T is never
formed: it has 2P + 1 diagonals, so it is applied as a stencil. And t steps take about 5·√t
applications (single precision) instead of t: x^t on [−1, 1] is a sum of Chebyshev polynomials

    x^t = 2^(1−t) · sum over k = t, t − 2, … of C(t, (t − k)/2) · T_k(x)     (half of it for k = 0)

whose coefficients are positive and add to 1, and those beyond that add up to less than rounding.
Pairs that reach beyond the border do not exist, which is what IRN's padding of the edges with 1
comes to.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tag2mask.errors import InputError

RADIUS: Final = 5  # PSA and IRN, official code at inference
BETA: Final = 10.0  # IRN, official code; PSA 8
STEPS: Final = 256  # both, official code: T squared 8 times


def half_disc(radius: int = RADIUS) -> tuple[tuple[int, int], ...]:
    """Steps (down, right) to neighbours closer than `radius`, one of each pair of opposites.

    Row by row: (0, 1) … (0, radius − 1), then every row below from left to right; the order of PSA
    and IRN. For radius 5, P = 34.
    """
    reach = range(-radius + 1, radius)
    return tuple(
        (y, x)
        for y in range(radius)
        for x in reach
        if y * y + x * x < radius * radius and (y > 0 or x > 0)
    )


@torch.no_grad()
def walk(
    maps: Float[Tensor, "K h w"],
    affinity: Float[Tensor, "P h w"],
    beta: float = BETA,
    steps: int = STEPS,
    radius: int = RADIUS,
) -> Float[Tensor, "K h w"]:
    """The maps after a random walk of `steps` steps: vec(M)·T^steps.

        T_ij = a_ij^β / sum over l of a_lj^β;  a_ij = a_ji;  a_ii = 1

    Columns of T add to 1, so every step takes a weighted mean: a constant map stays, and a cell
    without neighbours keeps its value. Accurate to rounding of the maps' type.

    Args:
        affinity: `affinity[p, y, x]` is that of the cell (y, x) and its neighbour at
            `half_disc(radius)[p]`; 0 or more. Pairs beyond the border are ignored.

    Raises:
        InputError: the affinity has another shape, a negative value or NaN, or steps are negative.
    """
    _check(maps, affinity, steps, radius)
    if not steps or not maps.numel():
        return maps.clone()
    stencil = _Stencil(affinity.to(maps).pow(beta), half_disc(radius))
    start = stencil.flatten(maps).mul_(stencil.root)
    weights = chebyshev_coefficients(steps, torch.finfo(maps.dtype).eps)
    return stencil.unflatten(stencil.polynomial(start, weights).div_(stencil.root))


def off_edges(maps: Float[Tensor, "K h w"], edges: Float[Tensor, "h w"]) -> Float[Tensor, "K h w"]:
    """Maps without what lies on edges, M ⊗ (1 − B): where IRN's walk starts.

    Args:
        edges: probability of an edge, 0 … 1.
    """
    return maps * (1 - edges)


def chebyshev_coefficients(power: int, tolerance: float) -> list[float]:
    """Coefficients of T_0, T_1 … in x^power; the last ones, together below `tolerance`, left out.

    On [−1, 1], where |T_k| ≤ 1, the error is below the tolerance.
    """
    degree = power % 2
    value = 2 * (math.comb(power, power // 2) / 2**power)
    coefficients = [0.0, value] if degree else [value / 2]
    while degree < power:
        ratio = (power - degree) / (power + degree + 2)
        if value * ratio < tolerance * (1 - ratio):  # ratios fall: less than a geometric series
            break
        value, degree = value * ratio, degree + 2
        coefficients += [0.0, value]
    return coefficients


class _Stencil:
    """S = D^½ T D^−½, symmetric, as weights of pairs on flat rows with a gap between them.

    In the gap, as wide as the reach, weights are zero: steps to the side need no care.
    """

    def __init__(self, pairs: Float[Tensor, "P h w"], steps: tuple[tuple[int, int], ...]) -> None:
        self.size = (pairs.shape[-2], pairs.shape[-1])
        self.pitch = self.size[1] + max((x for _, x in steps), default=0)
        count = self.size[0] * self.pitch
        shifts = [y * self.pitch + x for y, x in steps]
        weights = self.flatten(pairs.where(_inside(pairs, steps), 0))
        self.pairs = [
            (shift, weight[: count - shift])
            for shift, weight in zip(shifts, weights, strict=True)
            if shift < count
        ]
        self.root = self._degrees(count, pairs).sqrt_()
        for shift, weight in self.pairs:
            weight.mul_(2).div_(self.root[: count - shift]).div_(self.root[shift:])
        self.diagonal = 2 / self.root.square()

    def _degrees(self, count: int, like: Tensor) -> Float[Tensor, "N"]:
        """D: what every cell's affinities add up to, its own 1 with them."""
        degrees = like.new_ones(count)
        for shift, weight in self.pairs:
            degrees[: count - shift] += weight
            degrees[shift:] += weight
        return degrees

    def polynomial(
        self, values: Float[Tensor, "K N"], coefficients: list[float]
    ) -> Float[Tensor, "K N"]:
        """The sum over k of c_k · T_k(S) · values; T_k = 2·S·T_(k−1) − T_(k−2), T_1 = S.

        The next polynomial replaces the last but one, so two buffers and their views are enough.
        """
        result = coefficients[0] * values
        newer, older = values.clone(), torch.zeros_like(values)
        links = [self._links(newer, older), self._links(older, newer)]
        for number, coefficient in enumerate(coefficients[1:], start=1):
            older.neg_()
            for target, weight, source in links[(number - 1) % 2]:
                target.addcmul_(weight, source)
            if number == 1:
                older.div_(2)
            if coefficient:
                result.add_(older, alpha=coefficient)
            newer, older = older, newer
        return result

    def _links(
        self, source: Float[Tensor, "K N"], target: Float[Tensor, "K N"]
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What is added to what, times what, for 2 · S · source: both ends of every pair."""
        count = source.shape[-1]
        links = [(target, self.diagonal, source)]
        for shift, weight in self.pairs:
            links.append((target[:, : count - shift], weight, source[:, shift:]))
            links.append((target[:, shift:], weight, source[:, : count - shift]))
        return links

    def flatten(self, values: Float[Tensor, "K h w"]) -> Float[Tensor, "K N"]:
        """Rows one after the other with zeros in the gaps."""
        padded = torch.nn.functional.pad(values, (0, self.pitch - self.size[1]))
        return padded.flatten(1)

    def unflatten(self, values: Float[Tensor, "K N"]) -> Float[Tensor, "K h w"]:
        rows = values.view(-1, self.size[0], self.pitch)
        return rows[..., : self.size[1]].contiguous()


def _inside(
    pairs: Float[Tensor, "P h w"], steps: tuple[tuple[int, int], ...]
) -> Bool[Tensor, "P h w"]:
    """Whether both cells of a pair lie on the grid."""
    height, width = pairs.shape[-2:]
    down, right = torch.tensor(steps, device=pairs.device).view(-1, 2, 1, 1).unbind(1)
    rows = torch.arange(height, device=pairs.device)[:, None] + down
    columns = torch.arange(width, device=pairs.device) + right
    return (rows < height) & (columns >= 0) & (columns < width)


def _check(maps: Tensor, affinity: Tensor, steps: int, radius: int) -> None:
    expected = (len(half_disc(radius)), *maps.shape[1:])
    if tuple(affinity.shape) != expected:
        raise InputError(
            f"The affinity has the shape {tuple(affinity.shape)}; expected {expected}: one value "
            f"per pair of half_disc({radius}) and cell of the maps. Compute it on their grid."
        )
    if steps < 0:
        raise InputError(f"A walk of {steps} steps was asked for; expected 0 or more.")
    if not bool((affinity >= 0).all()):
        raise InputError(
            "The affinity has a negative value or NaN; expected 0 or more. Look at its network."
        )
