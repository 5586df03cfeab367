"""Boxes of a run's maps and labels against boxes that people drew, and their classes.

Top-1 and Top-5 localisation ask for box and class. What the classifier says of a photograph is
known nowhere else in a run, so it is asked of those photographs alone whose boxes are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from tag2mask.data import Collection, Photo, image_size, read_image
from tag2mask.evaluate import BoxCounts, box_counts, class_ranks, label_counts, mask_boxes
from tag2mask.mapping import read_maps, read_refined
from tag2mask.nn.views import resize, scaled_size
from tag2mask.progress import track
from tag2mask.runs import Stage
from tag2mask.sources import unfinished
from tag2mask.stages import Context, fabric_of, load_method, usable
from tag2mask.storage import read_json, read_labels, read_tensors, write_tensors
from tag2mask.train import prefetch
from tag2mask.types import Boxes, CamSet

Source = Callable[..., CamSet]  # reads the maps of a photograph from a stage's folder


def boxed(context: Context, collection: Collection) -> list[Photo]:
    """The photographs that have true boxes, or true masks that imply them."""
    drawn, truth = context.data.boxes, context.data.truth
    return [
        photo
        for photo in usable(context, collection)
        if any(known is not None and photo.id in known for known in (drawn, truth))
    ]


# --- the classifier's view --------------------------------------------------------------------


def recognise(context: Context, stage: Stage, photos: Sequence[Photo]) -> None:
    """Keep the scores that the trained method gives every class of photographs, without tags.

    It looks once, at the size trained at.
    """
    e = context.experiment
    fabric = fabric_of(e)
    todo, done = unfinished(photos, e.localize.batch, stage.folder, ".safetensors")
    method = load_method(e, context.run, context.classes, "classifier").to(fabric.device)

    def found() -> Iterator[tuple[Photo, Tensor]]:
        pictured = prefetch(lambda n: [read_image(p.path) for p in todo[n]], 0, len(todo))
        for batch, images in zip(todo, pictured, strict=True):
            shape = (images[0].shape[-2], images[0].shape[-1])
            size = scaled_size(shape, float(e.size), e.backbone.stride)
            views = torch.stack([resize(image, size) for image in images]).float()
            views = views.to(fabric.device, memory_format=torch.channels_last)
            with torch.inference_mode(), fabric.autocast():
                yield from zip(batch, method.classify(views).float().cpu(), strict=True)

    for photo, logits in track(found(), "recognised", len(photos), done):
        write_tensors(stage.file(photo.id, ".safetensors"), {"logits": logits})


# --- scores -----------------------------------------------------------------------------------


def score_boxes(
    context: Context, collection: Collection, split: str, predicted: bool
) -> dict[str, Any] | None:
    """Boxes of maps and of the network's labels; None where no photograph has true ones.

    Args:
        predicted: whether labels are predicted.
    """
    folder, photos = context.run.folder, boxed(context, collection)
    if not photos:
        return None
    sources: dict[str, Source] = {}
    level: dict[str, Any] = {}
    if split == "train" and context.experiment.teacher == "maps":
        sources = {"maps": read_maps, "refined": read_refined}
        level = read_json(folder / "masks" / "level.json")
    swept = {name: BoxCounts.zeros() for name in sources}
    decided = {name: BoxCounts.zeros((level["level"],)) for name in sources}
    network = BoxCounts.zeros((0.0,))
    for photo in track(photos, "scores: boxes", len(photos)):
        true = _true_boxes(context, photo)
        ranks = _ranks(context, photo, true)
        for name, read in sources.items():
            cams = read(folder / name, photo.id)
            swept[name] += box_counts(cams, true, ranks=ranks)
            decided[name] += box_counts(cams, true, decided[name].marks, ranks, stretch=False)
        if predicted:
            labels = read_labels(folder / "predictions" / f"{photo.id}.png")
            network += label_counts(labels, true, ranks)
    entry: dict[str, Any] = {name: _entry(decided[name], level) for name in sources}
    for name, counts in swept.items():
        entry[name]["oracle"] = _oracle(counts)
    if predicted:
        entry["network"] = _entry(network, {})
    drawn = context.data.boxes
    with_boxes = sum(drawn is not None and photo.id in drawn for photo in photos)
    return {"images": len(photos), "drawn": with_boxes, **entry}


def _true_boxes(context: Context, photo: Photo) -> Boxes:
    """What a person drew around things; else what their masks imply."""
    size, drawn, truth = image_size(photo.path), context.data.boxes, context.data.truth
    if drawn is not None and photo.id in drawn:
        return drawn.read(photo.id, size)
    if truth is None:
        raise ValueError(f"{photo.id!r} has neither true boxes nor a true mask.")
    return mask_boxes(photo.id, truth.read(photo.id, size).truth)


def _ranks(context: Context, photo: Photo, true: Boxes) -> dict[int, int] | None:
    """By the classifier's scores; None in a run that has no classifier."""
    if context.experiment.teacher != "maps":
        return None
    stored = read_tensors(context.run.folder / "recognised" / f"{photo.id}.safetensors")
    return class_ranks(stored["logits"], true)


def _entry(counts: BoxCounts, level: dict[str, Any]) -> dict[str, Any]:
    """The box of the largest component at one level that no truth chose."""
    return {
        "objects": counts.objects,
        "accuracy": counts.accuracy(0),
        "top1": counts.localised(1, 0),
        "top5": counts.localised(5, 0),
        "level": level.get("level"),
        "level_source": level.get("source"),
        "oracle": None,
    }


def _oracle(counts: BoxCounts) -> dict[str, Any] | None:
    """The scores whose level is the best one for the truth; Top-1 and Top-5 at MaxBoxAcc's."""
    best, by_iou = counts.max_box_acc(), counts.by_iou()
    if best is None or by_iou is None:
        return None
    k = counts.marks.index(best[0])
    return {
        "max_box_acc": best[1],
        "level": best[0],
        "top1": counts.localised(1, k),
        "top5": counts.localised(5, k),
        "max_box_acc_v2": counts.max_box_acc_v2(),
        "by_iou": {f"{iou}": share for iou, share in by_iou.items()},
    }
