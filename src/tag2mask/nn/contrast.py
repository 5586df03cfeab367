"""Contrast of cells with class prototypes (PPC's terms; RTC's too).

The cells of a whole batch stand in one row, P of them. Prototypes are references: the gradient runs
through the cells alone. A label without a prototype is in no denominator, and its cells are not
asked. Cosines are taken in single precision or better.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from tag2mask.types import Scalar

NEAR, FAR = 1, 6  # tenths of an order between which semi-hard lies; official code of PPC
FIRST: Final = 0  # the place of the right answer


def contrast_loss(
    cells: Float[Tensor, "P D"],
    labels: Int64[Tensor, "P"],
    prototypes: Float[Tensor, "L D"],
    present: Bool[Tensor, "L"],
    temperature: float,
) -> Scalar:
    """InfoNCE of cells with all prototypes, the mean over the cells that are asked.

        − log [ exp(cos(z_i, p_y)/τ) / sum over l of exp(cos(z_i, p_l)/τ) ],  y the label of cell i

    Zero if no cell is asked.

    Args:
        labels: 0 … L − 1; cells of other labels (255) are not asked.
        present: labels that have a prototype.
    """
    logits = similarities(cells, prototypes, present, temperature)
    asked, answers = questions(labels, present)
    losses = functional.cross_entropy(logits, answers, reduction="none") * asked
    return losses.sum() / asked.sum().clamp(min=1)


def semi_hard_loss(
    cells: Float[Tensor, "P D"],
    labels: Int64[Tensor, "P"],
    prototypes: Float[Tensor, "L D"],
    present: Bool[Tensor, "L"],
    temperature: float,
) -> Scalar:
    """InfoNCE of chosen cells with chosen prototypes, the mean over labels of the mean over cells.

    For every cell the M other prototypes are put in order, the most similar first; those from
    ⌊M/10⌋ to before ⌈6M/10⌉ are its negatives: of 21, ranks 4 to 13 with its own at the head.
    Which cells of a label are asked says `semi_hard_cells`. Zero if there is no label.

    Args:
        labels: 0 … L − 1; cells of other labels (255) are not asked.
        present: labels that have a prototype.
    """
    logits = similarities(cells, prototypes, present, temperature)
    asked, answers = questions(labels, present)
    own = logits.gather(1, answers[:, None])
    others = logits.scatter(1, answers[:, None], torch.finfo(logits.dtype).min)
    middle = semi_hard(max(0, int(present.sum()) - 1))
    negatives = others.sort(dim=1, descending=True).values[:, middle]
    losses = torch.cat([own, negatives], dim=1).logsumexp(dim=1) - own[:, 0]
    total, shown = cells.sum() * 0, sorted(set(answers[asked].tolist()))
    for label in shown:
        of_label = (asked & (answers == label)).nonzero()[:, 0]
        total = total + losses[of_label[semi_hard_cells(own[of_label, 0])]].mean()
    return total / max(1, len(shown))


def semi_hard_cells(similarity: Float[Tensor, "n"]) -> Int64[Tensor, "m"]:
    """Cells of one label that are asked: any half, and the semi-hard half again.

    In the order of similarity to their prototype, the least similar first, semi-hard are those from
    ⌊n/10⌋ to before ⌈6n/10⌉. A cell may be asked twice. The half is drawn by torch's generator.
    """
    count = len(similarity)
    half = torch.randperm(count, device=similarity.device)[: (count + 1) // 2]
    return torch.cat([half, similarity.detach().argsort()[semi_hard(count)]])


def semi_hard(count: int) -> slice:
    """Places of the semi-hard ones in an order of `count`."""
    return slice(NEAR * count // 10, -(-FAR * count // 10))


def similarities(
    cells: Float[Tensor, "P D"],
    prototypes: Float[Tensor, "L D"],
    present: Bool[Tensor, "L"],
    temperature: float,
) -> Float[Tensor, "P L"]:
    """cos(z_i, p_l)/τ, and the lowest number there is for labels without a prototype."""
    with torch.autocast(cells.device.type, enabled=False):
        exact = torch.promote_types(cells.dtype, torch.float32)
        ways = functional.normalize(prototypes.detach().to(exact), dim=1)
        logits = functional.normalize(cells.to(exact), dim=1) @ ways.T / temperature
        return logits.masked_fill(~present, torch.finfo(exact).min)


def questions(
    labels: Int64[Tensor, "P"], present: Bool[Tensor, "L"]
) -> tuple[Bool[Tensor, "P"], Int64[Tensor, "P"]]:
    """Which cells are asked, and the right answers (0 where none is asked)."""
    known = labels < len(present)
    asked = known & present[labels.where(known, FIRST)]
    return asked, labels.where(asked, FIRST)
