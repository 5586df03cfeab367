"""AMN on VOC, on COCO, and on a few hundred photographs."""

from __future__ import annotations

from pathlib import Path

from recipes.settings import COCO_IMAGES, VOC_IMAGES, as_irn, coco, small, voc
from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment
from tag2mask.methods.amn import AMNOptions
from tag2mask.train import TrainOptions


def amn_voc(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012, ResNet-50 at stride 16, crop 512, 5 epochs of 16 (official code); not run here.

    The random walk by learnt affinities that follows in the paper is `refine="irn"`, with the
    official values of `cam_irn_voc` and seeds at 0.45 and 0.15; it is left out here.

    Args:
        root: as `voc` takes it.
    """
    return _paper(voc(root), 5 * VOC_IMAGES // 16, weights, seed)


def amn_coco(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """COCO 2014 as `amn_voc`; not run here.

    Args:
        root: as `coco` takes it.
    """
    return _paper(coco(root), 5 * COCO_IMAGES // 16, weights, seed)


def amn_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return small(photos, tags, AMNOptions(), seed)


def _paper(data: DataOptions, steps: int, weights: str, seed: int) -> Experiment:
    train = TrainOptions(steps=steps, batch=16, zoom=(0.5, 1.5))
    return as_irn(data, AMNOptions(rate=5e-6, head=20.0, decay=1e-4), train, weights, seed)
