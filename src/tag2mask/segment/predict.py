"""Labels for photographs from a trained network, at several sizes and mirrored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as pictures

from tag2mask.types import PseudoMask

CELL = 32  # networks of segmentation-models-pytorch take multiples of it
Logits = Callable[[Float[Tensor, "B 3 H W"]], Float[Tensor, "B L H W"]]


def predict(
    network: Logits,
    ids: Sequence[str],
    images: Sequence[UInt8[Tensor, "3 H W"]],
    long_side: int,
    scales: Sequence[float],
    flip: bool,
    device: torch.device,
) -> list[PseudoMask]:
    """Decide every pixel; photographs of one batch have one size.

    Probabilities are averaged over sizes and mirrored views at the largest of the sizes, brought
    to the photograph's size and decided there.

    Args:
        long_side: pixels of the long side at scale 1 (the size trained at).
    """
    if not images:
        return []
    height, width = images[0].shape[-2:]
    factor = long_side / max(height, width)
    total: Tensor | None = None
    for scale in sorted(scales, reverse=True):
        size = [max(CELL, round(e * factor * scale / CELL) * CELL) for e in (height, width)]
        views = torch.stack(
            [
                pictures.resize(image, size, InterpolationMode.BILINEAR, antialias=True)
                for image in images
            ]
        ).float()
        views = views.to(device, memory_format=torch.channels_last)
        probabilities = network(views).float().softmax(dim=1)
        if flip:
            probabilities = probabilities + network(views.flip(-1)).float().softmax(1).flip(-1)
        if total is None:
            total = probabilities
        else:
            total += functional.interpolate(
                probabilities, size=total.shape[-2:], mode="bilinear", align_corners=False
            )
    if total is None:
        raise ValueError("predict needs at least one scale; none came.")
    masks = []
    for photo, scores in zip(ids, total, strict=True):
        full = functional.interpolate(
            scores[None], size=(height, width), mode="bilinear", align_corners=False
        )
        masks.append(PseudoMask(photo, full[0].argmax(dim=0).to(torch.uint8).cpu()))
    return masks
