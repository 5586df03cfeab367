"""CAM-driven reconstruction (CDR): the photograph again, from the class responses alone."""

from __future__ import annotations

from math import ceil, log2
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.types import Size

LEAST: Final = 1e-5  # official code
NARROWEST: Final = 8  # the last stage has an eighth of the first one's channels


class Decoder(nn.Module):
    """From class responses to a photograph, one stage for every halving of the backbone.

    Args:
        classes: C of the responses.
        cell: pixels of a cell; 16 gives the paper's four stages.
        width: channels of the first layers; the official code has 256.
    """

    def __init__(self, classes: int, cell: int, width: int) -> None:
        super().__init__()
        self.enter = _layer(classes, width, "reflect")
        self.residual = nn.Sequential(_layer(width, width), *_layer(width, width)[:2])
        widths = stage_widths(cell, width)
        self.stages = nn.Sequential(
            *(_stage(a, b) for a, b in zip([width, *widths], widths, strict=False))
        )
        self.leave = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, responses: Float[Tensor, "B C h w"], size: Size) -> Float[Tensor, "B 3 H W"]:
        """A picture in [−1, 1].

        Args:
            size: (H, W); what the stages make is resized where it is not that.
        """
        features = self.enter(responses)
        features = features + self.residual(features)
        picture: Tensor = self.leave(self.stages(features)).tanh()
        if picture.shape[2:] == size:
            return picture
        return functional.interpolate(picture, size, mode="bilinear", align_corners=False)


class WholeNorm(nn.Module):
    """Normalise over channels and places of a photograph, as the official code does.

    y = γ_c · (x − mean) / (deviation + 1e-5) + β_c, the deviation unbiased, γ from U(0, 1)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
        """The same shape, mean zero and deviation one before gain and shift."""
        deviation, mean = torch.std_mean(features, dim=(1, 2, 3), keepdim=True)
        normal: Tensor = (features - mean) / (deviation + LEAST)
        return self.gain * normal + self.shift


def stage_widths(cell: int, width: int) -> list[int]:
    """Channels after every stage: halved at each, the first of several kept at the full width.

    >>> stage_widths(16, 256), stage_widths(8, 256), stage_widths(32, 64)
    ([256, 128, 64, 32], [128, 64, 32], [64, 64, 32, 16, 8])
    """
    count = max(1, ceil(log2(cell)))
    narrow = max(1, width // NARROWEST)
    return [min(width, narrow * 2 ** (count - 1 - n)) for n in range(count)]


def _layer(given: int, made: int, edge: Literal["zeros", "reflect"] = "zeros") -> nn.Sequential:
    convolution = nn.Conv2d(given, made, 3, padding=1, padding_mode=edge, bias=False)
    return nn.Sequential(convolution, WholeNorm(made), nn.ReLU())


def _stage(given: int, made: int) -> nn.Sequential:
    doubled = nn.ConvTranspose2d(given, made, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(doubled, nn.InstanceNorm2d(made), nn.ReLU(), _layer(made, made))
