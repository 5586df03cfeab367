"""What recipes share: the data as distributed, the field's two settings, and a small one.

Recipes are functions that return an `Experiment`, from the root of the repository:

    from recipes.seam import seam_voc
    tag2mask.pipeline.fit(seam_voc(Path("VOCdevkit/VOC2012")), Path("runs/seam"))
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment, MethodOptions
from tag2mask.localize import LocalizeOptions
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.segment import SegmentOptions
from tag2mask.train import TrainOptions

VOC_IMAGES = 10_582  # train_aug: VOC and SBD
COCO_IMAGES = 82_081  # train2014 with at least one tag

Wide = Literal["resnet50", "wide_resnet38"]


def voc(root: Path, saliency: Path | None = None) -> DataOptions:
    """VOC 2012: trained on `train_aug`, held out is `val`.

    Args:
        root: VOCdevkit/VOC2012, with the SBD list `train_aug.txt` among its ImageSets.
        saliency: folder of grey PNG files, or a model; for methods that learn from it.
    """
    return DataOptions(root, format="voc", split="train_aug", test_split="val", saliency=saliency)


def coco(root: Path, saliency: Path | None = None) -> DataOptions:
    """COCO 2014.

    Args:
        root: with `annotations/instances_{train,val}2014.json`, `train2014/` and `val2014/`.
        saliency: folder of grey PNG files, or a model; for methods that learn from it.
    """
    return DataOptions(
        root, format="coco", split="train2014", test_split="val2014", saliency=saliency
    )


def as_irn(
    data: DataOptions, method: MethodOptions, train: TrainOptions, weights: str, seed: int
) -> Experiment:
    """The setting of IRN's classifier: ResNet-50 at stride 16, crop 512."""
    return _paper(
        data,
        method,
        BackboneOptions("resnet50", weights, stride=16, frozen=8),
        512,
        train,
        LocalizeOptions(scales=(1.0, 0.5, 1.5, 2.0)),
        seed,
    )


def as_seam(
    data: DataOptions, method: MethodOptions, steps: int, weights: str, seed: int, backbone: Wide
) -> Experiment:
    """The setting of SEAM's classifier: stride 8, crop 448 of long sides 448 to 768, batches of 8.

    Args:
        backbone: the papers' WideResNet-38, whose weights are a file, or ResNet-50; both have the
            papers' 56 × 56 cells.
    """
    frozen = 2 if backbone == "wide_resnet38" else 4
    return _paper(
        data,
        method,
        BackboneOptions(backbone, weights, stride=8, frozen=frozen),
        448,
        TrainOptions(steps=steps, batch=8, zoom=(1.0, 768 / 448)),
        LocalizeOptions(scales=(0.5, 1.0, 1.5, 2.0)),
        seed,
    )


def small(
    photos: Path,
    tags: Path,
    method: MethodOptions,
    seed: int,
    steps: int = 150,
    saliency: Path | None = None,
) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return Experiment(
        DataOptions(photos, tags=tags, saliency=saliency),
        method=method,
        size=224,
        train=TrainOptions(steps=steps),
        network=TrainOptions(steps=250, zoom=(0.75, 1.5)),
        seed=seed,
    )


def _paper(
    data: DataOptions,
    method: MethodOptions,
    backbone: BackboneOptions,
    size: int,
    train: TrainOptions,
    localize: LocalizeOptions,
    seed: int,
) -> Experiment:
    return Experiment(
        data,
        method=method,
        backbone=backbone,
        size=size,
        train=train,
        localize=localize,
        segment=SegmentOptions(
            architecture="deeplabv3plus",
            frozen=0,
            scales=(0.5, 0.75, 1.0, 1.25, 1.5),
            crf="deeplab",
        ),
        network=TrainOptions(steps=20_000, batch=10, zoom=(0.5, 1.5)),
        seed=seed,
        precision="bf16-mixed",
    )
