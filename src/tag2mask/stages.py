"""The stages of a run as functions from folder to folder; `pipeline.py` puts them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from tag2mask.data import Collection, Data, Photo, image_size, read_tagged, verify
from tag2mask.data.assemble import check_classes
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment, method_name
from tag2mask.localize import folded, merge, responses
from tag2mask.masks import PeakHistogram, blind_level, threshold
from tag2mask.method import Method
from tag2mask.methods import METHODS
from tag2mask.nn.backbones import Backbone
from tag2mask.progress import track
from tag2mask.refine import REFINERS, Refiner
from tag2mask.runs import Run, Stage
from tag2mask.segment import Segmenter, predict
from tag2mask.sources import MaskedPhotographs, Photographs, needed_superpixels, same_size_batches
from tag2mask.storage import (
    read_json,
    read_tensors,
    write_json,
    write_labels,
    write_tensors,
)
from tag2mask.train import fit, mask_batches, prefetch, resolved, tag_batches
from tag2mask.types import CamSet, PseudoMask, TaggedImage


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
    if data.truth is not None:
        touched.append("true masks: for scoring and for numbers called oracle only")
    return tuple(touched)


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


def train_method(context: Context, stage: Stage) -> None:
    """Train the method on photographs and tags; nothing else is in reach."""
    e = context.experiment
    side = int(e.size * e.train.zoom[1])
    source = Photographs(usable(context, context.data.train), context.classes, side)
    fabric = fabric_of(e, e.devices)
    fabric.launch(partial(_train_method, experiment=e, source=source, folder=stage.folder))


def train_network(context: Context, stage: Stage) -> None:
    """Train the segmentation network on the pseudo masks."""
    e = context.experiment
    side = int(e.size * e.network.zoom[1])
    photos = Photographs(usable(context, context.data.train), context.classes, side)
    source = MaskedPhotographs(photos, context.run.folder / "masks")
    fabric = fabric_of(e, e.devices)
    fabric.launch(partial(_train_network, experiment=e, source=source, folder=stage.folder))


def _train_method(
    fabric: Fabric, experiment: Experiment, source: Photographs, folder: Path
) -> None:
    e, ranks = experiment, (fabric.global_rank, fabric.world_size)
    method, options = build_method(e, source.classes), resolved(e.train, len(source))
    with fabric.rank_zero_first():  # the others find them made
        regions = needed_superpixels(e, source, folder.parent / "cues")
    batches = tag_batches(source, options, e.size, e.seed, *ranks, superpixels=regions)
    fit(fabric, method, batches, options, folder, e.seed, "classifier")
    _keep(fabric, method, folder)


def _train_network(
    fabric: Fabric, experiment: Experiment, source: MaskedPhotographs, folder: Path
) -> None:
    e, ranks = experiment, (fabric.global_rank, fabric.world_size)
    network = build_network(e, source.photographs.classes)
    options = resolved(e.network, len(source))
    batches = mask_batches(source, options, e.size, e.seed, *ranks)
    fit(fabric, network, batches, options, folder, e.seed, "network")
    _keep(fabric, network, folder)


def _keep(fabric: Fabric, trained: Method | Segmenter, folder: Path) -> None:
    if fabric.is_global_zero:
        write_tensors(folder / "weights.safetensors", trained.state_dict())
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    fabric.barrier()


def load_method(context: Context) -> Method:
    """The trained method of a run, on its device, for asking."""
    method = build_method(context.experiment, context.classes)
    method.load_state_dict(read_tensors(context.run.folder / "classifier" / "weights.safetensors"))
    return method.eval()


def load_network(experiment: Experiment, run: Run, classes: int) -> Segmenter:
    """The trained segmentation network of a run."""
    network = build_network(experiment, classes)
    network.load_state_dict(read_tensors(run.folder / "network" / "weights.safetensors"))
    return network.eval()


# --- 3 maps ---------------------------------------------------------------------------------


def decoded(context: Context, batches: Sequence[Sequence[Photo]]) -> Iterator[list[TaggedImage]]:
    """The photographs of every batch, decoded a little ahead."""
    return prefetch(
        lambda number: [read_tagged(photo, context.classes) for photo in batches[number]],
        0,
        len(batches),
    )


def find_maps(context: Context, stage: Stage) -> None:
    """Ask the trained method where things are; raw responses of the tagged classes are kept."""
    e, options = context.experiment, context.experiment.localize
    fabric = fabric_of(e)
    method = folded(load_method(context), 4 * e.backbone.stride, context.classes).to(fabric.device)
    photos = usable(context, context.data.train)
    batches = same_size_batches(photos, options.batch)
    todo = [b for b in batches if not _all_there(stage, b, ".safetensors")]
    total, done = len(photos), len(photos) - sum(len(b) for b in todo)
    for item, found in track(_responses(context, method, fabric, todo), "maps", total, done):
        classes = item.tags.nonzero()[:, 0]
        tensors = {f"scale{n}": maps[classes].half() for n, maps in enumerate(found)}
        tensors["classes"] = classes + 1
        tensors["size"] = torch.tensor(item.image.shape[-2:])
        write_tensors(stage.file(item.id, ".safetensors"), tensors)


def _responses(
    context: Context, method: Method, fabric: Fabric, batches: Sequence[Sequence[Photo]]
) -> Iterator[tuple[TaggedImage, list[Tensor]]]:
    e = context.experiment
    for items in decoded(context, batches):
        with torch.inference_mode(), fabric.autocast():
            images = [item.image for item in items]
            tags = torch.stack([item.tags for item in items])
            found = responses(
                method, images, tags, e.size, e.backbone.stride, e.localize, fabric.device
            )
        for number, item in enumerate(items):
            yield item, [maps[number].cpu() for maps in found]


def _all_there(stage: Stage, photos: Sequence[Photo], suffix: str) -> bool:
    return all(stage.file(photo.id, suffix).is_file() for photo in photos)


def read_maps(folder: Path, photo: str) -> CamSet:
    """The merged maps of one photograph from the raw responses."""
    stored = read_tensors(folder / f"{photo}.safetensors")
    scales = [stored[f"scale{n}"] for n in range(sum(k.startswith("scale") for k in stored))]
    height, width = stored["size"].tolist()
    return merge(photo, stored["classes"], scales, (height, width))


def read_single(folder: Path, photo: str) -> CamSet:
    """The maps of the first scale alone, to see what the others add."""
    stored = read_tensors(folder / f"{photo}.safetensors")
    height, width = stored["size"].tolist()
    return merge(photo, stored["classes"], [stored["scale0"]], (height, width))


# --- 4 refinement ---------------------------------------------------------------------------


def refine_maps(context: Context, stage: Stage, name: str, source: str) -> None:
    """Let the maps follow the picture; kept as bytes on the refiner's grid.

    Args:
        name: one of `REFINERS`, or "none" to keep the merged maps as they are.
        source: the stage whose maps are refined.
    """
    photos, folder = usable(context, context.data.train), context.run.folder / source
    read = read_maps if source == "maps" else read_refined
    refiner = _refiner(context, name, lambda: (read(folder, photo.id) for photo in photos))
    todo = [p for p in photos if not stage.file(p.id, ".safetensors").is_file()]
    title = stage.folder.name if name == "none" else f"{stage.folder.name} ({name})"
    stream = track(
        decoded(context, [[p] for p in todo]), title, len(photos), len(photos) - len(todo)
    )
    for (item,) in stream:
        cams = read(folder, item.id)
        if refiner is not None:
            cams = refiner(item.image, cams)
        tensors = {
            "maps": (cams.maps * 255).round().clamp(0, 255).to(torch.uint8),
            "classes": cams.classes,
            "size": torch.tensor(cams.size),
        }
        write_tensors(stage.file(item.id, ".safetensors"), tensors)


def _refiner(context: Context, name: str, maps: Callable[[], Iterable[CamSet]]) -> Refiner | None:
    """A refiner with its options; a CRF without a level gets the blind level of its maps."""
    if name == "none":
        return None
    options: Any = getattr(context.experiment, name)
    if name == "crf" and options.background is None and options.alpha is None:
        options = replace(options, background=blind_level(peaks(maps())))
    refiner: Refiner = REFINERS[name](options)
    return refiner


def read_refined(folder: Path, photo: str) -> CamSet:
    """The refined maps of one photograph."""
    stored = read_tensors(folder / f"{photo}.safetensors")
    height, width = stored["size"].tolist()
    return CamSet(photo, stored["classes"], stored["maps"].float() / 255, (height, width))


# --- 5 masks --------------------------------------------------------------------------------


def peaks(maps: Iterable[CamSet]) -> PeakHistogram:
    """The histogram that a blind level is chosen from."""
    total = PeakHistogram.zeros()
    for cams in maps:
        total = total + PeakHistogram.of(cams)
    return total


def decide_masks(context: Context, stage: Stage) -> None:
    """Choose the background level, blind unless given, and decide every pixel."""
    e, source = context.experiment, context.run.folder / "refined"
    photos = usable(context, context.data.train)
    level = e.masks.background
    if level is None and e.refiners[-1] == "crf":
        level = 0.5  # a probability above it is more likely than not
    if level is None:
        level = blind_level(peaks(read_refined(source, photo.id) for photo in photos))
    confident = e.masks.confident
    if confident is not None and confident <= level:
        raise InputError(
            f"--masks.confident {confident} is not above the background level {level:.2f} that was "
            "chosen blind; give a higher one, or both levels."
        )
    chosen = "blind" if e.masks.background is None else "given"
    record = {"level": level, "source": chosen, "confident": confident}
    write_json(stage.folder / "level.json", record)
    for photo in track(photos, "masks", len(photos)):
        mask = threshold(read_refined(source, photo.id), level, confident)
        write_labels(stage.file(photo.id, ".png"), mask.labels)


def take_truth(context: Context, stage: Stage) -> None:
    """The upper bound's teacher: what people drew, in place of pseudo masks."""
    truth = context.data.truth
    photos = usable(context, context.data.train)
    if truth is None:
        raise InputError("--teacher truth needs the true masks; give their folder with --truth.")
    missing = [photo.id for photo in photos if photo.id not in truth]
    if missing:
        raise InputError(
            f"--teacher truth needs a true mask for every photograph; {len(missing)} have none, "
            f"the first is {missing[0]}."
        )
    for photo in track(photos, "true masks", len(photos)):
        labels = truth.read(photo.id, image_size(photo.path)).truth
        write_labels(stage.file(photo.id, ".png"), labels)


