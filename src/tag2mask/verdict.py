"""What a run scores; `pages.py` tells people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from tag2mask.data import Collection, Photo, image_size
from tag2mask.estimates import powered_scores
from tag2mask.evaluate import (
    Boundary,
    BoxCounts,
    Curve,
    Resampled,
    boundary,
    box_counts,
    confusion,
    curve_counts,
    label_counts,
    mask_boxes,
    scores,
)
from tag2mask.mapping import read_maps, read_refined, read_single
from tag2mask.progress import track
from tag2mask.runs import Stage
from tag2mask.stages import Context, setting, supervision, usable
from tag2mask.storage import read_json, read_labels, write_json
from tag2mask.types import Boxes, CamSet, Confusion

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
        boxes = _score_boxes(context, collection, split, predicted)
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
    curve = Curve.zeros(context.classes)
    for photo, truth in _truths(context, photos, source):
        cams = read(context.run.folder / source, photo)
        curve += curve_counts(cams, truth, context.classes)
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


def _score_boxes(
    context: Context, collection: Collection, split: str, predicted: bool
) -> dict[str, Any] | None:
    """Boxes of maps and of the network's labels; None where no photograph has true ones."""
    folder, truth, drawn = context.run.folder, context.data.truth, context.data.boxes
    listed = usable(context, collection)
    with_boxes = {p.id for p in listed if drawn is not None and p.id in drawn}
    photos = [p for p in listed if p.id in with_boxes or (truth is not None and p.id in truth)]
    if not photos:
        return None
    sources: dict[str, Callable[..., CamSet]] = {}
    level: dict[str, Any] = {}
    if split == "train" and context.experiment.teacher == "maps":
        sources = {"maps": read_maps, "refined": read_refined}
        level = read_json(folder / "masks" / "level.json")
    swept = {name: BoxCounts.zeros() for name in sources}
    decided = {name: BoxCounts.zeros((level["level"],)) for name in sources}
    network = BoxCounts.zeros((0.0,))
    for photo in track(photos, "scores: boxes", len(photos)):
        true = _true_boxes(context, photo)
        for name, read in sources.items():
            cams = read(folder / name, photo.id)
            swept[name] += box_counts(cams, true)
            decided[name] += box_counts(cams, true, decided[name].marks, stretch=False)
        if predicted:
            labels = read_labels(folder / "predictions" / f"{photo.id}.png")
            network += label_counts(labels, true)
    entry: dict[str, Any] = {name: _boxes_entry(decided[name], level) for name in sources}
    for name, counts in swept.items():
        entry[name]["oracle"] = _boxes_oracle(counts)
    if predicted:
        entry["network"] = _boxes_entry(network, {})
    return {"images": len(photos), "drawn": len(with_boxes), **entry}


def _true_boxes(context: Context, photo: Photo) -> Boxes:
    """What a person drew around things; else what their masks imply."""
    size, drawn, truth = image_size(photo.path), context.data.boxes, context.data.truth
    if drawn is not None and photo.id in drawn:
        return drawn.read(photo.id, size)
    if truth is None:
        raise ValueError(f"{photo.id!r} has neither true boxes nor a true mask.")
    return mask_boxes(photo.id, truth.read(photo.id, size).truth)


def _boxes_entry(counts: BoxCounts, level: dict[str, Any]) -> dict[str, Any]:
    """The box of the largest component at one level that no truth chose."""
    return {
        "objects": counts.objects,
        "accuracy": counts.accuracy(0),
        "level": level.get("level"),
        "level_source": level.get("source"),
        "oracle": None,
    }


def _boxes_oracle(counts: BoxCounts) -> dict[str, Any] | None:
    """The scores whose level is the best one for the truth."""
    best, by_iou = counts.max_box_acc(), counts.by_iou()
    if best is None or by_iou is None:
        return None
    return {
        "max_box_acc": best[1],
        "level": best[0],
        "max_box_acc_v2": counts.max_box_acc_v2(),
        "by_iou": {f"{iou}": share for iou, share in by_iou.items()},
    }
