"""What the stages of a backbone see, early ones first, for heads that need every scale."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.nn.backbones import Backbone
from tag2mask.nn.host import stage, stages
from tag2mask.nn.taps import as_grid, watching
from tag2mask.types import Size

STAGES = 5  # a ResNet has as many; of more, these many are taken evenly, the last one with them


class Pyramid(nn.Module):
    """A backbone that keeps its pretrained weights, read after each of its stages.

    Attributes:
        channels: of every map.
        cell: pixels per cell of the last one; sides of photographs are multiples of it.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        known = stages(backbone.network)
        count = min(STAGES, len(known))
        chosen = [known[(n + 1) * len(known) // count - 1] for n in range(count)]
        self.backbone = backbone.requires_grad_(requires_grad=False)
        self.watched = [stage(backbone.network, s["module"]) for s in chosen]
        self.channels = [int(s["num_chs"]) for s in chosen]
        self.cell = int(known[-1]["reduction"])

    def train(self, mode: bool = True) -> Pyramid:
        """Nothing here learns; layers that behave otherwise in training do not."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The features of every stage, each on its own grid; without gradient.

        Args:
            images: RGB on 0 … 255.
        """
        with torch.no_grad(), watching(self.watched) as seen:
            last = self.backbone(images)
        size = (last.shape[2], last.shape[3])
        return [as_grid(self.backbone.network, found, size) for found in seen]


def on_grid(found: Float[Tensor, "B D _ _"], size: Size) -> Float[Tensor, "B D h w"]:
    """Features on another grid: the mean over each cell if it is coarser, else bilinear."""
    if tuple(found.shape[-2:]) == tuple(size):
        return found
    if found.shape[-2] > size[0]:
        pooled: Tensor = functional.adaptive_avg_pool2d(found, size)
        return pooled
    return functional.interpolate(found, size, mode="bilinear", align_corners=False)
