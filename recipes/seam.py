"""SEAM on VOC, on COCO, and on a few hundred photographs."""

from __future__ import annotations

from pathlib import Path

from recipes.settings import COCO_IMAGES, VOC_IMAGES, Wide, as_seam, coco, small, voc
from tag2mask.experiment import Experiment
from tag2mask.methods.seam import SEAMOptions

PAPER = SEAMOptions(scale=0.3, rate=1e-4)
EPOCHS = 8  # official code


def seam_voc(
    root: Path, weights: str = "hub", seed: int = 0, backbone: Wide = "resnet50"
) -> Experiment:
    """VOC 2012, crop 448 of long sides 448 to 768, 8 epochs of 8 (official code); not run here.

    The random walk that follows in the paper is `refine="psa"`, with the official values of
    `cam_psa_voc` and a walk of 64; it is left out here.

    Args:
        root: as `voc` takes it.
        backbone: the paper's is wide_resnet38, whose weights are a file.
    """
    return as_seam(voc(root), PAPER, EPOCHS * VOC_IMAGES // 8, weights, seed, backbone)


def seam_coco(
    root: Path, weights: str = "hub", seed: int = 0, backbone: Wide = "resnet50"
) -> Experiment:
    """COCO 2014 as `seam_voc`; the paper has none, and not run here.

    Args:
        root: as `coco` takes it.
        backbone: as `seam_voc`.
    """
    return as_seam(coco(root), PAPER, EPOCHS * COCO_IMAGES // 8, weights, seed, backbone)


def seam_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return small(photos, tags, SEAMOptions(), seed)
