"""From maps to a decision: the best class of a pixel, if it beats the background."""

from __future__ import annotations

import torch
from torch.nn import functional

from tag2mask.nn.checks import check_maps
from tag2mask.types import BACKGROUND, UNKNOWN, CamSet, PseudoMask


def threshold(cams: CamSet, background: float, confident: float | None = None) -> PseudoMask:
    """Decide every pixel of the photograph.

        label_i = argmax over c of M_c,i   if max over c of M_c,i > background, else background

    The maps are brought to the photograph's size bilinearly first. Equal classes: the lowest label
    wins. A photograph without classes is all background.

    Args:
        background: level that a class must beat, 0 … 1.
        confident: a second, higher level; best values in (background, confident] become unknown.

    Raises:
        InputError: maps with NaN or infinity; the message names the photograph.
    """
    check_maps(cams)
    if not len(cams.classes):
        return PseudoMask(cams.id, torch.full(cams.size, BACKGROUND, dtype=torch.uint8))
    maps = functional.interpolate(cams.maps[None], cams.size, mode="bilinear", align_corners=False)
    best, winner = maps[0].max(dim=0)  # the first of equals; classes ascend
    labels = cams.classes.to(torch.uint8)[winner]
    labels[~(best > background)] = BACKGROUND
    if confident is not None:
        labels[(best > background) & ~(best > confident)] = UNKNOWN
    return PseudoMask(cams.id, labels)
