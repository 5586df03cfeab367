"""What a run scores; `pages.py` tells people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from tag2mask.boxes import score_boxes
from tag2mask.data import Photo, image_size
from tag2mask.estimates import powered_scores
from tag2mask.evaluate import Boundary, Resampled, boundary, confusion, scores, sweep
from tag2mask.instances import instance_scores
from tag2mask.mapping import read_maps, read_refined, read_single
from tag2mask.progress import track
from tag2mask.runs import Stage
from tag2mask.stages import Context, setting, supervision, usable
from tag2mask.storage import read_json, read_labels, write_json
from tag2mask.types import CamSet, Confusion

CURVE_STEP = 4  # every fourth of the 256 levels is written down; the best of all is exact

Labels = UInt8[Tensor, "H W"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Many small operations wait for each other on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def score_all(context: Context, stage: Stage, predicted: bool = True) -> None:
    """Score maps, pseudo masks and network on every split that has truth; `scores.json`.

    Args:
        predicted: whether there is a network (or a method) that has predicted; else only what
            stands before it is scored.
    """
    folder, names = context.run.folder, ("background", *context.data.train.classes)
    result: dict[str, Any] = {
        "classes": list(context.data.train.classes),
        "supervision": list(supervision(context)),
        "setting": setting(context),
        "splits": {},
        "boxes": {},
    }
    parts = [("train", context.data.train)]
    if context.data.test is not None and predicted:
        parts.append(("test", context.data.test))
    for split, collection in parts:
        boxes = score_boxes(context, collection, split, predicted)
        if boxes is not None:
            result["boxes"][split] = boxes
        truth = context.data.truth
        photos = [p for p in usable(context, collection) if truth is not None and p.id in truth]
        if not photos:
            continue
        entry = result["splits"][split] = {}
        if split == "train" and context.experiment.teacher == "maps":
            level = read_json(folder / "masks" / "level.json")
            entry["maps"] = _score_maps(context, photos, "maps", read_maps, names, level)
            entry["single"] = _score_maps(context, photos, "maps", read_single, names, level)
            entry["masks"] = _score_labels(context, photos, "masks", names)
            refined = _score_maps(context, photos, "refined", read_refined, names, level)
            for key in ("level", "level_source", "oracle", "curve"):
                entry["masks"][key] = refined[key]
        if predicted:
            entry["network"] = _score_labels(context, photos, "predictions", names)
    result["powered"] = _powered(context) if predicted else {}
    if context.experiment.instances:
        result["instances"] = instance_scores(context, predicted)
    write_json(folder / "scores.json", result)
    write_json(stage.folder / "scored.json", sorted(result["splits"]))


def _powered(context: Context) -> dict[str, Any]:
    """What a little truth says of all photographs; empty where truth covers all, or none."""
    path, truth = context.run.folder / "quality.json", context.data.truth
    if truth is None or context.experiment.teacher != "maps":
        return {}
    if all(photo in truth for photo in read_json(path)["photographs"]):
        return {}
    return powered_scores(context.run.folder, truth, context.classes)


def _truths(context: Context, photos: Sequence[Photo], title: str) -> Iterator[tuple[str, Labels]]:
    truth = context.data.truth
    if truth is not None:
        for photo in track(photos, f"scores: {title}", len(photos)):
            yield photo.id, truth.read(photo.id, image_size(photo.path)).truth


def _score_labels(
    context: Context, photos: Sequence[Photo], source: str, names: Sequence[str]
) -> dict[str, Any]:
    classes = context.classes
    total, edges = Confusion.zeros(classes + 1), Boundary.zeros(classes)
    resampled = Resampled(classes + 1)
    for photo, truth in _truths(context, photos, source):
        labels = read_labels(context.run.folder / source / f"{photo}.png")
        found = confusion(truth, labels, classes)
        total += found
        resampled.add(found.counts)
        edges += boundary(truth, labels, classes)
    return {
        **scores(total).to_json(names),
        "interval": resampled.interval(),
        "boundary_iou": edges.iou(),
        "images": len(photos),
        "level": None,
        "level_source": None,
        "oracle": None,
        "curve": None,
    }


def _score_maps(
    context: Context,
    photos: Sequence[Photo],
    source: str,
    read: Callable[..., CamSet],
    names: Sequence[str],
    level: dict[str, Any],
) -> dict[str, Any]:
    folder, truths = context.run.folder / source, _truths(context, photos, source)
    curve = sweep(((read(folder, photo), truth) for photo, truth in truths), context.classes)
    levels, mious = curve.levels(), curve.mious()
    chosen = min(range(len(levels)), key=lambda k: abs(levels[k] - level["level"]))
    best, highest = curve.best()
    return {
        **scores(curve.confusion(chosen)).to_json(names),
        "boundary_iou": None,
        "images": len(photos),
        "level": levels[chosen],
        "level_source": level["source"],
        "oracle": {"miou": highest, "level": best},
        "curve": {"levels": levels[::CURVE_STEP], "miou": mious[::CURVE_STEP]},
    }
