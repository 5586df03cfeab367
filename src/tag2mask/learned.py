"""Refiners that are trained first: their network, its training, and the refiner it becomes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from tag2mask.affinity import LEARNED, AffinityNetwork, AffinityOptions, AffinityWalk
from tag2mask.experiment import Experiment
from tag2mask.nn.backbones import Backbone
from tag2mask.runs import Stage
from tag2mask.sources import MaskedPhotographs, Photographs
from tag2mask.stages import WEIGHTS, Context, fabric_of, keep, usable
from tag2mask.storage import read_tensors
from tag2mask.train import fit, mask_batches, resolved


def affinity_options(experiment: Experiment, name: str) -> AffinityOptions:
    """The options of a learned affinity.

    Args:
        name: one of `LEARNED`.
    """
    options: AffinityOptions = getattr(experiment, name)
    return options


def build_affinity(experiment: Experiment, name: str) -> AffinityNetwork:
    """The network with pretrained weights; its new layers are drawn from the seed."""
    torch.manual_seed(experiment.seed)
    options: Any = affinity_options(experiment, name)
    network: AffinityNetwork = LEARNED[name](options, Backbone(experiment.backbone))
    placed: AffinityNetwork = network.to(memory_format=torch.channels_last)
    return placed


def train_affinity(context: Context, stage: Stage, name: str, labels: str) -> None:
    """Train a learned affinity on seeds.

    Args:
        labels: the stage that made them.
    """
    e = context.experiment
    side = int(e.size * e.affinity.zoom[1])
    photos = Photographs(usable(context, context.data.train), context.classes, side)
    source = MaskedPhotographs(photos, context.run.folder / labels)
    work = partial(_train, experiment=e, source=source, folder=stage.folder, name=name)
    fabric_of(e, e.devices).launch(work)


def _train(
    fabric: Fabric, experiment: Experiment, source: MaskedPhotographs, folder: Path, name: str
) -> None:
    e, ranks = experiment, (fabric.global_rank, fabric.world_size)
    network, options = build_affinity(e, name), resolved(e.affinity, len(source))
    batches = mask_batches(source, options, e.size, e.seed, *ranks)
    fit(fabric, network, batches, options, folder, e.seed, name)
    keep(fabric, network, folder)


def trained_affinity(context: Context, name: str) -> AffinityNetwork:
    """The affinity that a run has trained, for asking."""
    network = build_affinity(context.experiment, name)
    network.load_state_dict(read_tensors(context.run.folder / name / WEIGHTS))
    placed: AffinityNetwork = network.to(fabric_of(context.experiment).device)
    return placed.eval()


def learned_refiner(context: Context, name: str) -> AffinityWalk:
    """The refiner that a run has trained."""
    return AffinityWalk(trained_affinity(context, name), float(context.experiment.size))
