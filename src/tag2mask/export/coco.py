"""Boxes, masks and instances as COCO's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from tag2mask.export.labelled import Labelled
from tag2mask.nn.runs import pack
from tag2mask.storage import write_json
from tag2mask.types import Boxes, Instances, Size


def write_coco_boxes(path: Path, classes: Sequence[str], found: Iterable[tuple[str, Boxes]]) -> int:
    """Write boxes as images, categories and annotations, whole or not at all; how many there are.

    Image n is the n-th photograph from 1, category c is label c. A box is [x, y, width, height]
    in pixels; without a segmentation, `area` is that of the box. `annotations` with their
    `score` are also COCO's list of results.

    Args:
        found: file name and boxes of every photograph.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (file, boxes) in enumerate(found, 1):
        images.append(_image(number, file, *boxes.size))
        rows = zip(boxes.classes.tolist(), boxes.edges.tolist(), boxes.scores.tolist(), strict=True)
        for label, (left, top, right, bottom), score in rows:
            box = [left, top, right - left, bottom - top]
            about = {"bbox": box, "area": box[2] * box[3], "iscrowd": 0, "score": score}
            annotations.append(_annotation(len(annotations) + 1, number, label, about))
    return _write(path, classes, images, annotations)


def write_coco_masks(path: Path, classes: Sequence[str], found: Iterable[Labelled]) -> int:
    """Write masks as images, categories and annotations, whole or not at all; how many there are.

    An annotation is a class of a photograph, `segmentation` its pixels in COCO's compressed
    run-length encoding: all objects of the class together, for a mask does not tell them apart.
    `iscrowd` is 0 nevertheless, as trainings leave out annotations of crowds. Unknown pixels belong
    to no annotation.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(found, 1):
        images.append(_image(number, one.name, *one.size))
        for label in one.present():
            about = {**_outlined(pack(one.labels == label), one.size), "iscrowd": 0}
            annotations.append(_annotation(len(annotations) + 1, number, label, about))
    return _write(path, classes, images, annotations)


def write_coco_instances(
    path: Path, classes: Sequence[str], found: Iterable[tuple[str, Instances]]
) -> int:
    """Write instances as images, categories and annotations, whole or not at all; how many.

    An annotation is an object, `segmentation` its pixels in COCO's compressed run-length encoding.
    `annotations` with their `score` are also COCO's list of results.

    Args:
        found: file name and objects of every photograph.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (file, one) in enumerate(found, 1):
        images.append(_image(number, file, *one.size))
        rows = zip(one.classes.tolist(), one.runs, one.scores.tolist(), strict=True)
        for label, runs, score in rows:
            about = {**_outlined(runs, one.size), "iscrowd": 0, "score": score}
            annotations.append(_annotation(len(annotations) + 1, number, label, about))
    return _write(path, classes, images, annotations)


def _outlined(runs: bytes, size: Size) -> dict[str, Any]:
    """Box, area and pixels of one mask."""
    packed = {"size": list(size), "counts": runs}
    return {
        "bbox": coco_mask.toBbox(packed).tolist(),
        "area": int(coco_mask.area(packed)),
        "segmentation": {"size": list(size), "counts": runs.decode()},
    }


def _image(number: int, file: str, height: int, width: int) -> dict[str, Any]:
    return {"id": number, "file_name": file, "width": width, "height": height}


def _annotation(number: int, image: int, label: int, about: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": label, **about}


def _write(
    path: Path,
    classes: Sequence[str],
    images: Sequence[dict[str, Any]],
    annotations: Sequence[dict[str, Any]],
) -> int:
    categories = [{"id": label, "name": name} for label, name in enumerate(classes, 1)]
    write_json(path, {"images": images, "categories": categories, "annotations": annotations})
    return len(annotations)
