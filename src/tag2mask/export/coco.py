"""Boxes as COCO's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tag2mask.storage import write_json
from tag2mask.types import Boxes


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
        height, width = boxes.size
        images.append({"id": number, "file_name": file, "width": width, "height": height})
        rows = zip(boxes.classes.tolist(), boxes.edges.tolist(), boxes.scores.tolist(), strict=True)
        for label, (left, top, right, bottom), score in rows:
            box = [left, top, right - left, bottom - top]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "score": score,
                }
            )
    categories = [{"id": label, "name": name} for label, name in enumerate(classes, 1)]
    write_json(path, {"images": images, "categories": categories, "annotations": annotations})
    return len(annotations)
