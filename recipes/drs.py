"""DRS on VOC, on COCO, and on a few hundred photographs: CAM's recipes with peaks suppressed."""

from __future__ import annotations

from pathlib import Path

from recipes.settings import COCO_IMAGES, VOC_IMAGES, as_irn, coco, small, voc
from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment
from tag2mask.methods.drs import DRSOptions
from tag2mask.train import TrainOptions


def drs_voc(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012, ResNet-50 at stride 16, crop 512, 10 epochs of 6 (SSC's code); not run here.

    Args:
        root: as `voc` takes it.
    """
    return _paper(voc(root), 10 * VOC_IMAGES // 6, weights, seed)


def drs_coco(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """COCO 2014 as `drs_voc`; not run here.

    Args:
        root: as `coco` takes it.
    """
    return _paper(coco(root), 10 * COCO_IMAGES // 6, weights, seed)


def drs_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return small(photos, tags, DRSOptions(), seed)


def _paper(data: DataOptions, steps: int, weights: str, seed: int) -> Experiment:
    train = TrainOptions(steps=steps, batch=6, zoom=(0.625, 1.25))
    return as_irn(data, DRSOptions(rate=1e-4), train, weights, seed)
