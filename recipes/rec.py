"""REC as released, on a few hundred photographs, and with its own changes undone one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment
from tag2mask.methods.rec import RECOptions
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.train import TrainOptions

OFFICIAL = RECOptions(
    networks="scratch",
    imagelet_cell=1,
    guidance_cell=1,
    seen="imagelet",
    ground="black",
    regulation="area",
    told=False,
    absent=1000,  # all of them
    size=1e-3,
    guidance=1e-3,
    per_margin=False,
    head=1.0,
    decay=0.0,
)
DOGS = 16_000  # photographs: half of them show a dog; official code


def rec_official(photos: Path, tags: Path, weights: str = "hub", seed: int = 0) -> Experiment:
    """The released form: U-Net from scratch, 224 pixels, 10 epochs of 8; not run here.

    Dog or no dog: one class, and photographs without a tag. g is a ResNet-18 that learns whole. The
    released order, as many photographs with a dog as without in every step, is left to chance.
    """
    return Experiment(
        DataOptions(photos, tags=tags),
        method=OFFICIAL,
        backbone=BackboneOptions("resnet18", weights, frozen=0),
        size=224,
        train=TrainOptions(steps=10 * DOGS // 8, batch=8, zoom=(1.0, 1.0), power=0.0, warmup=0.0),
        refine="none",
        seed=seed,
    )


def rec_small(photos: Path, tags: Path, seed: int = 0) -> Experiment:
    """A few hundred photographs on a CPU, the embedded backbone."""
    return Experiment(
        DataOptions(photos, tags=tags),
        method=RECOptions(),
        size=224,
        train=TrainOptions(steps=300),
        network=TrainOptions(steps=250, zoom=(0.75, 1.5)),
        seed=seed,
    )


def rec_ablation(photos: Path, tags: Path, seed: int = 0) -> list[Experiment]:
    """Each change of ours undone by itself: all else as `rec_small`."""
    ours = RECOptions()
    methods = {
        "rec": ours,
        "rec without reconstruction": replace(ours, reconstruction=0.0),
        "rec without guidance": replace(ours, guidance=0.0),
        "rec, equal parts": replace(ours, regulation="area"),
        "rec, pooled size": replace(ours, regulation="pooling"),
        "rec, evidence": replace(ours, judged="evidence", guidance=0.1),
        "rec, drawn labels": replace(ours, composition="gumbel"),
        "rec, g sees image-lets": replace(ours, seen="imagelet"),
        "rec, black ground": replace(ours, ground="black"),
        "rec, fine image-lets": replace(ours, imagelet_cell=1),
        "rec, guidance as g gives it": replace(ours, per_margin=False, guidance=0.05),
        "rec, fine guidance": replace(ours, guidance_cell=1),
        "rec, not told": replace(ours, told=False),
        "rec, encoders apart": replace(ours, shared=False),
        "rec, scratch": replace(ours, networks="scratch", width=16),
    }
    small = rec_small(photos, tags, seed)
    return [replace(small, method=method, name=name) for name, method in methods.items()]
