"""EPS on VOC, on COCO, and on a few hundred photographs; tags and saliency."""

from __future__ import annotations

from pathlib import Path

from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment
from tag2mask.methods.eps import EPSOptions
from tag2mask.train import TrainOptions


def eps_small(photos: Path, tags: Path, saliency: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone.

    Args:
        saliency: folder of grey PNG files, or a model.
    """
    return Experiment(
        DataOptions(photos, tags=tags, saliency=saliency),
        method=EPSOptions(),
        size=224,
        train=TrainOptions(steps=150),
        network=TrainOptions(steps=250, zoom=(0.75, 1.5)),
        seed=seed,
    )
