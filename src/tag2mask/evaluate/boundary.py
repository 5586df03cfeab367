"""Boundary IoU: how well edges are met."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.types import UNKNOWN

WIDTH: Final = 0.02  # of the diagonal; Cheng et al. 2021


@dataclass(frozen=True, slots=True)
class Boundary:
    """Pixels near edges by foreground class; adds up over photographs."""

    shared: Int64[Tensor, "C"]
    joined: Int64[Tensor, "C"]

    def __add__(self, other: Boundary) -> Boundary:
        return Boundary(self.shared + other.shared, self.joined + other.joined)

    @staticmethod
    def zeros(classes: int) -> Boundary:
        """Nothing counted yet."""
        empty = torch.zeros(classes, dtype=torch.int64)
        return Boundary(empty, empty.clone())

    def iou(self) -> float | None:
        """Mean over the classes that occur; None where none does."""
        occurs = self.joined > 0
        if not occurs.any():
            return None
        return float((self.shared[occurs].double() / self.joined[occurs].double()).mean())


def boundary(truth: UInt8[Tensor, "H W"], labels: UInt8[Tensor, "H1 W1"], classes: int) -> Boundary:
    """Count one photograph.

        |(G_d and G) and (P_d and P)| / |(G_d and G) or (P_d and P)|

    G_d are the pixels within d of the contour of G; d is 2 % of the diagonal, at least 1. The
    picture's border is a contour. Pixels whose truth is unknown belong to neither G nor P, so that
    agreement on all known pixels is 1.
    B. Cheng et al., Boundary IoU, CVPR 2021.

    Raises:
        ValueError: the two differ in size.
    """
    if truth.shape != labels.shape:
        raise ValueError(f"truth is {tuple(truth.shape)}, labels {tuple(labels.shape)}.")
    width = max(1, round(WIDTH * math.hypot(*truth.shape)))
    counted, known = Boundary.zeros(classes), truth != UNKNOWN
    occurs = torch.bincount(torch.cat([truth, labels]).flatten(), minlength=classes + 1)
    for place in occurs[1 : classes + 1].nonzero().flatten().tolist():
        theirs = rim(truth == place + 1, width)
        ours = rim((labels == place + 1) & known, width)
        counted.shared[place] = (ours & theirs).sum()
        counted.joined[place] = (ours | theirs).sum()
    return counted


def rim(mask: Bool[Tensor, "H W"], width: int) -> Bool[Tensor, "H W"]:
    """Pixels of a mask that are at most `width` steps (chessboard) from outside it."""
    outside = functional.pad(~mask, (width,) * 4, value=True)
    side = 2 * width + 1
    return mask & _any_within(_any_within(outside, side, 0), side, 1)


def _any_within(mask: Bool[Tensor, "H W"], side: int, axis: int) -> Bool[Tensor, "H1 W1"]:
    """Whether any of `side` successive values is set; shorter by side − 1 along the axis."""
    span = 1
    while span < side:
        step = min(span, side - span)
        count = mask.shape[axis] - step
        mask = mask.narrow(axis, 0, count) | mask.narrow(axis, step, count)
        span += step
    return mask
