"""Mask R-CNN from torchvision, as a `Trainable`, on any timm backbone that sees several scales.

K. He, G. Gkioxari, P. Dollár, R. Girshick. Mask R-CNN. ICCV 2017; with T.-Y. Lin and others.
Feature Pyramid Networks for Object Detection. CVPR 2017. With `--backbone resnet50` and a width of
256 it is torchvision's `maskrcnn_resnet50_fpn`, save what is said below.

Differs from torchvision's: anchors are a sixteenth of the photograph to all of it (there 32 to 512
of 800 pixels); fewer regions are proposed and learned from; AdamW.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import timm
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork, masks_to_boxes
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.transforms.v2 import functional as pictures

from tag2mask.errors import InputError
from tag2mask.method import Trainable
from tag2mask.nn.backbones import Backbone, BackboneOptions, freeze_up_to, undilate
from tag2mask.nn.runs import pack
from tag2mask.segment.network import hand_over
from tag2mask.types import UNKNOWN, InstanceBatch, Instances, Scalar

LEVELS: Final = 4  # of a backbone, those of cells of 4 pixels and more
FIRST: Final = 4  # pixels of a cell of the first
POOLED: Final = 7  # cells of a region (Mask R-CNN)
ASPECTS: Final = (0.5, 1.0, 2.0)  # torchvision
LEAST: Final = 16  # pixels; what a crop leaves of an object may be less, and is no object
PROPOSED: Final = 256  # regions of a photograph; torchvision proposes 2000 in training, 1000 after
LEARNED: Final = 128  # regions of a photograph that are learned from; torchvision 512
SURE: Final = 0.5  # that a pixel is the object's


@dataclass(frozen=True)
class DetectorOptions:
    """The instance network that instances of the pseudo masks teach."""

    width: int = 128
    """Channels of the pyramid and of the heads (Mask R-CNN: 256)."""
    rate: float = 1e-4
    """Learning rate of pretrained layers."""
    head: float = 10.0
    """New layers learn this many times faster."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""
    frozen: int = 8
    """Layers of the backbone up to this reduction keep their pretrained weights."""


class Levels(nn.Module):
    """A backbone's features at several scales, brought to one width by a feature pyramid.

    Raises:
        InputError: a backbone with one scale.
    """

    def __init__(self, trunk: Backbone, options: BackboneOptions, width: int) -> None:
        super().__init__()
        self.out_channels = width
        try:
            self.encoder = timm.create_model(options.name, features_only=True)
            scales: list[int] = self.encoder.feature_info.reduction()
        except (RuntimeError, AttributeError, AssertionError, TypeError):
            scales = []
        self.places = [n for n, scale in enumerate(scales) if scale >= FIRST][:LEVELS]
        if len({scales[n] for n in self.places}) < 2:
            raise InputError(
                f"The instance network needs features at several scales, and {options.name} has "
                "them at one; choose another --backbone, or leave --instances out."
            )
        undilate(self.encoder)
        hand_over(trunk.network, self.encoder)
        channels: list[int] = self.encoder.feature_info.channels()
        given = [channels[n] for n in self.places]
        self.pyramid = FeaturePyramidNetwork(given, width, LastLevelMaxPool())

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> dict[str, Tensor]:
        """Features by the name of their level."""
        every = self.encoder(images)
        seen = {str(level): every[n] for level, n in enumerate(self.places)}
        levels: dict[str, Tensor] = self.pyramid(seen)
        return levels


