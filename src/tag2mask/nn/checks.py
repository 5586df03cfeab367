"""What every stage asks of maps before it works on them."""

from __future__ import annotations

import math

import torch
from jaxtyping import UInt8
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.types import CamSet


def check_maps(cams: CamSet) -> None:
    """Refuse maps that are no evidence but what is left of failed arithmetic.

    Raises:
        InputError: NaN or infinity; the message names the photograph.
    """
    if not is_finite(cams.maps):
        raise InputError(
            f"The maps of photograph {cams.id!r} hold NaN or infinity; expected numbers in [0, 1]. "
            "Find out which step made them; a training that diverged does."
        )


def check_photograph(image: UInt8[Tensor, "3 H W"], cams: CamSet) -> None:
    """Refuse maps that are not finite, or of another photograph.

    Raises:
        InputError: either; the message names the photograph.
    """
    if tuple(image.shape[1:]) != tuple(cams.size):
        raise InputError(
            f"Photograph {cams.id!r} has {tuple(image.shape[1:])} pixels, its maps were made for "
            f"{tuple(cams.size)}; expected the same photograph."
        )
    check_maps(cams)


def is_finite(values: Tensor) -> bool:
    """Whether every number is; their sum is, unless one is not or they are enormous."""
    return math.isfinite(float(values.sum())) or bool(torch.isfinite(values).all())
