"""An ordinary segmentation network from segmentation-models-pytorch, as a `Trainable`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import segmentation_models_pytorch as smp
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from tag2mask.errors import InputError
from tag2mask.method import Trainable
from tag2mask.nn.backbones import Backbone, BackboneOptions, freeze_up_to, undilate
from tag2mask.types import UNKNOWN, MaskBatch, Scalar

PREDICTING: Final = ("scales", "flip", "batch", "crf")  # options that no training depends on


@dataclass(frozen=True)
class SegmentOptions:
    """The network that the pseudo masks teach."""

    architecture: str = "deeplabv3plus"
    """Any architecture of segmentation-models-pytorch that takes a timm encoder."""
    rate: float = 1e-4
    """Learning rate of pretrained layers (measured, docs/journal.md)."""
    head: float = 10.0
    """New layers learn this many times faster (DeepLab)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""
    frozen: int = 8
    """Layers of the encoder up to this reduction keep their pretrained weights."""
    scales: tuple[float, ...] = (0.75, 1.0, 1.25)
    """Sizes to look at when predicting, in units of the size trained at."""
    flip: bool = True
    """Also predict the mirrored photograph (the field's standard)."""
    batch: int = 8
    """Photographs of one size at once when predicting."""
    crf: str = "none"
    """A dense CRF behind the probabilities when predicting, with settings the field knows by name:
    deeplab (DeepLabV2, SSC, EPS), irn (RTC: the decision alone), afa, seam-segment, …"""


class Segmenter(Trainable[MaskBatch]):
    """Logits for every label at every pixel; needs no tags.

    Raises:
        InputError: segmentation-models-pytorch cannot build this pair of names.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, options: SegmentOptions, backbone: BackboneOptions, labels: int) -> None:
        super().__init__()
        self.options = options
        trunk = Backbone(backbone)
        self.source = trunk.source
        self.register_buffer("mean", trunk.mean, persistent=False)
        self.register_buffer("deviation", trunk.deviation, persistent=False)
        try:
            self.network = smp.create_model(
                options.architecture,
                encoder_name=f"tu-{backbone.name}",
                encoder_weights=None,
                classes=labels,
            )
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"segmentation-models-pytorch cannot build {options.architecture} on "
                f"{backbone.name} ({reason}); choose another --segment.architecture or --backbone."
            ) from None
        undilate(self.network.encoder)
        hand_over(trunk.network, self.network.encoder.model)
        freeze_up_to(self.network.encoder.model, options.frozen)

    def train(self, mode: bool = True) -> Segmenter:
        """Train or evaluate; the encoder's BatchNorm keeps its pretrained statistics."""
        super().train(mode)
        for module in self.network.encoder.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L H W"]:
        """Logits.

        Args:
            images: RGB on 0 … 255; H and W multiples of 32.
        """
        logits: Tensor = self.network((images - self.mean) / self.deviation)
        return logits

    def losses(self, batch: MaskBatch, progress: float) -> dict[str, Scalar]:
        """Cross-entropy over the pixels that are decided; unknown ones count nothing."""
        logits = self(batch.images)
        decided = (batch.labels != UNKNOWN).sum().clamp(min=1)
        summed = functional.cross_entropy(
            logits.float(), batch.labels, ignore_index=UNKNOWN, reduction="sum"
        )
        return {"labels": summed / decided}

    def optimizers(self) -> Sequence[Optimizer]:
        """One AdamW, two groups: the encoder and everything new."""
        inside = {id(p) for p in self.network.encoder.parameters()}
        parameters = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if id(p) in inside], "lr": self.options.rate},
            {
                "params": [p for p in parameters if id(p) not in inside],
                "lr": self.options.rate * self.options.head,
            },
        ]
        return [AdamW([g for g in groups if g["params"]], weight_decay=self.options.decay)]


def hand_over(trunk: nn.Module, encoder: nn.Module) -> None:
    """Copy a backbone's weights into an encoder that is the same network cut into stages.

    timm numbers the same layers `layer1.0` in the one and `layer1_0` or `model.layer1.0` in the
    other; names are compared with underscores for dots and without such a prefix.

    Raises:
        InputError: a layer of the encoder has no counterpart.
    """
    given = {_plain(name): tensor for name, tensor in trunk.state_dict().items()}
    taken: dict[str, Tensor] = {}
    for name, tensor in encoder.state_dict().items():
        found = given.get(_plain(name))
        if found is None or found.shape != tensor.shape:
            raise InputError(
                f"The encoder's layer {name} has no counterpart in the backbone; this backbone "
                "cannot be the network's encoder. Choose another --backbone."
            )
        taken[name] = found
    with torch.no_grad():
        encoder.load_state_dict(taken)


def _plain(name: str) -> str:
    return name.removeprefix("model.").replace(".", "_")
