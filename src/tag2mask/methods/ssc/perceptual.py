"""How alike two photographs look to a network that knows ImageNet.

    J. Johnson, A. Alahi, L. Fei-Fei. Perceptual Losses for Real-Time Style Transfer and
    Super-Resolution. ECCV 2016.

The network is frozen for good: its weights are buffers that no state dict holds, no optimizer owns
and no gradient reaches.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import vgg19

from tag2mask.errors import InputError
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.host import stages
from tag2mask.nn.weights import file_weights

VGG_TAPS: Final = (1, 6, 11, 20, 29)  # relu1_1 … relu5_1, official code
WEIGHTS: Final = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # official code; the last count most
MEAN: Final = (123.675, 116.28, 103.53)  # ImageNet, RGB on 0 … 255
DEVIATION: Final = (58.395, 57.12, 57.375)


class Perceptual(nn.Module, ABC):
    """A frozen network and the places where it is read."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.network = as_buffers(network)
        self.register_buffer("mean", mean.clone(), persistent=False)
        self.register_buffer("deviation", deviation.clone(), persistent=False)

    def train(self, mode: bool = True) -> Perceptual:
        """Nothing in it ever trains."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(
        self, made: Float[Tensor, "B 3 H W"], given: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, ""]:
        """L_p = sum_i w_i · mean |φ_i(made) − φ_i(given)|; the gradient runs through `made`.

        Args:
            made: RGB on 0 … 255.
            given: RGB on 0 … 255.
        """
        with torch.no_grad():
            wanted = self.taps((given - self.mean) / self.deviation)
        found = self.taps((made - self.mean) / self.deviation)
        pairs = zip(WEIGHTS[-len(found) :], found, wanted, strict=True)
        return torch.stack([w * (a - b).abs().mean() for w, a, b in pairs]).sum()

    @abstractmethod
    def taps(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """Features, shallow ones first; images are normalised."""


class VGGTaps(Perceptual):
    """VGG-19, read where the paper's code reads it."""

    def __init__(self, network: nn.Sequential) -> None:
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        super().__init__(network[: VGG_TAPS[-1] + 1], mean, deviation)

    def taps(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """After the rectified first convolution of each of the five blocks."""
        found, features = [], images
        for number, layer in enumerate(self.network.children()):
            features = layer(features)
            if number in VGG_TAPS:
                found.append(features)
        return found


class StageTaps(Perceptual):
    """The first stages of a backbone as pretrained, one for each reduction up to 16."""

    def __init__(self, backbone: Backbone) -> None:
        network: Any = copy.deepcopy(backbone.network)
        if not hasattr(network, "forward_intermediates"):
            raise InputError(
                f"{type(network).__name__} does not show its stages, so it cannot say how alike "
                "photographs look; give VGG-19's weights with --ssc.vgg FILE."
            )
        super().__init__(network, backbone.mean, backbone.deviation)
        first: dict[int, int] = {}
        for number, entry in enumerate(stages(network)):
            first.setdefault(entry["reduction"], number)
        self.places = [n for reduction, n in sorted(first.items()) if reduction <= 16]

    def taps(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The outputs of the stages; the rest of the network does not run."""
        network: Any = self.network
        found: list[Tensor] = network.forward_intermediates(
            images, indices=self.places, stop_early=True, intermediates_only=True
        )
        return found


def perceptual_network(backbone: Backbone, vgg: Path | None) -> Perceptual:
    """VGG-19 where its weights are given, else the backbone's own stages.

    Raises:
        InputError: the file does not hold torchvision's VGG-19.
    """
    if vgg is None:
        return StageTaps(backbone)
    network = vgg19(weights=None).features
    tensors = file_weights(vgg, ()).tensors
    prefix = "features."
    inner = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    try:
        network.load_state_dict(inner)
    except RuntimeError:
        raise InputError(
            f"--ssc.vgg {vgg} does not hold VGG-19; expected torchvision's vgg19 "
            "(features.0.weight … features.34.bias)."
        ) from None
    for layer in network:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # what was read must stay as it was
    return VGGTaps(network)


def as_buffers(network: nn.Module) -> nn.Module:
    """The same network with weights that are buffers outside of the state dict."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.track_running_stats = False  # else loading asks for a count that is not saved
            module.num_batches_tracked = None
        buffers = dict(module.named_buffers(recurse=False))
        for name, parameter in [*module.named_parameters(recurse=False)]:
            delattr(module, name)
            buffers[name] = parameter.detach()
        for name, tensor in buffers.items():
            module.register_buffer(name, tensor, persistent=False)
    return network.eval()
