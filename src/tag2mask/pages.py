"""The pages people look at: of one run, and of several side by side."""

from __future__ import annotations

import json
import platform
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import UInt8
from torch import Tensor

from tag2mask import instances
from tag2mask.affinity import LEARNED
from tag2mask.data import Photo, read_image
from tag2mask.evaluate import confusion, scores
from tag2mask.experiment import Experiment, method_name
from tag2mask.mapping import read_refined
from tag2mask.nn.parts import sure
from tag2mask.progress import track
from tag2mask.report import MOST, PSEUDO, SURE, GalleryItem, PageContent, headline, write_page
from tag2mask.runs import Stage
from tag2mask.stages import Context, supervision, usable
from tag2mask.storage import read_json, read_labels
from tag2mask.types import Instances

HELD_OUT: Final = 3  # one of so many photographs of a page is held out, where there are such


def tell(context: Context, stage: Stage) -> None:
    """Write the page people look at."""
    e, folder = context.experiment, context.run.folder
    logs = {name.replace("-", " "): folder / name / "log.jsonl" for name in _trainings(e)}
    told, quality = read_json(folder / "scores.json"), read_quality(folder)
    photos, shown = photographs(context), choice(context)
    level = folder / "masks" / "level.json"
    content = PageContent(
        name=e.name or folder.name,
        method=method_name(e.method) if e.teacher == "maps" else "upper bound (true masks)",
        backbone=e.backbone.name,
        data=f"{_folder_name(e.data.photos)} ({context.data.format})",
        images=len(usable(context, context.data.train)),
        machine=machine(),
        seconds=None,  # a resumed run writes the same page
        seed=e.seed,
        classes=context.data.train.classes,
        supervision=supervision(context),
        headline=headline(told, quality),
        scores=told,
        training={name: read_log(log) for name, log in logs.items() if log.is_file()},
        together=_together(context),
        level=read_json(level)["level"] if level.is_file() else None,
        gallery=track(_items(context, shown, quality), "report", len(shown)),
        shown=len(shown),
        photographs=len(photos),
    )
    write_page(content, stage.folder / "index.html")


def _trainings(experiment: Experiment) -> list[str]:
    """The stages that learn, in their order; a run need not have all of them."""
    own = [name for name in experiment.refiners if name in LEARNED]
    last = [instances.NETWORK] if experiment.instances else []
    return ["first", "classifier", *own, "network", *last]


def read_quality(folder: Path) -> dict[str, Any]:
    """What the quality stage wrote; empty where there was nothing to judge."""
    path = folder / "quality.json"
    stored: dict[str, Any] = read_json(path) if path.is_file() else {}
    return stored


def _folder_name(photos: Path) -> str:
    """The folder as a person would name it: what holds `images` says more than `images`."""
    resolved = photos.resolve()
    plain = resolved.name.lower() in ("images", "photos", "jpegimages", "train")
    return f"{resolved.parent.name}/{resolved.name}" if plain else resolved.name


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a training's log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def machine() -> str:
    """What ran this, in a phrase."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _together(context: Context) -> list[list[int]]:
    """How many training photographs have both of two tags."""
    tags = context.data.train.tag_matrix().long()
    counts: list[list[int]] = (tags.T @ tags).tolist()
    return counts


def photographs(context: Context) -> list[tuple[Photo, str]]:
    """Every photograph and its split."""
    test = usable(context, context.data.test) if context.data.test else ()
    train = [(photo, "train") for photo in usable(context, context.data.train)]
    return [*train, *((photo, "test") for photo in test)]


def choice(context: Context) -> list[tuple[Photo, str]]:
    """The photographs of a page: all of them, or a seeded draw where they are too many."""
    every = photographs(context)
    if len(every) <= MOST:
        return every
    draw = random.Random(context.experiment.seed)
    parts = [[entry for entry in every if entry[1] == split] for split in ("train", "test")]
    held_out = min(len(parts[1]), max(MOST // HELD_OUT, MOST - len(parts[0])))
    counts = (MOST - held_out, held_out)
    chosen = {
        photo.id for part, count in zip(parts, counts, strict=True)
        for photo, _ in draw.sample(part, count)
    }  # fmt: skip
    return [entry for entry in every if entry[0].id in chosen]


def _items(
    context: Context, shown: Sequence[tuple[Photo, str]], quality: dict[str, Any]
) -> Iterator[GalleryItem]:
    judged = quality.get("photographs", {})
    for photo, split in shown:
        yield item(context, photo, split, judged.get(photo.id, {}))


def item(context: Context, photo: Photo, split: str, judged: dict[str, Any]) -> GalleryItem:
    """Everything a run says about a photograph.

    Args:
        judged: the photograph's entry in quality.json.
    """
    image = read_image(photo.path)
    found = decisions(context, photo, (image.shape[-2], image.shape[-1]))
    truth = found.get("truth")
    iou = {
        name: scores(confusion(truth, labels, context.classes)).miou
        for name, labels in found.items()
        if truth is not None and name != "truth"
    }
    main = PSEUDO if split == "train" and PSEUDO in iou else "network"
    numbers = {"score": iou[main]} if main in iou else {}
    if judged:
        numbers["estimate"] = judged["estimate"]
        numbers.update({k: v for k, v in judged["measures"].items() if k == "agreement"})
    note = "held out" if split == "test" else ""
    doubts = tuple(judged.get("doubts", ()))
    maps = _maps(context, photo, split)
    return GalleryItem(
        photo.id, split, photo.tags, image, maps, found, iou, numbers, doubts, note,
        _objects(context, photo, split),
    )  # fmt: skip


def _objects(context: Context, photo: Photo, split: str) -> dict[str, Instances]:
    """Objects of a photograph by who told them apart, those that there are."""
    if not context.experiment.instances:
        return {}
    found = {"network": sure(instances.predicted_instances(context.run.folder, photo), SURE)}
    if split == "train":
        found[PSEUDO] = instances.pseudo_instances(context.run.folder, photo)
    if instances.has_truth(context, photo):
        found["truth"] = instances.true_instances(context, photo)
    return found


def _maps(context: Context, photo: Photo, split: str) -> tuple[tuple[int, Tensor], ...]:
    if split != "train" or context.experiment.teacher != "maps":
        return ()
    cams = read_refined(context.run.folder / "refined", photo.id)
    return tuple(zip(cams.classes.tolist(), cams.maps, strict=True))


def decisions(
    context: Context, photo: Photo, size: tuple[int, int]
) -> dict[str, UInt8[Tensor, "H W"]]:
    """Labels of a photograph by who decided, those that there are."""
    folder, truth = context.run.folder, context.data.truth
    files = {PSEUDO: folder / "masks", "network": folder / "predictions"}
    found = {
        name: read_labels(place / f"{photo.id}.png")
        for name, place in files.items()
        if (place / f"{photo.id}.png").is_file()
    }
    if truth is not None and photo.id in truth:
        found["truth"] = truth.read(photo.id, size).truth
    return found
