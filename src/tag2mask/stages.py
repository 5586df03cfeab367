"""The stages that check and that train, as functions from folder to folder.

`mapping.py` has those between the two trainings; `pipeline.py` puts all in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
from jaxtyping import UInt8
from lightning_fabric import Fabric
from torch import Tensor, nn

from tag2mask.data import (
    Collection,
    Data,
    Photo,
    image_size,
    open_saliency,
    read_image,
    saliency_source,
    verify,
)
from tag2mask.data.assemble import check_classes
from tag2mask.experiment import Experiment, method_name, trains_network, uses_saliency
from tag2mask.method import AfterClassifier, Method, SingleStage
from tag2mask.methods import METHODS
from tag2mask.nn.backbones import Backbone
from tag2mask.progress import track
from tag2mask.refine import PRESETS, refine_probabilities
from tag2mask.runs import Run, Stage
from tag2mask.segment import Segmenter, predict
from tag2mask.sources import MaskedPhotographs, Photographs, cue_sources, unfinished
from tag2mask.storage import (
    read_json,
    read_tensors,
    write_json,
    write_labels,
    write_tensors,
)
from tag2mask.train import fit, mask_batches, prefetch, resolved, tag_batches
from tag2mask.types import PseudoMask

WEIGHTS: Final = "weights.safetensors"
Network = Segmenter | SingleStage
Pictured = tuple[Photo, Tensor]  # a photograph and its pixels, uint8 3 × H × W


@dataclass(frozen=True, slots=True)
class Context:
    """What every stage knows."""

    experiment: Experiment
    run: Run
    data: Data

    @property
    def classes(self) -> int:
        return len(self.data.train.classes)


def fabric_of(experiment: Experiment, devices: int = 1) -> Fabric:
    """Lightning Fabric for this machine; several devices are spawned and meet through DDP."""
    return Fabric(
        accelerator=experiment.accelerator,
        devices=devices,
        precision=experiment.precision,  # type: ignore[arg-type]
        strategy="ddp_spawn" if devices > 1 else "auto",
    )


# --- 1 data ---------------------------------------------------------------------------------


def check_photographs(context: Context, stage: Stage) -> None:
    """Decode every photograph once, so that a broken one is found before the training."""
    data, options = context.data, context.experiment.data
    train = verify(data.train, options.skip_bad)
    check_classes(train)
    test = verify(data.test, options.skip_bad) if data.test else None
    skipped = [*train.skipped, *(test.skipped if test else ())]
    given = open_saliency(options.saliency) if uses_saliency(context.experiment) else None
    if given is not None:
        skipped += given.missing(train.photos, options.skip_bad)
    report = {"skipped": [{"id": s.id, "reason": s.reason} for s in skipped]}
    if data.truth is not None:
        photos = [*train.photos, *(test.photos if test else ())]
        known = [photo for photo in photos if photo.id in data.truth]
        for photo in track(known, "Checking true masks", len(known)):
            data.truth.read(photo.id, image_size(photo.path))
    write_json(stage.folder / "check.json", report)


def skipped(context: Context) -> list[str]:
    """Ids of the photographs that the data stage left out."""
    report = read_json(context.run.folder / "data" / "check.json")
    return [entry["id"] for entry in report["skipped"]]


def usable(context: Context, collection: Collection) -> tuple[Photo, ...]:
    """The photographs that the data stage could decode."""
    bad = set(skipped(context))
    return tuple(photo for photo in collection.photos if photo.id not in bad)


def supervision(context: Context) -> tuple[str, ...]:
    """Everything that touched the run beside the photographs, a phrase each."""
    e, data = context.experiment, context.data
    count = len(usable(context, data.train))
    touched = [f"image tags of {count} photographs", f"pretrained {Backbone(e.backbone).source}"]
    if e.teacher == "truth":
        touched[0] = f"TRUE MASKS of {count} photographs (an upper bound, not a result from tags)"
    elif e.masks.background is not None:
        touched.append(
            f"background level {e.masks.background} given by the user (supervision unknown)"
        )
    else:
        touched.append("background level chosen blind, from the maps alone")
    if e.tuned:
        touched.append(f"options chosen by {e.tuned}")
    if e.teacher == "maps" and uses_saliency(e):
        touched.insert(1, f"saliency of {count} photographs, {saliency_source(e.data.saliency)}")
    if data.truth is not None:
        touched.append("true masks: for scoring and for numbers called oracle only")
    if e.instances and data.instances is not None:
        touched.append("true objects: for scoring only")
    if data.boxes is not None:
        touched.append("true boxes: for scoring and for numbers called oracle only")
    return tuple(touched)


def setting(context: Context) -> str:
    """What taught the run, as the field parts its tables: tags (I), saliency too, or masks."""
    e = context.experiment
    if e.teacher == "truth":
        return "masks"
    return "I+S" if uses_saliency(e) else "I"


# --- 2 classifier ---------------------------------------------------------------------------


def build_method(experiment: Experiment, classes: int) -> Method:
    """The method with pretrained weights; its new layers are drawn from the seed."""
    torch.manual_seed(experiment.seed)
    room = METHODS[method_name(experiment.method)]
    method: Method = room(experiment.method, Backbone(experiment.backbone), classes)
    placed: Method = method.to(memory_format=torch.channels_last)
    return placed


def build_network(experiment: Experiment, classes: int) -> Segmenter:
    """The segmentation network with pretrained weights."""
    torch.manual_seed(experiment.seed)
    network = Segmenter(experiment.segment, experiment.backbone, classes + 1)
    placed: Segmenter = network.to(memory_format=torch.channels_last)
    return placed


def train_method(context: Context, stage: Stage, title: str = "classifier") -> None:
    """Train the method on photographs and tags; nothing else is in reach."""
    e = context.experiment
    side = int(e.size * e.train.zoom[1])
    source = Photographs(usable(context, context.data.train), context.classes, side)
    fabric = fabric_of(e, e.devices)
    work = partial(_train_method, experiment=e, source=source, folder=stage.folder, title=title)
    fabric.launch(work)


def train_network(context: Context, stage: Stage, source: str = "masks") -> None:
    """Train the segmentation network on masks.

    Args:
        source: the stage that made them.
    """
    e = context.experiment
    side = int(e.size * e.network.zoom[1])
    photos = Photographs(usable(context, context.data.train), context.classes, side)
    masked = MaskedPhotographs(photos, context.run.folder / source)
    fabric = fabric_of(e, e.devices)
    fabric.launch(partial(_train_network, experiment=e, source=masked, folder=stage.folder))


def _train_method(
    fabric: Fabric, experiment: Experiment, source: Photographs, folder: Path, title: str
) -> None:
    e, ranks = experiment, (fabric.global_rank, fabric.world_size)
    method, options = build_method(e, source.classes), resolved(e.train, len(source))
    if isinstance(method, AfterClassifier):
        method.take(read_tensors(folder.parent / "first" / WEIGHTS))
    with fabric.rank_zero_first():  # the others find them made
        cues = cue_sources(e, source, folder.parent)
    batches = tag_batches(source, options, e.size, e.seed, *ranks, cues=cues)
    fit(fabric, method, batches, options, folder, e.seed, title)
    keep(fabric, method, folder)


def _train_network(
    fabric: Fabric, experiment: Experiment, source: MaskedPhotographs, folder: Path
) -> None:
    e, ranks = experiment, (fabric.global_rank, fabric.world_size)
    network = build_network(e, source.photographs.classes)
    options = resolved(e.network, len(source))
    batches = mask_batches(source, options, e.size, e.seed, *ranks)
    fit(fabric, network, batches, options, folder, e.seed, "network")
    keep(fabric, network, folder)


def keep(fabric: Fabric, trained: nn.Module, folder: Path) -> None:
    """Write the weights of what was trained; its checkpoint is not needed any more."""
    if fabric.is_global_zero:
        write_tensors(folder / WEIGHTS, trained.state_dict())
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    fabric.barrier()


def load_method(experiment: Experiment, run: Run, classes: int, trained: str) -> Method:
    """The method that a stage of the run has trained, for asking."""
    method = build_method(experiment, classes)
    method.load_state_dict(read_tensors(run.folder / trained / WEIGHTS))
    return method.eval()


def segmenting_stage(experiment: Experiment) -> str:
    """The stage that trains what segments: the network, or a method that does so by itself."""
    return "network" if trains_network(experiment) else "classifier"


def load_network(experiment: Experiment, run: Run, classes: int) -> Network:
    """What a run segments with, trained: its network, or a method that does so by itself."""
    if not trains_network(experiment):
        return load_single_stage(experiment, run, classes)
    network = build_network(experiment, classes)
    network.load_state_dict(read_tensors(run.folder / "network" / WEIGHTS))
    return network.eval()


def load_single_stage(experiment: Experiment, run: Run, classes: int) -> SingleStage:
    """The trained method of a run that segments by itself."""
    method = load_method(experiment, run, classes, "classifier")
    if not isinstance(method, SingleStage):
        raise TypeError(f"{type(method).__name__} does not segment by itself.")
    return method


# --- 6 network ------------------------------------------------------------------------------


def predict_all(context: Context, stage: Stage) -> None:
    """Labels for every photograph, held-out ones included; no tags are used."""
    held_out = usable(context, context.data.test) if context.data.test else ()
    photos = (*usable(context, context.data.train), *held_out)
    network = load_network(context.experiment, context.run, context.classes)
    write_predictions(context.experiment, network, photos, stage.folder)


def segment_all(context: Context, stage: Stage) -> None:
    """Labels for the training photographs, by a method that segments by itself."""
    method = load_single_stage(context.experiment, context.run, context.classes)
    photos = usable(context, context.data.train)
    write_predictions(context.experiment, method, photos, stage.folder, "segmented")


def write_predictions(
    experiment: Experiment,
    network: Network,
    photos: Sequence[Photo],
    folder: Path,
    title: str = "predictions",
) -> None:
    """Label maps as palette PNGs; photographs that have theirs are left alone."""
    todo, done = unfinished(photos, experiment.segment.batch, folder, ".png")
    pictured = prefetch(lambda n: [(p, read_image(p.path)) for p in todo[n]], 0, len(todo))
    found = segmented(experiment, network, pictured)
    for _, mask in track(found, title, len(photos), done):
        write_labels(folder / f"{mask.id}.png", mask.labels)


def segmented(
    experiment: Experiment, network: Network, batches: Iterable[Sequence[Pictured]]
) -> Iterator[tuple[UInt8[Tensor, "3 H W"], PseudoMask]]:
    """Photographs with the network's labels, as they come.

    Args:
        batches: decoded photographs, of one size in each.
    """
    options, fabric = experiment.segment, fabric_of(experiment)
    network = network.to(fabric.device)
    logits = network.segment if isinstance(network, SingleStage) else network
    settings = PRESETS.get(options.crf)
    decision = partial(refine_probabilities, options=settings) if settings else None
    for batch in batches:
        ids, images = [photo.id for photo, _ in batch], [image for _, image in batch]
        views = (experiment.size, options.scales, options.flip)
        with torch.inference_mode(), fabric.autocast():
            masks = predict(logits, ids, images, *views, fabric.device, decision)
        yield from zip(images, masks, strict=True)
