"""The mask network f_m and the decomposition network f_x, from scratch and on a backbone."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.nn.backbones import Backbone
from tag2mask.nn.equivariance import onto
from tag2mask.nn.host import INITIAL, stages
from tag2mask.nn.taps import as_grid, showing, watching

ENCODER: Final = (1, 1, 2, 2, 4, 4, 8, 8, 16, 8)  # channels in units of the width; released code
DECODER: Final = ((16, 8, 4), (8, 4, 2), (4, 2, 1), (2, 1, 1))  # in, between, out; released code
WHITE: Final = 255.0


@dataclass(frozen=True, slots=True)
class Decomposition:
    """A photograph taken apart, on one grid.

    Attributes:
        logits: of the mask-lets, background first.
        imagelets: one image a label, in [0, 1].
    """

    logits: Float[Tensor, "B L h w"]
    imagelets: Float[Tensor, "B L 3 h w"]


class Encoder(nn.Module, ABC):
    """Grids of features of a photograph, the coarsest first.

    Attributes:
        channels: of each grid.
        cell: pixels per cell of the finest.
    """

    channels: tuple[int, ...]
    cell: int

    @abstractmethod
    def forward(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The grids.

        Args:
            images: RGB on 0 … 255.
        """


class ScratchEncoder(Encoder):
    """Ten 3 × 3 convolutions, each with a leaky rectifier, a maximum over 2 × 2 after each second.

    Args:
        width: channels of the first convolution.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [3, *(width * times for times in ENCODER)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(channels)
        )
        self.channels, self.cell = (channels[10], *channels[8:1:-2]), 1

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """Grids at reductions 16, 8, 4, 2 and 1; those of an odd size lose their last row.

        Args:
            images: RGB on 0 … 255.
        """
        features, grids = images / WHITE, []
        for number, convolution in enumerate(self.convolutions, start=1):
            features = functional.leaky_relu(convolution(features))
            if number % 2 == 0:
                grids.append(features)
                features = functional.max_pool2d(features, 2) if number < 10 else features
        return grids[::-1]


class PretrainedEncoder(Encoder):
    """A backbone's features and, finer than those, its stages.

    Args:
        cell: pixels per cell of the finest stage that is read.
    """

    def __init__(self, backbone: Backbone, cell: int) -> None:
        super().__init__()
        self.backbone = backbone
        known = stages(backbone.network)
        last = {s["reduction"]: s for s in known if cell <= s["reduction"]}
        coarsest = known[-1]["reduction"]
        finer = [last[r] for r in sorted(last, reverse=True) if r < coarsest]
        self.finer = finer
        self.channels = (backbone.channels, *(int(s["num_chs"]) for s in finer))
        self.cell = int(finer[-1]["reduction"] if finer else coarsest)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The backbone's features first, then its stages.

        Args:
            images: RGB on 0 … 255.
        """
        network = self.backbone.network
        modules = [showing(network, known) for known in self.finer]
        with watching(modules, gradient=True) as seen:
            features = self.backbone(images)
        size = (features.shape[2], features.shape[3])
        return [features, *(as_grid(network, found, size) for found in reversed(seen))]


