"""Pairs of near cells: their affinity, and what their labels say about it.

All pairs at one step (down, right) are worked on at once, as shifted views of the grid; a loop goes
over the steps of a half disc (`half_disc`), never over cells or over the places of a line one by
one. What the steps need in between is made again for the gradient, a group of steps at a time, so
that memory does not grow with the radius.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tag2mask.types import BACKGROUND, UNKNOWN, Size

Step = tuple[int, int]
TINY: Final = 1e-5  # official codes of PSA and IRN: no logarithm of zero
GROUP: Final = 16  # steps whose lines are in memory at once


def line(step: Step) -> tuple[Step, ...]:
    """The discrete line from (0, 0) to a step, both ends counted: n + 1 cells, n the longer side.

    k-th cell: (⌊k·down/n + 1/2⌋, ⌊k·right/n + 1/2⌋)

    >>> line((1, 3))
    ((0, 0), (0, 1), (1, 2), (1, 3))
    """
    n = max(abs(step[0]), abs(step[1]), 1)
    cells = range(n + 1 if step != (0, 0) else 1)
    return tuple(
        ((2 * k * step[0] + n) // (2 * n), (2 * k * step[1] + n) // (2 * n)) for k in cells
    )


def seen_from(
    values: Float[Tensor, "*B h w"] | UInt8[Tensor, "*B h w"],
    step: Step,
    places: Sequence[Step],
) -> list[Tensor]:
    """The grid as the first cells of all pairs see it at places of their box, a view each.

    First cells are those with a second one on the grid, `step` further. A place lies between them.
    """
    height, width = values.shape[-2] - step[0], values.shape[-1] - abs(step[1])
    first = max(0, -step[1])
    if height <= 0 or width <= 0:
        return [values[..., :0, :0] for _ in places]
    return [
        values[..., down : down + height, first + right : first + right + width]
        for down, right in places
    ]


def path_affinity(edges: Float[Tensor, "*B h w"], step: Step) -> Float[Tensor, "*B _ _"]:
    """How much the two cells of every pair belong together, by the strongest edge between them.

        a_ij = 1 − max over the cells k of the line from i to j of B(k)     (IRN)

    Args:
        edges: B, probability of an edge.
    """
    strongest: Tensor = torch.stack(seen_from(edges, step, line(step))).amax(dim=0)
    return 1 - strongest


def feature_affinity(features: Float[Tensor, "*B D h w"], step: Step) -> Float[Tensor, "*B _ _"]:
    """How much the two cells of every pair look alike.

    a_ij = exp(− mean over the channels of |f_i − f_j|)     (PSA; the mean is the official code's)
    """
    here, there = seen_from(features, step, ((0, 0), step))
    return torch.exp(-(here - there).abs().mean(dim=-3))


def relations(labels: UInt8[Tensor, "B h w"], step: Step) -> Bool[Tensor, "3 B _ _"]:
    """Which pairs are both background, both one class, and of different labels.

    Pairs with an unknown cell are none of these.
    """
    here, there = seen_from(labels, step, ((0, 0), step))
    known = (here != UNKNOWN) & (there != UNKNOWN)
    same, background = here == there, here == BACKGROUND
    return torch.stack([known & same & background, known & same & ~background, known & ~same])


def affinity_costs(
    affinity: Float[Tensor, "B _ _"], related: Bool[Tensor, "3 B _ _"]
) -> Float[Tensor, "3"]:
    """Cross-entropy of the affinities, added up over the pairs of each of the three relations.

    −log(a + 1e-5) for the same label, −log(1 − a + 1e-5) for different ones
    """
    chances = torch.where(related[2], 1 - affinity, affinity)
    return added_up(-(chances + TINY).log(), related)


def added_up(costs: Float[Tensor, "B _ _"], related: Bool[Tensor, "n B _ _"]) -> Float[Tensor, "n"]:
    """The sum of a cost over the pairs of each relation."""
    return related.flatten(1).to(costs) @ costs.flatten()


def on_full_grid(found: Float[Tensor, "*B _ _"], step: Step, size: Size) -> Float[Tensor, "*B h w"]:
    """Values of all pairs at a step on the grid of their first cells; zero where no pair is."""
    full = found.new_zeros(*found.shape[:-2], *size)
    if found.numel():
        seen_from(full, step, ((0, 0),))[0].copy_(found)
    return full


def over_steps(
    measure: Callable[[Step], Float[Tensor, "n"]], steps: Sequence[Step]
) -> Float[Tensor, "n"]:
    """The sum of a measure over steps, in groups that are computed again for the gradient."""

    def summed(group: tuple[Step, ...]) -> Tensor:
        return torch.stack([measure(step) for step in group]).sum(dim=0)

    groups = [tuple(steps[first : first + GROUP]) for first in range(0, len(steps), GROUP)]
    parts: list[Tensor] = [
        checkpoint(summed, group, use_reentrant=False, preserve_rng_state=False) for group in groups
    ]
    return torch.stack(parts).sum(dim=0)
