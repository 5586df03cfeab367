"""SSC on VOC, on COCO, and on a few hundred photographs; the ablation that the paper draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recipes.settings import COCO_IMAGES, VOC_IMAGES, as_irn, coco, small, voc
from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment, MethodOptions
from tag2mask.methods.cam import CAMOptions
from tag2mask.methods.drs import DRSOptions
from tag2mask.methods.ssc import SSCOptions
from tag2mask.train import TrainOptions


def ssc_voc(root: Path, vgg: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """VOC 2012, ResNet-50 at stride 16, crop 512, 10 epochs of 6 (official code); not run here.

    Args:
        root: as `voc` takes it.
        vgg: torchvision's VGG-19.
    """
    return _paper(voc(root), 10 * VOC_IMAGES // 6, vgg, weights, seed)


def ssc_voc_official(root: Path, vgg: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """`ssc_voc`, as the released code compares the drawing, and divides the maps."""
    experiment = ssc_voc(root, vgg, weights, seed)
    return replace(experiment, method=replace(experiment.method, span="normalised", still=False))


def ssc_coco(root: Path, vgg: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """COCO 2014 as `ssc_voc`; not run here.

    Args:
        root: as `coco` takes it.
        vgg: torchvision's VGG-19.
    """
    return _paper(coco(root), 10 * COCO_IMAGES // 6, vgg, weights, seed)


def ssc_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return small(photos, tags, SSCOptions(), seed, steps=300)


def ssc_ablation(photos: Path, tags: Path, seed: int = 0) -> list[Experiment]:
    """CAM, DRS, DRS with reconstruction, and with self-modulation too: all else as `ssc_small`."""
    methods: dict[str, MethodOptions] = {
        "cam": CAMOptions(),
        "drs": DRSOptions(),
        "drs+cdr": SSCOptions(modulation=0.0),
        "drs+cdr+asm": SSCOptions(),
    }
    base = ssc_small(photos, tags, seed)
    return [replace(base, method=method, name=name) for name, method in methods.items()]


def _paper(data: DataOptions, steps: int, vgg: Path, weights: str, seed: int) -> Experiment:
    method = SSCOptions(
        reconstruction=1.0, modulation=1.0, drawn=1.0, warmup=0.2, width=256, rate=1e-4, vgg=vgg
    )
    train = TrainOptions(steps=steps, batch=6, zoom=(0.625, 1.25))
    return as_irn(data, method, train, weights, seed)