class Detector(Trainable[InstanceBatch]):
    """Boxes, classes and masks of objects; needs no tags.

    Args:
        classes: C.
        side: pixels of the square trained on; photographs are brought to it.

    Raises:
        InputError: a backbone with one scale.
    """

    def __init__(
        self, options: DetectorOptions, backbone: BackboneOptions, classes: int, side: int
    ) -> None:
        super().__init__()
        self.options, self.side = options, side
        trunk = Backbone(backbone)
        levels = Levels(trunk, backbone, options.width)
        freeze_up_to(levels.encoder, options.frozen)
        width, labels = options.width, classes + 1
        sizes = [side // 16 * 2**n for n in range(len(levels.places) + 1)]
        self.network = MaskRCNN(
            levels,
            min_size=side,
            max_size=side,
            image_mean=trunk.mean.flatten().tolist(),
            image_std=trunk.deviation.flatten().tolist(),
            rpn_anchor_generator=AnchorGenerator([(s,) for s in sizes], [ASPECTS] * len(sizes)),
            rpn_pre_nms_top_n_train=2 * PROPOSED,
            rpn_pre_nms_top_n_test=2 * PROPOSED,
            rpn_post_nms_top_n_train=PROPOSED,
            rpn_post_nms_top_n_test=PROPOSED,
            box_batch_size_per_image=LEARNED,
            box_head=TwoMLPHead(width * POOLED**2, 4 * width),
            box_predictor=FastRCNNPredictor(4 * width, labels),
            mask_head=MaskRCNNHeads(width, (width,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(width, width, labels),
        )

    def train(self, mode: bool = True) -> Detector:
        """Train or evaluate; the backbone's BatchNorm keeps its pretrained statistics."""
        super().train(mode)
        for module in self.network.backbone.encoder.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def losses(self, batch: InstanceBatch, progress: float) -> dict[str, Scalar]:
        """Mask R-CNN's five terms, of weight 1 each."""
        told = [targets(*pair) for pair in zip(batch.numbers, batch.classes, strict=True)]
        terms: dict[str, Scalar] = self.network(list(batch.images), told)
        return {name.removeprefix("loss_").replace("_", " "): x for name, x in terms.items()}

    def optimizers(self) -> Sequence[Optimizer]:
        """One AdamW, two groups: the backbone and everything new."""
        inside = {id(p) for p in self.network.backbone.encoder.parameters()}
        learned = [p for p in self.parameters() if p.requires_grad]
        old = [p for p in learned if id(p) in inside]
        new = [p for p in learned if id(p) not in inside]
        rate = self.options.rate
        groups = [{"params": old, "lr": rate}, {"params": new, "lr": rate * self.options.head}]
        return [AdamW([g for g in groups if g["params"]], weight_decay=self.options.decay)]


def targets(numbers: Int64[Tensor, "H W"], classes: Int64[Tensor, "n"]) -> dict[str, Tensor]:
    """Boxes, labels and masks of the objects of a photograph, as torchvision takes them.

    Args:
        numbers: the object of every pixel, 1 … n; 0 is none, 255 unknown.
        classes: label of each.
    """
    found, areas = torch.unique(numbers, return_counts=True)
    found = found[(found != 0) & (found != UNKNOWN) & (areas >= LEAST)]
    masks = numbers == found[:, None, None]
    boxes = masks_to_boxes(masks) + masks.new_tensor([0, 0, 1, 1], dtype=torch.float32)
    return {"boxes": boxes, "labels": classes[found - 1], "masks": masks.to(torch.uint8)}


def detect(
    detector: Detector,
    ids: Sequence[str],
    images: Sequence[UInt8[Tensor, "3 _ _"]],
    device: torch.device,
) -> list[Instances]:
    """The objects of photographs, the surest first; what has no pixel is left out."""
    views = [_shrunk(image, detector.side).float().to(device) for image in images]
    found = detector.eval().network(views)
    return [
        _outlined(photo, image, one) for photo, image, one in zip(ids, images, found, strict=True)
    ]


def _shrunk(image: UInt8[Tensor, "3 H W"], side: int) -> UInt8[Tensor, "3 h w"]:
    """A photograph no larger than the network looks at it; masks of it take less memory."""
    factor = side / max(image.shape[1:])
    if factor >= 1:
        return image
    size = [max(1, round(extent * factor)) for extent in image.shape[1:]]
    small: Tensor = pictures.resize(image, size, antialias=True)
    return small


def _outlined(photo: str, image: UInt8[Tensor, "3 H W"], one: dict[str, Tensor]) -> Instances:
    """What the network found as a record, every mask brought to the photograph's size."""
    size = (image.shape[1], image.shape[2])
    runs, kept = [], []
    for number, chances in enumerate(one["masks"].float()):
        wide = functional.interpolate(chances[None], size, mode="bilinear")[0, 0]
        mask = (wide > SURE).cpu().numpy()
        if mask.any():
            runs.append(pack(mask))
            kept.append(number)
    classes, scores = one["labels"][kept].cpu(), one["scores"][kept].cpu().double()
    return Instances(photo, classes, tuple(runs), scores, size)
