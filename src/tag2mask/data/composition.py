"""How a composed data set lies on disk: pictures, masks, tables, licences.

A picture is there when its record is: the record is written last, as a file of its own while
composing goes on, then gathered in `instances.json`.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from pycocotools import mask as rle

from tag2mask.data.backgrounds import STOCK
from tag2mask.data.scene import Scene
from tag2mask.storage import read_json, write_bytes, write_json, write_labels, write_text

SPLITS: Final = ("train", "test")
QUALITY: Final = 92

Record = dict[str, Any]


def picture_id(split: str, number: int) -> str:
    """The id of a picture, "train-00012"."""
    return f"{split}-{number:05d}"


def write_scene(out: Path, split: str, number: int, scene: Scene) -> Record:
    """Write picture, mask and, last, the record that says that both are there."""
    name = picture_id(split, number)
    stream = io.BytesIO()
    Image.fromarray(scene.picture).save(stream, format="JPEG", quality=QUALITY)
    write_bytes(out / "images" / f"{name}.jpg", stream.getvalue())
    write_labels(out / "masks" / f"{name}.png", torch.from_numpy(scene.labels()))
    height, width = scene.owners.shape
    background = {"name": scene.background.name, "box": list(scene.background.box)}
    record = {
        "id": name,
        "split": split,
        "width": width,
        "height": height,
        "background": background,
        "objects": [
            _object(cutout.label, cutout.name, scene.mask(number))
            for number, cutout in enumerate(scene.objects, start=1)
        ],
    }
    write_json(out / ".records" / f"{name}.json", record)
    return record


def _object(label: int, cutout: str, mask: Bool[np.ndarray, "H W"]) -> Record:
    """What COCO says about one object, and which cut-out it is."""
    encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "category_id": label,
        "cutout": cutout,
        "area": int(rle.area(encoded)),
        "bbox": [float(value) for value in rle.toBbox(encoded)],
        "segmentation": {
            "size": [int(extent) for extent in encoded["size"]],
            "counts": encoded["counts"].decode("ascii"),
        },
    }


def read_records(out: Path) -> dict[str, Record]:
    """Records of the pictures whose files are all there."""
    records = [read_json(path) for path in sorted((out / ".records").glob("*.json"))]
    if (out / "instances.json").exists():
        records += _unpack(read_json(out / "instances.json"))
    return {
        record["id"]: record
        for record in records
        if (out / "images" / f"{record['id']}.jpg").exists()
        and (out / "masks" / f"{record['id']}.png").exists()
    }


def forget_records(out: Path) -> None:
    """Take away the records of single pictures; `instances.json` has them all."""
    shutil.rmtree(out / ".records", ignore_errors=True)


def _pack(records: Sequence[Record], classes: Sequence[str]) -> Record:
    """COCO's instances: pictures, objects with run lengths, categories."""
    images: list[Record] = []
    annotations: list[Record] = []
    for number, record in enumerate(records, start=1):
        images.append(
            {
                "id": number,
                "file_name": f"{record['id']}.jpg",
                **{key: record[key] for key in ("width", "height", "split", "background")},
            }
        )
        for item in record["objects"]:
            own = {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0}
            annotations.append({**own, **item})
    categories = [{"id": label, "name": name} for label, name in enumerate(classes, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


_COCO_ONLY: Final = ("id", "image_id", "iscrowd")


def _unpack(instances: Record) -> list[Record]:
    records: dict[int, Record] = {}
    for image in instances["images"]:
        kept = {key: image[key] for key in ("split", "width", "height", "background")}
        name = image["file_name"].removesuffix(".jpg")
        records[image["id"]] = {"id": name, **kept, "objects": []}
    for annotation in instances["annotations"]:
        item = {
            key: annotation[key] for key in annotation if key not in ("id", "image_id", "iscrowd")
        }
        records[annotation["image_id"]]["objects"].append(item)
    return list(records.values())


def write_tables(
    out: Path,
    classes: Sequence[str],
    records: Sequence[Record],
    tags: Mapping[str, Sequence[int]],
) -> None:
    """Write classes, splits, tags and instances.

    Args:
        tags: labels that labels.csv shall name, by id.
    """
    write_text(out / "classes.txt", "\n".join(("background", *classes)) + "\n")
    for split in SPLITS:
        ids = [record["id"] for record in records if record["split"] == split]
        write_text(out / "splits" / f"{split}.txt", "".join(f"{name}\n" for name in ids))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("id", "tags"))
    for record in records:
        names = (classes[label - 1] for label in tags[record["id"]])
        writer.writerow((record["id"], " ".join(names)))
    write_text(out / "labels.csv", stream.getvalue())
    content = json.dumps(_pack(records, classes), ensure_ascii=False)
    write_text(out / "instances.json", content + "\n")


def write_licences(out: Path, cutouts: Path | None, backgrounds: Path | None) -> None:
    """Say where the pictures come from and under which licence.

    Args:
        cutouts: folder of own cut-outs, None for OpenMoji.
        backgrounds: folder of own photographs, None for those of the packages.
    """
    lines = ["# Where these pictures come from", ""]
    if cutouts is None:
        lines += [
            "Cut-outs: all drawings designed by OpenMoji – the open-source emoji and icon project "
            "(https://openmoji.org). Licence: CC BY-SA 4.0 "
            "(https://creativecommons.org/licenses/by-sa/4.0/). Changes: rasterised, scaled, "
            "turned, jittered and pasted onto photographs. The composed pictures are shared under "
            "the same licence.",
        ]
    else:
        lines += [_own_folder("Cut-outs", cutouts)]
    lines += [""]
    if backgrounds is None:
        lines += ["Backgrounds, cropped and jittered, shipped inside these packages:", ""]
        lines += [f"- {stock.file} ({stock.folder}): {stock.licence}" for stock in STOCK]
    else:
        lines += [_own_folder("Backgrounds", backgrounds)]
    write_text(out / "LICENSES.md", "\n".join(lines) + "\n")


def _own_folder(what: str, folder: Path) -> str:
    return (
        f"{what}: pictures of the folder `{folder}`. Their licences are those of that folder; "
        "see to them before you share the composed pictures."
    )