# --- 6 network ------------------------------------------------------------------------------


def predict_all(context: Context, stage: Stage) -> None:
    """The network's labels for every photograph, held-out ones included; no tags are used."""
    held_out = usable(context, context.data.test) if context.data.test else ()
    photos = (*usable(context, context.data.train), *held_out)
    network = load_network(context.experiment, context.run, context.classes)
    write_predictions(context.experiment, network, photos, stage.folder)


def write_predictions(
    experiment: Experiment, network: Segmenter, photos: Sequence[Photo], folder: Path
) -> None:
    """Label maps as palette PNGs; photographs that have theirs are left alone."""
    e, options = experiment, experiment.segment
    fabric = fabric_of(e)
    network = network.to(fabric.device)
    batches = same_size_batches(photos, options.batch)
    todo = [b for b in batches if not all((folder / f"{p.id}.png").is_file() for p in b)]
    done = len(photos) - sum(len(b) for b in todo)
    images = prefetch(lambda n: [read_tagged(p, 0).image for p in todo[n]], 0, len(todo))

    def decided() -> Iterator[PseudoMask]:
        for batch, pictured in zip(todo, images, strict=True):
            with torch.inference_mode(), fabric.autocast():
                yield from predict(
                    network,
                    [photo.id for photo in batch],
                    pictured,
                    e.size,
                    options.scales,
                    options.flip,
                    fabric.device,
                )

    for mask in track(decided(), "predictions", len(photos), done):
        write_labels(folder / f"{mask.id}.png", mask.labels)
