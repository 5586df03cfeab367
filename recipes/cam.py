"""CAM on VOC, on COCO, and on a few hundred photographs."""

from __future__ import annotations

from pathlib import Path

from recipes.settings import COCO_IMAGES, VOC_IMAGES, as_irn, coco, small, voc
from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment
from tag2mask.methods.cam import CAMOptions
from tag2mask.train import TrainOptions


def cam_voc(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012, ResNet-50 at stride 16, crop 512, 5 epochs of 16 (IRN); not run here.

    Args:
        root: as `voc` takes it.
    """
    return _paper(voc(root), 5 * VOC_IMAGES // 16, weights, seed)


def cam_coco(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """COCO 2014 as `cam_voc`; not run here.

    Args:
        root: as `coco` takes it.
    """
    return _paper(coco(root), 5 * COCO_IMAGES // 16, weights, seed)


def cam_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return small(photos, tags, CAMOptions(), seed)


def _paper(data: DataOptions, steps: int, weights: str, seed: int) -> Experiment:
    train = TrainOptions(steps=steps, batch=16, zoom=(0.625, 1.25))
    return as_irn(data, CAMOptions(rate=1e-4), train, weights, seed)
