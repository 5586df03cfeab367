"""FBR on VOC, on COCO, and on a few hundred photographs; each term left out, and each host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment, MethodOptions
from tag2mask.localize import LocalizeOptions
from tag2mask.methods.amn import AMNOptions
from tag2mask.methods.cam import CAMOptions
from tag2mask.methods.drs import DRSOptions
from tag2mask.methods.fbr import FBROptions
from tag2mask.methods.ppc import PPCOptions
from tag2mask.methods.seam import SEAMOptions
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.segment import SegmentOptions
from tag2mask.train import TrainOptions

VOC_STEPS = 20_000  # 10,000 rounds of two steps, official code
COCO_IMAGES = 82_081  # train2014 with at least one tag


def fbr_voc(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012 on PPC, crop 448 of long sides 448 to 768, batch 8 (official code); not run here.

    ResNet-50 at stride 8 stands for WideResNet-38, and there is no saliency.

    Args:
        root: VOCdevkit/VOC2012, with the SBD list `train_aug.txt` among its ImageSets.
    """
    data = DataOptions(root, format="voc", split="train_aug", test_split="val")
    return _paper(data, VOC_STEPS, weights, seed)


def fbr_voc_amn(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012 on AMN, ResNet-50 at stride 16, crop 512, 5 epochs of 16 (official code); not run.

    Args:
        root: VOCdevkit/VOC2012, with the SBD list `train_aug.txt` among its ImageSets.
    """
    data = DataOptions(root, format="voc", split="train_aug", test_split="val")
    return _paper_amn(data, weights, seed)


def fbr_coco_amn(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """COCO 2014 as `fbr_voc_amn`; the paper's settings are not known, and not run here.

    Args:
        root: with `annotations/instances_{train,val}2014.json`, `train2014/` and `val2014/`.
    """
    data = DataOptions(root, format="coco", split="train2014", test_split="val2014")
    return _paper_amn(data, weights, seed)


def fbr_coco(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """COCO 2014 as `fbr_voc`, 15 epochs; the paper's settings are not known, and not run here.

    Args:
        root: with `annotations/instances_{train,val}2014.json`, `train2014/` and `val2014/`.
    """
    data = DataOptions(root, format="coco", split="train2014", test_split="val2014")
    return _paper(data, 15 * COCO_IMAGES // 8, weights, seed)


def fbr_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return Experiment(
        DataOptions(photos, tags=tags),
        method=FBROptions(),
        size=224,
        train=TrainOptions(steps=150),
        network=TrainOptions(steps=250, zoom=(0.75, 1.5)),
        seed=seed,
    )


def fbr_ablation(photos: Path, tags: Path, seed: int = 0) -> list[Experiment]:
    """The host, all of FBR, and FBR without each of its parts: all else as `fbr_small`."""
    whole = FBROptions()
    methods: dict[str, MethodOptions] = {
        "cam": CAMOptions(),
        "fbr": whole,
        "fbr, thresholded pooling": replace(whole, threshold=0.1),
        "fbr, no background contrast": replace(whole, against_background=0.0),
        "fbr, no contrast among classes": replace(whole, among_classes=0.0),
        "fbr, no segmentation": replace(whole, segmentation=0.0),
        "fbr, no similarity": replace(whole, similarity=0.0),
        "fbr, one cluster": replace(whole, clusters=1),
    }
    return _named(fbr_small(photos, tags, seed), methods)


def fbr_hosts(photos: Path, tags: Path, seed: int = 0) -> list[Experiment]:
    """Every host alone and with FBR: all else as `fbr_small`."""
    methods: dict[str, MethodOptions] = {
        "cam": CAMOptions(),
        "cam+fbr": FBROptions(host="cam"),
        "drs": DRSOptions(),
        "drs+fbr": FBROptions(host="drs"),
        "seam": SEAMOptions(),
        "seam+fbr": FBROptions(host="seam"),
        "ppc": PPCOptions(),
        "ppc+fbr": FBROptions(host="ppc"),
        "amn": AMNOptions(),
        "amn+fbr": _on_amn(rate=AMNOptions().rate),
    }
    return _named(fbr_small(photos, tags, seed), methods)


def _named(small: Experiment, methods: dict[str, MethodOptions]) -> list[Experiment]:
    return [replace(small, method=method, name=name) for name, method in methods.items()]


def _on_amn(rate: float) -> FBROptions:
    """The numbers of the official code's variant on AMN, which has no segmentation."""
    return FBROptions(
        host="amn", segmentation=0.0, sure=0.4, clear=0.25, capacity=100_000, rate=rate
    )


def _paper(data: DataOptions, steps: int, weights: str, seed: int) -> Experiment:
    return Experiment(
        data,
        method=FBROptions(host="ppc", threshold=0.1, against_background=0.01, rate=1e-4),
        backbone=BackboneOptions("resnet50", weights, stride=8, frozen=4),
        size=448,
        train=TrainOptions(steps=steps, batch=8, zoom=(1.0, 768 / 448)),
        localize=LocalizeOptions(scales=(0.5, 1.0, 1.5, 2.0)),
        segment=SegmentOptions(
            architecture="deeplabv3plus", frozen=0, scales=(0.5, 0.75, 1.0, 1.25, 1.5)
        ),
        network=TrainOptions(steps=20_000, batch=10, zoom=(0.5, 1.5)),
        seed=seed,
        precision="bf16-mixed",
    )


def _paper_amn(data: DataOptions, weights: str, seed: int) -> Experiment:
    return replace(
        _paper(data, VOC_STEPS, weights, seed),
        method=replace(_on_amn(rate=5e-6), head=20.0, decay=1e-4),
        backbone=BackboneOptions("resnet50", weights, stride=16, frozen=8),
        size=512,
        train=TrainOptions(epochs=5, batch=16, zoom=(0.5, 1.5)),
        localize=LocalizeOptions(scales=(1.0, 0.5, 1.5, 2.0)),
    )
