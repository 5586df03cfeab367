"""SSC on VOC, on COCO, and on a few hundred photographs; the ablation that the paper draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment, MethodOptions
from tag2mask.localize import LocalizeOptions
from tag2mask.methods.cam import CAMOptions
from tag2mask.methods.drs import DRSOptions
from tag2mask.methods.ssc import SSCOptions
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.segment import SegmentOptions
from tag2mask.train import TrainOptions

VOC_IMAGES = 10_582  # train_aug: VOC and SBD
COCO_IMAGES = 82_081  # train2014 with at least one tag


def ssc_voc(root: Path, vgg: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012, ResNet-50 at stride 16, crop 512, 10 epochs of 6 (official code); not run here.

    Args:
        root: VOCdevkit/VOC2012, with the SBD list `train_aug.txt` among its ImageSets.
        vgg: torchvision's VGG-19.
    """
    data = DataOptions(root, format="voc", split="train_aug", test_split="val")
    return _paper(data, 10 * VOC_IMAGES // 6, vgg, weights, seed)


def ssc_voc_official(root: Path, vgg: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """`ssc_voc`, as the released code compares the drawing, and divides the maps."""
    experiment = ssc_voc(root, vgg, weights, seed)
    return replace(experiment, method=replace(experiment.method, span="normalised", still=False))


def ssc_coco(root: Path, vgg: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """COCO 2014 as `ssc_voc`; not run here.

    Args:
        root: with `annotations/instances_{train,val}2014.json`, `train2014/` and `val2014/`.
        vgg: torchvision's VGG-19.
    """
    data = DataOptions(root, format="coco", split="train2014", test_split="val2014")
    return _paper(data, 10 * COCO_IMAGES // 6, vgg, weights, seed)


def ssc_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return Experiment(
        DataOptions(photos, tags=tags),
        method=SSCOptions(),
        size=224,
        train=TrainOptions(steps=300),
        network=TrainOptions(steps=250, zoom=(0.75, 1.5)),
        seed=seed,
    )


def ssc_ablation(photos: Path, tags: Path, seed: int = 0) -> list[Experiment]:
    """CAM, DRS, DRS with reconstruction, and with self-modulation too: all else as `ssc_small`."""
    methods: dict[str, MethodOptions] = {
        "cam": CAMOptions(),
        "drs": DRSOptions(),
        "drs+cdr": SSCOptions(modulation=0.0),
        "drs+cdr+asm": SSCOptions(),
    }
    small = ssc_small(photos, tags, seed)
    return [replace(small, method=method, name=name) for name, method in methods.items()]


def _paper(data: DataOptions, steps: int, vgg: Path, weights: str, seed: int) -> Experiment:
    return Experiment(
        data,
        method=SSCOptions(
            reconstruction=1.0,
            modulation=1.0,
            drawn=1.0,
            warmup=0.2,
            width=256,
            rate=1e-4,
            vgg=vgg,
        ),
        backbone=BackboneOptions("resnet50", weights, stride=16, frozen=8),
        size=512,
        train=TrainOptions(steps=steps, batch=6, zoom=(0.625, 1.25)),
        localize=LocalizeOptions(scales=(1.0, 0.5, 1.5, 2.0)),
        segment=SegmentOptions(
            architecture="deeplabv3plus", frozen=0, scales=(0.5, 0.75, 1.0, 1.25, 1.5)
        ),
        network=TrainOptions(steps=20_000, batch=10, zoom=(0.5, 1.5)),
        seed=seed,
        precision="bf16-mixed",
    )
