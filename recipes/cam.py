"""CAM on VOC, on COCO, and on a few hundred photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recipes.settings import COCO_IMAGES, VOC_IMAGES, as_irn, coco, small, voc
from tag2mask.affinity import IRNOptions, PSAOptions
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


def cam_irn_voc(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """`cam_voc` and IRN, 3 epochs of 32 crops of 512, all pairs within 10 cells; not run here.

    Differs from the official code: AdamW, and the blind level of the background instead of 0.25.
    """
    irn = IRNOptions(
        0.30, 0.05, directions=152, width=256, displacement=10.0, walk=256, off_edges=True
    )
    affinity = TrainOptions(steps=3 * VOC_IMAGES // 32, batch=32, zoom=(0.5, 1.5))
    return replace(cam_voc(root, weights, seed), refine="irn", irn=irn, affinity=affinity)


def cam_psa_voc(root: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """`cam_voc` and AffinityNet, 8 epochs of 8 crops, all pairs within 5 cells; not run here.

    Differs from the official code: crops of 512, not 448; a ResNet-50 that stays as it was.
    """
    psa = PSAOptions(0.28, 0.09, directions=34, width=256, walk=256)
    affinity = TrainOptions(steps=8 * VOC_IMAGES // 8, batch=8, zoom=(0.875, 1.5))
    return replace(cam_voc(root, weights, seed), refine="psa", psa=psa, affinity=affinity)


def cam_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return small(photos, tags, CAMOptions(), seed)


def _paper(data: DataOptions, steps: int, weights: str, seed: int) -> Experiment:
    train = TrainOptions(steps=steps, batch=16, zoom=(0.625, 1.25))
    return as_irn(data, CAMOptions(rate=1e-4), train, weights, seed)
