"""Labels for photographs from a trained network, at several sizes and mirrored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as pictures

from tag2mask.types import PseudoMask, Size

STRIP = 1 << 24  # numbers held while a strip of rows is decided
CELL = 32  # networks of segmentation-models-pytorch take multiples of it
Logits = Callable[[Float[Tensor, "B 3 H W"]], Float[Tensor, "B L H W"]]
Decision = Callable[[UInt8[Tensor, "3 H W"], Float[Tensor, "L h w"]], UInt8[Tensor, "H W"]]


def predict(
    network: Logits,
    ids: Sequence[str],
    images: Sequence[UInt8[Tensor, "3 H W"]],
    long_side: int,
    scales: Sequence[float],
    flip: bool,
    device: torch.device,
    decision: Decision | None = None,
) -> list[PseudoMask]:
    """Decide every pixel; photographs of one batch have one size.

    Probabilities are averaged over sizes and mirrored views at the largest of the sizes, brought
    to the photograph's size and decided there.

    Args:
        long_side: pixels of the long side at scale 1 (the size trained at).
        decision: what makes labels of a photograph and its probabilities; None takes the best one.
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
    if decision is None:
        labels = [decide(scores, (height, width)) for scores in total]
    else:
        total /= total.sum(dim=1, keepdim=True)
        labels = [decision(*pair) for pair in zip(images, total, strict=True)]
    return [PseudoMask(photo, one.cpu()) for photo, one in zip(ids, labels, strict=True)]


def decide(scores: Float[Tensor, "L h w"], size: Size) -> UInt8[Tensor, "H W"]:
    """The best label at every pixel of the photograph, bilinear between cells.

    Rows are enlarged a strip at a time: all of them at once would take gigabytes for a large
    photograph and many labels.
    """
    height, width = size
    wide = functional.interpolate(
        scores[None], size=(scores.shape[1], width), mode="bilinear", align_corners=False
    )[0]
    places = (torch.arange(height, device=scores.device) + 0.5) * scores.shape[1] / height - 0.5
    places = places.clamp(0, scores.shape[1] - 1)
    above = places.long()
    below = (above + 1).clamp(max=scores.shape[1] - 1)
    share = (places - above).to(scores.dtype)[:, None]
    rows = max(1, STRIP // (len(scores) * width))
    strips = []
    for strip in torch.split(torch.arange(height, device=scores.device), rows):
        upper, lower = wide[:, above[strip]], wide[:, below[strip]]
        strips.append(torch.lerp(upper, lower, share[strip]).max(dim=0).indices.to(torch.uint8))
    return torch.cat(strips)
