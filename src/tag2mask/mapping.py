"""Stages 3 to 5 as functions from folder to folder: maps found, refined, and decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from tag2mask.affinity import LEARNED
from tag2mask.data import Photo, image_size, read_tagged
from tag2mask.errors import InputError
from tag2mask.learned import learned_refiner
from tag2mask.localize import folded, merge, responses
from tag2mask.masks import PeakHistogram, blind_level, threshold
from tag2mask.method import Method
from tag2mask.progress import track
from tag2mask.refine import REFINERS, Refiner
from tag2mask.runs import Stage
from tag2mask.sources import unfinished
from tag2mask.stages import Context, fabric_of, load_method, usable
from tag2mask.storage import read_tensors, write_json, write_labels, write_tensors
from tag2mask.train import prefetch
from tag2mask.types import CamSet, TaggedImage

# --- 3 maps ---------------------------------------------------------------------------------


def decoded(context: Context, batches: Sequence[Sequence[Photo]]) -> Iterator[list[TaggedImage]]:
    """The photographs of every batch, decoded a little ahead."""
    return prefetch(
        lambda number: [read_tagged(photo, context.classes) for photo in batches[number]],
        0,
        len(batches),
    )


def find_maps(context: Context, stage: Stage, trained: str = "classifier") -> None:
    """Ask the trained method where things are; raw responses of the tagged classes are kept.

    Args:
        trained: the stage that trained it.
    """
    e = context.experiment
    fabric = fabric_of(e)
    method = load_method(e, context.run, context.classes, trained)
    method = folded(method, 4 * e.backbone.stride, context.classes)
    method = method.to(fabric.device)
    photos = usable(context, context.data.train)
    todo, done = unfinished(photos, e.localize.batch, stage.folder, ".safetensors")
    stream, title = _responses(context, method, fabric, todo), stage.folder.name.replace("-", " ")
    for item, found in track(stream, title, len(photos), done):
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


def read_scales(folder: Path, photo: str, which: Sequence[int]) -> list[CamSet]:
    """The maps of single scales.

    Args:
        which: numbers of the scales; −1 is the last one looked at.
    """
    stored = read_tensors(folder / f"{photo}.safetensors")
    names = [f"scale{n}" for n in range(sum(k.startswith("scale") for k in stored))]
    height, width = stored["size"].tolist()
    return [merge(photo, stored["classes"], [stored[names[n]]], (height, width)) for n in which]


# --- 4 refinement ---------------------------------------------------------------------------


def refine_maps(context: Context, stage: Stage, name: str, source: str) -> None:
    """Let the maps follow the picture; kept as bytes on the refiner's grid.

    Args:
        name: one of `REFINERS` or of `LEARNED`, or "none" to keep the merged maps as they are.
        source: the stage whose maps are refined.
    """
    photos, folder = usable(context, context.data.train), context.run.folder / source
    read = reader(source)
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
    if name in LEARNED:
        return learned_refiner(context, name)
    options: Any = getattr(context.experiment, name)
    if name == "crf" and options.background is None and options.alpha is None:
        options = replace(options, background=blind_level(peaks(maps())))
    refiner: Refiner = REFINERS[name](options)
    return refiner


def reader(stage: str) -> Callable[[Path, str], CamSet]:
    """How the maps of a stage are read: raw responses to be merged, or refined ones."""
    return read_maps if stage.endswith("maps") else read_refined


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
