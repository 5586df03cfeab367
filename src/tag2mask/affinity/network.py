"""What networks that learn affinities have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW, Optimizer

from tag2mask.affinity.options import AffinityOptions
from tag2mask.affinity.pairs import Step
from tag2mask.affinity.pyramid import Pyramid
from tag2mask.method import Trainable
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.walk import half_disc
from tag2mask.types import MaskBatch, Scalar, Size

SHARES: Final = (0.25, 0.25, 0.5)  # both backgrounds, both one class, different (PSA, IRN)
NAMES: Final = ("background pairs", "class pairs", "different pairs")


class AffinityNetwork(Trainable[MaskBatch]):
    """Heads on a frozen backbone; learns from seeds which near cells belong together.

    Attributes:
        cell: pixels of a cell.
    """

    Options: ClassVar[type[AffinityOptions]] = AffinityOptions
    cell: ClassVar[int]

    def __init__(self, options: AffinityOptions, backbone: Backbone) -> None:
        super().__init__()
        self.options = options
        self.pyramid = Pyramid(backbone)

    def drawn(self) -> list[Step]:
        """Steps between the pairs of one training step: a draw from the half disc, or all of it."""
        steps = half_disc(self.options.radius)
        if len(steps) <= self.options.directions:
            return list(steps)
        chosen = torch.randperm(len(steps))[: self.options.directions]
        return [steps[number] for number in chosen.tolist()]

    @abstractmethod
    def near(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B P h w"], Float[Tensor, "B h w"]]:
        """Affinities of the pairs that a walk takes, and what maps are multiplied by before it.

        Args:
            images: RGB on 0 … 255; H and W multiples of the backbone's cell.
        """

    def optimizers(self) -> Sequence[Optimizer]:
        """One AdamW over the heads."""
        heads = [p for p in self.parameters() if p.requires_grad]
        return [AdamW(heads, lr=self.options.rate, weight_decay=self.options.decay)]

    def grid(self, images: Float[Tensor, "B 3 H W"]) -> Size:
        """(h, w) of the cells."""
        height, width = (-(-extent // self.cell) for extent in images.shape[-2:])
        return height, width


def pair_terms(sums: Float[Tensor, "3"], counts: Float[Tensor, "3"]) -> dict[str, Scalar]:
    """The objective of the affinities: 1/4 background + 1/4 class + 1/2 different, means each."""
    means = sums / counts.clamp(min=1)
    return {
        name: share * mean for name, share, mean in zip(NAMES, SHARES, means.unbind(), strict=True)
    }


def exact(values: Tensor) -> Tensor:
    """Single precision or better."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
