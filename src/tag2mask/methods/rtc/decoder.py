"""The segmentation branch: what comes last in near and far surroundings, then an early stage."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.nn.equivariance import onto
from tag2mask.nn.host import INITIAL

REACH: Final = 12 / 56  # dilation as a share of the grid's longer side: 12 of 56; official code
EARLY: Final = 48  # channels to which the early stage is brought; official code


class Dilated(nn.Conv2d):
    """A 3 × 3 convolution whose dilation follows the grid: max(1, round(12/56 · max(h, w))).

    On 10 cells a dilation of 12 would see padding alone.
    """

    def forward(self, features: Float[Tensor, "B D h w"]) -> Float[Tensor, "B E h w"]:
        """The grid stays as it is."""
        if torch.onnx.is_in_onnx_export():  # ONNX has the dilation as a constant
            return shifted(features, self.weight, self.bias)
        reach = max(1, round(REACH * max(features.shape[2:])))
        return functional.conv2d(features, self.weight, self.bias, padding=reach, dilation=reach)


def shifted(
    features: Float[Tensor, "B D h w"], weight: Float[Tensor, "E D 3 3"], bias: Tensor | None
) -> Float[Tensor, "B E h w"]:
    """The same as nine shifted copies and a 1 × 1 convolution, with the reach as a tensor.

    y_p = b + sum over u, v in {−1, 0, 1} of W_uv x_(p + reach · (u, v)),  zero outside
    """
    sides = [torch.as_tensor(side) for side in features.shape[2:]]
    longest = torch.maximum(sides[0], sides[1]).double()
    reach = (REACH * longest).round().clamp(min=1).long()
    copies = [
        _moved(_moved(features, 2, down * reach), 3, across * reach)
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
    ]
    flat = weight.permute(0, 2, 3, 1).flatten(1)[:, :, None, None]
    return functional.conv2d(torch.cat(copies, dim=1), flat, bias)


def _moved(features: Tensor, axis: int, by: Tensor) -> Float[Tensor, "B D h w"]:
    """What stands so many cells further along an axis; zero where that is outside."""
    count = features.shape[axis]
    places = torch.arange(count) + by
    inside = ((places >= 0) & (places < count)).to(features.dtype)
    taken = features.index_select(axis, places.clamp(min=0).minimum(torch.as_tensor(count - 1)))
    return taken * (inside[:, None] if axis == 2 else inside)


class Decoder(nn.Module):
    """Logits for every label on the grid of an early stage.

        r = max(0, W_r f),   a = W_2 ∗ W_1 ∗ r (dilated),   b = W_b ∗ r
        z = W_z [ up(W_m [a, b]), W_e ∗ f_early ],   logits = W_l max(0, z)

    W_1, W_2, W_b and W_e are 3 × 3, the others 1 × 1.

    Args:
        channels: of what comes last.
        early: channels of the early stage.
        labels: L.
        width: channels in between.
    """

    def __init__(self, channels: int, early: int, labels: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.far = nn.Sequential(*(Dilated(width, width, 3) for _ in range(2)))
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(2 * width, width, 1)
        self.early = nn.Conv2d(early, EARLY, 3, padding=1)
        self.join = nn.Conv2d(width + EARLY, width, 1)
        self.classifier = nn.Conv2d(width, labels, 1)
        nn.init.normal_(self.classifier.weight, std=INITIAL)

    def forward(
        self, features: Float[Tensor, "B D h w"], early: Float[Tensor, "B E _ _"]
    ) -> Float[Tensor, "B L _ _"]:
        """Logits on the grid of the early stage.

        Args:
            features: what comes last.
            early: of the early stage.
        """
        reduced = self.reduce(features).relu()
        mixed = self.mix(torch.cat([self.far(reduced), self.near(reduced)], dim=1))
        mixed = onto(mixed, (early.shape[2], early.shape[3]))
        joined = self.join(torch.cat([mixed, self.early(early)], dim=1))
        logits: Tensor = self.classifier(joined.relu())
        return logits
