"""RTC on VOC, on a few hundred photographs, and without its parts one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment
from tag2mask.localize import LocalizeOptions
from tag2mask.methods.rtc import RTCOptions
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.segment import SegmentOptions
from tag2mask.train import TrainOptions

VOC_IMAGES = 10_582  # train_aug: VOC and SBD


def rtc_voc(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012, crop 448 of long sides 448 to 768, 25 epochs of 8 (official code); not run here.

    ResNet-50 at stride 8 stands for WideResNet-38, which timm does not have; its maps have the
    paper's 56 × 56 cells, and the second view 16 × 16.

    Args:
        root: VOCdevkit/VOC2012, with the SBD list `train_aug.txt` among its ImageSets.
    """
    return Experiment(
        DataOptions(root, format="voc", split="train_aug", test_split="val"),
        method=RTCOptions(scale=128 / 448, cell=2, width=256, rate=1e-4),
        backbone=BackboneOptions("resnet50", weights, stride=8, frozen=4),
        size=448,
        train=TrainOptions(steps=25 * VOC_IMAGES // 8, batch=8, zoom=(1.0, 768 / 448)),
        localize=LocalizeOptions(scales=(0.5, 1.0, 1.5, 2.0)),
        segment=SegmentOptions(architecture="deeplabv3plus", frozen=0, scales=(0.5, 1.0, 1.5, 2.0)),
        network=TrainOptions(steps=20_000, batch=10, zoom=(0.5, 1.5)),
        seed=seed,
        precision="bf16-mixed",
    )


def rtc_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return Experiment(
        DataOptions(photos, tags=tags),
        method=RTCOptions(),
        size=224,
        train=TrainOptions(steps=300),
        network=TrainOptions(steps=250, zoom=(0.75, 1.5)),
        seed=seed,
    )


def rtc_ablation(photos: Path, tags: Path, seed: int = 0) -> list[Experiment]:
    """RTC whole, and without each of its three parts: all else as `rtc_small`."""
    whole = RTCOptions()
    methods = {
        "rtc": whole,
        "rtc, shallow alone": replace(whole, representations="shallow"),
        "rtc, deep alone": replace(whole, representations="deep"),
        "rtc without contrast": replace(whole, contrast=0.0),
        "rtc without compensator": replace(whole, compensation=0.0),
    }
    small = rtc_small(photos, tags, seed)
    return [replace(small, method=method, name=name) for name, method in methods.items()]