class ScratchDecoder(nn.Module):
    """Up by two four times, beside the encoder's grid of that size: two convolutions each.

    Args:
        width: channels of the encoder's first convolution.
        numbers: channels that come out.
    """

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.pairs = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Conv2d(width * a, width * b, 3, padding=1),
                    nn.Conv2d(width * b, width * c, 3, padding=1),
                ]
            )
            for a, b, c in DECODER
        )
        self.head = nn.Conv2d(width, numbers, 3, padding=1)

    def forward(self, grids: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B N h w"]:
        """One value a number and cell of the finest grid.

        Args:
            grids: of the encoder, the coarsest first.
        """
        features = grids[0]
        for pair, beside in zip(self.pairs, grids[1:], strict=True):
            features = onto(features, (beside.shape[2], beside.shape[3]))
            features = torch.cat([features, beside], dim=1)
            for convolution in pair:  # type: ignore[attr-defined]
                features = functional.leaky_relu(convolution(features))
        found: Tensor = self.head(features)
        return found


class LightDecoder(nn.Module):
    """From the coarsest grid to the finest: each is brought to `width` channels, added, smoothed.

        p = max(0, S ∗ (up(p) + W f)),   S 3 × 3, W 1 × 1; the border is repeated

    Args:
        channels: of the encoder's grids.
        width: channels in between.
        numbers: channels that come out.
    """

    def __init__(self, channels: Sequence[int], width: int, numbers: int) -> None:
        super().__init__()
        self.beside = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.smooth = nn.ModuleList(_repeating(width, width) for _ in channels)
        self.head = _repeating(width, numbers)
        nn.init.normal_(self.head.weight, std=INITIAL)

    def forward(self, grids: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B N h w"]:
        """One value a number and cell of the finest grid.

        Args:
            grids: of the encoder, the coarsest first.
        """
        features: Tensor | None = None
        for beside, smooth, grid in zip(self.beside, self.smooth, grids, strict=True):
            own = beside(grid)
            if features is not None:
                own = own + onto(features, (own.shape[2], own.shape[3]))
            features = smooth(own).relu()
        found: Tensor = self.head(features)
        return found


def _repeating(channels: int, numbers: int) -> nn.Conv2d:
    return nn.Conv2d(channels, numbers, 3, padding=1, padding_mode="replicate")


class Decomposer(nn.Module):
    """f_m and f_x: two decoders on one encoder, or on one each.

    Args:
        encoders: one that both share, or that of the mask-lets and that of the image-lets.
        decoders: likewise two.
        cell: pixels over which image-lets are averaged; between such squares they are bilinear.
    """

    def __init__(
        self, encoders: Sequence[Encoder], decoders: Sequence[nn.Module], cell: int
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.masker, self.imager = decoders
        self.cell, self.square = encoders[0].cell, max(1, cell // encoders[0].cell)

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L h w"]:
        """f_m alone.

        Args:
            images: RGB on 0 … 255.
        """
        found: Tensor = self.masker(self.encoders[0](images))
        return found

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Decomposition:
        """Both.

        Args:
            images: RGB on 0 … 255.
        """
        grids = self.encoders[0](images)
        others = grids if len(self.encoders) == 1 else self.encoders[1](images)
        logits, pictures = self.masker(grids), self.imager(others).sigmoid()
        pictures = coarse(pictures, self.square)
        b, labels, h, w = logits.shape
        return Decomposition(logits, pictures.view(b, labels, 3, h, w))


def coarse(pictures: Float[Tensor, "B N h w"], side: int) -> Float[Tensor, "B N h w"]:
    """Means over squares of `side` cells, bilinear between them; as they are where it is 1."""
    if side == 1:
        return pictures
    size = (pictures.shape[2], pictures.shape[3])
    fewer = (max(1, size[0] // side), max(1, size[1] // side))
    return onto(functional.adaptive_avg_pool2d(pictures, fewer), size)


def scratch_networks(width: int, labels: int, shared: bool, cell: int) -> Decomposer:
    """The paper's U-Net.

    Args:
        shared: one encoder for both.
        cell: pixels per cell of the image-lets.
    """
    encoders = [ScratchEncoder(width) for _ in range(1 if shared else 2)]
    decoders = [ScratchDecoder(width, labels), ScratchDecoder(width, 3 * labels)]
    return Decomposer(encoders, decoders, cell)


def pretrained_networks(
    backbone: Backbone, width: int, labels: int, shared: bool, cells: tuple[int, int]
) -> Decomposer:
    """Light decoders on a backbone's stages.

    Args:
        shared: one encoder for both.
        cells: pixels per cell of the mask-lets, and of the image-lets.
    """
    backbones = [backbone] if shared else [backbone, copy.deepcopy(backbone)]
    encoders = [PretrainedEncoder(each, cells[0]) for each in backbones]
    counts = encoders[0].channels
    decoders = [LightDecoder(counts, width, labels), LightDecoder(counts, width, 3 * labels)]
    return Decomposer(encoders, decoders, cells[1])
