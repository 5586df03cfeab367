"""EPS on VOC, on COCO, and on a few hundred photographs; all with saliency beside the tags."""

from __future__ import annotations

from pathlib import Path

from recipes.settings import COCO_IMAGES, VOC_IMAGES, Wide, as_seam, coco, small, voc
from tag2mask.experiment import Experiment
from tag2mask.methods.eps import EPSOptions

PAPER = EPSOptions(rate=1e-4)
VOC_STEPS = 20_000  # of 8, official scripts


def eps_voc(
    root: Path, saliency: Path, weights: str = "hub", seed: int = 0, backbone: Wide = "resnet50"
) -> Experiment:
    """VOC 2012, crop 448, 20,000 steps of 8 (official scripts); not run here.

    Args:
        root: as `voc` takes it.
        saliency: folder of grey PNG files, or a model; the paper's are PFAN's.
        backbone: the paper's is wide_resnet38, whose weights are a file.
    """
    return as_seam(voc(root, saliency), PAPER, VOC_STEPS, weights, seed, backbone)


def eps_coco(
    root: Path, saliency: Path, weights: str = "hub", seed: int = 0, backbone: Wide = "resnet50"
) -> Experiment:
    """COCO 2014 as `eps_voc`, as many epochs; the paper's settings are not known, and not run here.

    Args:
        root: as `coco` takes it.
        saliency: as `eps_voc`.
        backbone: as `eps_voc`.
    """
    steps = VOC_STEPS * COCO_IMAGES // VOC_IMAGES
    return as_seam(coco(root, saliency), PAPER, steps, weights, seed, backbone)


def eps_small(photos: Path, tags: Path, saliency: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone.

    Args:
        saliency: as `eps_voc`.
    """
    return small(photos, tags, EPSOptions(), seed, saliency=saliency)
