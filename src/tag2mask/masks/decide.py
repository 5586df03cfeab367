"""Decide every pixel."""

from __future__ import annotations

import torch
from torch.nn import functional

from tag2mask.types import BACKGROUND, UNKNOWN, CamSet, PseudoMask


def threshold(cams: CamSet, background: float, confident: float | None = None) -> PseudoMask:
    """The best class where its evidence beats the background level, background elsewhere.

    Maps are brought to the photograph's size first (bilinear). Ties go to the lowest label; a
    photograph without tags is all background. With a second level, pixels whose best evidence
    lies above the first and not above the second are unknown.

    Args:
        background: level to beat, 0 … 1.
        confident: the second level, above the first.
    """
    if len(cams.classes) == 0:
        return PseudoMask(cams.id, torch.full(cams.size, BACKGROUND, dtype=torch.uint8))
    full = functional.interpolate(
        cams.maps[None], size=cams.size, mode="bilinear", align_corners=False
    )[0]
    peak, best = full.max(dim=0)
    labels = cams.classes[best]
    if confident is not None:
        labels = torch.where(peak > confident, labels, UNKNOWN)
    labels = torch.where(peak > background, labels, BACKGROUND)
    return PseudoMask(cams.id, labels.to(torch.uint8))
