"""Energies per pixel and label, from labels, probabilities or maps: what a CRF starts from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.types import UNKNOWN

LEAST_LOG: Final = -87.0  # of the normal numbers in single precision
SMALLEST: Final = 1e-5  # unary_from_softmax of pydensecrf: keeps energies finite


def unary_from_labels(
    labels: UInt8[Tensor, "H W"], count: int, certainty: float = 0.7, total: int | None = None
) -> Float[Tensor, "K H W"]:
    """Energies of a decision that is believed with some certainty.

        −log certainty for the label, −log((1 − certainty) / (total − 1)) for every other one

    Unknown pixels believe all labels alike. A single label leaves nothing to decide: zero.
    `unary_from_labels(…, zero_unsure=False)` of pydensecrf.

    Args:
        labels: 0 … count − 1, or 255 where unknown.
        count: K, how many labels take part.
        certainty: 0 … 1; official IRN: 0.7.
        total: how many labels share the doubt, if absent ones are left out of `count`.

    Raises:
        InputError: a label above count − 1 that is not 255; a certainty outside (0, 1).
    """
    if not 0 < certainty < 1:
        raise InputError(f"A certainty of {certainty} came; expected above 0 and below 1.")
    unknown = labels == UNKNOWN
    highest = int(labels.masked_fill(unknown, 0).max()) if labels.numel() else 0
    if highest >= count:
        raise InputError(
            f"Label {highest} came where {count} labels take part; expected 0 to {count - 1}, or "
            f"{UNKNOWN} where unknown. Renumber the labels that are present."
        )
    others = max(count if total is None else total, count) - 1
    if not others:
        return torch.zeros(1, *labels.shape, device=labels.device)
    levels = torch.tensor([(1 - certainty) / others, certainty, 1 / (others + 1)]).log().neg()
    believed = labels == torch.arange(count, device=labels.device)[:, None, None]
    doubtful, believed_energy, unknown_energy = levels.to(labels.device)
    energies = torch.where(believed, believed_energy, doubtful)
    return torch.where(unknown, unknown_energy, energies)


def unary_from_probabilities(
    probabilities: Float[Tensor, "K H W"], smallest: float = SMALLEST
) -> Float[Tensor, "K H W"]:
    """−log p, with p no smaller than `smallest`; scores that do not sum to one serve as well."""
    return probabilities.clamp(min=smallest).log_().neg_()


def unaries_from_alphas(
    maps: Float[Tensor, "K H W"], alphas: Sequence[float], smallest: float = SMALLEST
) -> Float[Tensor, "U L H W"]:
    """Energies of maps against a background at several powers, in one pass.

        −log M_c for a class; −alpha · log(1 − max over c of M_c) for the background

    The same as `unary_from_probabilities` of `with_background` for each alpha, with one logarithm.

    Args:
        maps: evidence in [0, 1], K at least 1.
        alphas: U powers; PSA takes 4 and 24 for sure background and sure classes.
        smallest: what no probability is below.
    """
    energies = maps.new_empty(len(alphas), len(maps) + 1, *maps.shape[1:])
    classes = maps.clamp(min=smallest).log_().neg_()
    lacking = (1 - maps.amax(dim=0)).clamp_(min=0).log_().neg_()
    for energy, alpha in zip(energies, alphas, strict=True):
        energy[1:] = classes
        torch.mul(lacking, alpha, out=energy[0]).clamp_(max=-math.log(smallest))
    return energies


def with_background(
    maps: Float[Tensor, "K H W"], level: float | None = None, alpha: float | None = None
) -> Float[Tensor, "L H W"]:
    """Scores with the background in front: a constant level, or what the best class lacks.

        (1 − max over c of M_c,i)^alpha        Ahn and Kwak, CVPR 2018 (PSA)

    A larger power leaves less to the background: it wins below 0.5 (alpha 1, taken if neither is
    given), 0.28 (4), 0.12 (16) or 0.09 (24).

    Args:
        maps: evidence in [0, 1], K at least 1.
        level: 0 … 1.
    """
    best = maps.amax(dim=0, keepdim=True)
    if level is not None:
        return torch.cat((torch.full_like(best, level), maps))
    lacking = (1 - best).clamp_(min=0)
    if alpha not in (None, 1):  # as power does, but without numbers so small that they are slow
        lacking = lacking.log_().mul_(alpha).clamp_(min=LEAST_LOG).exp_()
    return torch.cat((lacking, maps))
