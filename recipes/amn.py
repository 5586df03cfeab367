"""AMN on VOC, on COCO, and on a few hundred photographs."""

from __future__ import annotations

from pathlib import Path

from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment
from tag2mask.localize import LocalizeOptions
from tag2mask.methods.amn import AMNOptions
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.segment import SegmentOptions
from tag2mask.train import TrainOptions

VOC_IMAGES = 10_582  # train_aug: VOC and SBD
COCO_IMAGES = 82_081  # train2014 with at least one tag


def amn_voc(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012, ResNet-50 at stride 16, crop 512, 5 epochs of 16 (official code); not run here.

    The random walk by learnt affinities that follows in the paper is not in the pipeline.

    Args:
        root: VOCdevkit/VOC2012, with the SBD list `train_aug.txt` among its ImageSets.
    """
    data = DataOptions(root, format="voc", split="train_aug", test_split="val")
    return _paper(data, steps=5 * VOC_IMAGES // 16, weights=weights, seed=seed)


def amn_coco(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """COCO 2014 as `amn_voc`; not run here.

    Args:
        root: with `annotations/instances_{train,val}2014.json`, `train2014/` and `val2014/`.
    """
    data = DataOptions(root, format="coco", split="train2014", test_split="val2014")
    return _paper(data, steps=5 * COCO_IMAGES // 16, weights=weights, seed=seed)


def amn_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return Experiment(
        DataOptions(photos, tags=tags),
        method=AMNOptions(),
        size=224,
        train=TrainOptions(steps=150),
        network=TrainOptions(steps=250, zoom=(0.75, 1.5)),
        seed=seed,
    )


def _paper(data: DataOptions, steps: int, weights: str, seed: int) -> Experiment:
    return Experiment(
        data,
        method=AMNOptions(rate=5e-6, head=20.0, decay=1e-4),
        backbone=BackboneOptions("resnet50", weights, stride=16, frozen=8),
        size=512,
        train=TrainOptions(steps=steps, batch=16, zoom=(0.5, 1.5)),
        localize=LocalizeOptions(scales=(1.0, 0.5, 1.5, 2.0)),
        segment=SegmentOptions(
            architecture="deeplabv3plus", frozen=0, scales=(0.5, 0.75, 1.0, 1.25, 1.5)
        ),
        network=TrainOptions(steps=20_000, batch=10, zoom=(0.5, 1.5)),
        seed=seed,
        precision="bf16-mixed",
    )
