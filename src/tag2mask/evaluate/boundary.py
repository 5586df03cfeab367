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


def boundary(truth: UInt8[Tensor, "H W"], labels: UInt8[Tensor, "H W"], classes: int) -> Boundary:
    """Count one photograph.

        |(G_d and G) and (P_d and P)| / |(G_d and G) or (P_d and P)|

    G_d are the pixels within d of the contour of G; d is 2 % of the diagonal, at least 1. The
    picture's border is a contour. Pixels whose truth is unknown are left out.
    B. Cheng et al., Boundary IoU, CVPR 2021.
    """
    width = max(1, round(WIDTH * math.hypot(*truth.shape)))
    counted, known = Boundary.zeros(classes), truth != UNKNOWN
    present = torch.unique(torch.cat([truth[known], labels[known]]).flatten()).tolist()
    for label in present:
        if 1 <= label <= classes:
            ours, theirs = rim(labels == label, width) & known, rim(truth == label, width) & known
            counted.shared[label - 1] = (ours & theirs).sum()
            counted.joined[label - 1] = (ours | theirs).sum()
    return counted


def rim(mask: Bool[Tensor, "H W"], width: int) -> Bool[Tensor, "H W"]:
    """Pixels of a mask that are at most `width` steps (chessboard) from outside it."""
    outside = functional.pad((~mask).float()[None, None], (width,) * 4, value=1.0)
    side = 2 * width + 1
    near = functional.max_pool2d(outside, (side, 1), stride=1)
    near = functional.max_pool2d(near, (1, side), stride=1)
    return mask & (near[0, 0] > 0)
