"""WideResNet-38, the field's backbone, under the name `wide_resnet38` among timm's.

Z. Wu, C. Shen, A. van den Hengel: Wider or Deeper: Revisiting the ResNet Model for Visual
Recognition, Pattern Recognition 2019; their model A1. PSA, SEAM, PPC, EPS, FBR and RTC stand on it.

Layers bear the names under which the field converted the published weights
(`ilsvrc-cls_rna-a1_cls1000_ep-0001`): conv1a · b2 b2_1 b2_2 · b3 … · b7 · bn7. Blocks normalise
before they convolve. Where a stage keeps its grid it is dilated, as in the field: at stride 8 the
blocks of b5 by 2, b6 and b7 by 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import timm
from jaxtyping import Float
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

NAME: Final = "wide_resnet38"
WIDTH: Final = 64  # channels of the first convolution
LEAST: Final = 8  # stride; b2, b3 and b4 always halve the grid
DROPOUT: Final = {"b6": 0.3, "b7": 0.5}  # of channels; the field's code
RECORD: Final = {
    "num_classes": 0,
    "classifier": "linear1000",  # as published; not part of the backbone
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "input_size": (3, 224, 224),
    "first_conv": "conv1a",
}


def dense(given: int, made: int, dilation: int = 1, stride: int = 1) -> nn.Conv2d:
    """A 3 × 3 convolution without bias that keeps the grid where its stride is 1."""
    return nn.Conv2d(given, made, 3, stride, dilation, dilation, bias=False)


class Block(nn.Module):
    """Two 3 × 3 convolutions beside the identity, or beside a 1 × 1 where the shape changes."""

    def __init__(
        self, given: int, middle: int, made: int, stride: int, dilations: tuple[int, int]
    ) -> None:
        super().__init__()
        self.bn_branch2a = BatchNormAct2d(given)
        self.conv_branch2a = dense(given, middle, dilations[0], stride)
        self.bn_branch2b1 = BatchNormAct2d(middle)
        self.conv_branch2b1 = dense(middle, made, dilations[1])
        self.conv_branch1: nn.Conv2d | None = None
        if given != made:
            self.conv_branch1 = nn.Conv2d(given, made, 1, stride, bias=False)

    def forward(self, features: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B _ _ _"]:
        """The sum of both ways, not rectified."""
        active = self.bn_branch2a(features)
        beside = features if self.conv_branch1 is None else self.conv_branch1(active)
        inner = self.bn_branch2b1(self.conv_branch2a(active))
        total: Tensor = beside + self.conv_branch2b1(inner)
        return total


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3, 1 × 1 beside a 1 × 1; whole channels drop out before the last two."""

    def __init__(self, given: int, made: int, stride: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.bn_branch2a = BatchNormAct2d(given)
        self.conv_branch2a = nn.Conv2d(given, made // 4, 1, stride, bias=False)
        self.bn_branch2b1 = BatchNormAct2d(made // 4)
        self.conv_branch2b1 = dense(made // 4, made // 2, dilation)
        self.bn_branch2b2 = BatchNormAct2d(made // 2)
        self.conv_branch2b2 = nn.Conv2d(made // 2, made, 1, bias=False)
        self.conv_branch1 = nn.Conv2d(given, made, 1, stride, bias=False)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B _ _ _"]:
        """The sum of both ways, not rectified."""
        active = self.bn_branch2a(features)
        inner = self.dropout(self.bn_branch2b1(self.conv_branch2a(active)))
        inner = self.dropout(self.bn_branch2b2(self.conv_branch2b1(inner)))
        total: Tensor = self.conv_branch1(active) + self.conv_branch2b2(inner)
        return total


class WideResNet38(nn.Module):
    """The network without its classifier; its parts run in the order in which they stand.

    `feature_info` has five stages, as timm's networks have. What a stage shows behind BatchNorm and
    ReLU, as the next one reads it, is named `shown` where that is another module (the field's conv3
    to conv5).

    Args:
        output_stride: 8, 16 or 32 pixels per cell; what lies between is rounded down.
        width: channels of the first convolution; all others are multiples.
    """

    def __init__(
        self,
        num_classes: int = 0,
        in_chans: int = 3,
        global_pool: str = "",
        output_stride: int = 32,
        width: int = WIDTH,
    ) -> None:
        super().__init__()
        if num_classes or global_pool:
            raise TypeError(f"{NAME} has neither classifier nor pooling.")
        w = width
        self.num_classes, self.num_features = num_classes, 64 * w
        five, six = strides(output_stride)
        self.conv1a = dense(in_chans, w)
        self._stage("b2", 3, (w, 2 * w, 2 * w), 2)
        self._stage("b3", 3, (2 * w, 4 * w, 4 * w), 2)
        self._stage("b4", 6, (4 * w, 8 * w, 8 * w), 2)
        once = 1 if five == 2 else 2
        self._stage("b5", 3, (8 * w, 8 * w, 16 * w), five, once)
        twice = once if six == 2 else 2 * once
        self.b6 = Bottleneck(16 * w, 32 * w, six, twice, DROPOUT["b6"])
        self.b7 = Bottleneck(32 * w, 64 * w, 1, twice, DROPOUT["b7"])
        self.bn7 = BatchNormAct2d(64 * w)
        cells = (2, 4, LEAST, LEAST * five, LEAST * five * six)
        names = ("b2_2", "b3_2", "b4_5", "b5_2", "bn7")
        shown = ("b3", "b4", "b5", "b6")
        channels = (2 * w, 4 * w, 8 * w, 16 * w, 64 * w)
        self.feature_info: list[dict[str, Any]] = [
            {"num_chs": count, "reduction": cell, "module": name}
            for count, cell, name in zip(channels, cells, names, strict=True)
        ]
        for stage, following in zip(self.feature_info, shown, strict=False):
            stage["shown"] = f"{following}.bn_branch2a"
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _stage(
        self, name: str, blocks: int, widths: tuple[int, int, int], stride: int, dilation: int = 1
    ) -> None:
        """Blocks NAME, NAME_1, …; the first one's first convolution is dense."""
        given, middle, made = widths
        self.add_module(name, Block(given, middle, made, stride, (1, dilation)))
        for turn in range(1, blocks):
            self.add_module(f"{name}_{turn}", Block(made, middle, made, 1, (dilation, dilation)))

    def forward_features(self, images: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B D h w"]:
        """Rectified features of every cell."""
        features = images
        for part in self.children():
            features = part(features)
        return features

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B D h w"]:
        """The same: there is nothing behind."""
        return self.forward_features(images)

    def forward_intermediates(
        self,
        images: Float[Tensor, "B _ H W"],
        indices: Sequence[int],
        stop_early: bool = False,
        intermediates_only: bool = False,
    ) -> Any:
        """What the stages of these numbers put out, as timm's networks tell it."""
        wanted = [self.feature_info[number]["module"] for number in indices]
        found, features = [], images
        for name, part in self.named_children():
            features = part(features)
            if name in wanted:
                found.append(features)
            if stop_early and len(found) == len(wanted):
                break
        return found if intermediates_only else (features, found)


def strides(output_stride: int) -> tuple[int, int]:
    """Of b5 and b6: 2 as long as the cells stay within the stride."""
    five = 2 if output_stride >= 2 * LEAST else 1
    return five, 2 if output_stride >= 4 * LEAST else 1


def wide_resnet38(pretrained: bool = False, **options: Any) -> Any:
    """WideResNet-38 as timm builds it; weights come from a file."""
    return timm.models.build_model_with_cfg(WideResNet38, NAME, pretrained, **options)


default_cfgs = timm.models.generate_default_cfgs({NAME: RECORD})  # timm looks for this name
timm.models.register_model(wide_resnet38)
