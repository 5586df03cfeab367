"""Multi-scale activation maps.

What is kept is small and raw: for every scale the responses on that scale's own feature grid,
tagged classes only, half precision; the mirrored view is already folded in. Merging is a
question for the reader of the file, so that it can change without another pass of the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float16, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.localize.options import LocalizeOptions
from tag2mask.method import Method
from tag2mask.nn.checks import check_maps
from tag2mask.nn.views import resize, scaled_size
from tag2mask.types import CamSet, Size

EPSILON = 1e-5  # IRN: maps are divided by their maximum plus this


def responses(
    method: Method,
    images: Sequence[UInt8[Tensor, "3 H W"]],
    tags: Bool[Tensor, "B C"],
    long_side: int,
    cell: int,
    options: LocalizeOptions,
    device: torch.device,
) -> list[Float[Tensor, "B C h w"]]:
    """Raw evidence for photographs of one size, one tensor a scale; mirrored views added.

    Args:
        images: all of the same shape.
        tags: what is in each.
        long_side: pixels of the long side at scale 1.
        cell: pixels per cell of the method's grid.
    """
    size = (images[0].shape[-2], images[0].shape[-1])
    found, tags = [], tags.to(device)
    for scale in options.scales:
        target = scaled_size(size, long_side * scale, cell)
        views = torch.stack([resize(image, target) for image in images]).float()
        views = views.to(device, memory_format=torch.channels_last)
        if options.flip:
            both = method.localize(torch.cat([views, views.flip(-1)]), tags.repeat(2, 1))
            plain, mirrored = both.chunk(2)
            maps = plain + mirrored.flip(-1)
        else:
            maps = method.localize(views, tags)
        found.append(maps.float())
    return found


def merge(
    photo: str,
    classes: Int64[Tensor, "K"],
    scales: Sequence[Float[Tensor, "K _ _"] | Float16[Tensor, "K _ _"]],
    size: Size,
) -> CamSet:
    """Sum over scales on the finest grid, each class divided by its maximum.

        M_c = sum_s resize(R_c^s) / (max + 1e-5)

    A class without any evidence stays zero; a photograph without tags has no maps. Source: IRN.

    Raises:
        InputError: responses with NaN or infinity; the message names the photograph.
    """
    finest = max((tuple(maps.shape[-2:]) for maps in scales), key=lambda grid: grid[0] * grid[1])
    total = torch.zeros(len(classes), *finest)
    if not len(classes):
        return CamSet(photo, classes, total, size)
    for maps in scales:
        if tuple(maps.shape[-2:]) == finest:
            total += maps
            continue
        total += functional.interpolate(
            maps.float()[None], size=finest, mode="bilinear", align_corners=False
        )[0]
    peak = total.amax(dim=(1, 2), keepdim=True)
    cams = CamSet(photo, classes, total / (peak + EPSILON), size)
    check_maps(cams)
    return cams
