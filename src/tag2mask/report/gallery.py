"""Photographs packed for the page's script: small pictures, small maps, labels as runs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from tag2mask.nn.parts import numbered
from tag2mask.report.overlay import (
    encode,
    heat_table,
    object_colours,
    thumbnail,
    thumbnail_labels,
)
from tag2mask.storage import voc_palette
from tag2mask.types import Instances

PSEUDO: Final = "pseudo mask"  # the decision that the level decides again
DECISIONS: Final = (PSEUDO, "network", "truth")
SURE: Final = 0.5  # score of the network's objects that are shown
OBJECTS: Final = {  # what they are called below their picture, by who decided
    PSEUDO: "objects of the mask",
    "network": f"objects by the instance network, score ≥ {SURE}",
    "truth": "true objects",
}
MAPS: Final = 4  # strongest maps kept of one photograph
MOST: Final = 1000  # photographs in one page


@dataclass(frozen=True, slots=True)
class GalleryItem:
    """One photograph and everything that was said about it.

    Attributes:
        tags: labels 1 … C.
        maps: label and evidence in [0, 1], in any order.
        decisions: labels of every pixel, by who decided.
        iou: by decision, where truth exists.
        numbers: what the gallery shows and sorts by, in 0 … 1.
        doubts: why a person should look, a phrase each.
        note: one line beside the name.
        objects: told apart, by who decided.
    """

    id: str
    split: str
    tags: tuple[int, ...]
    image: UInt8[Tensor, "3 H W"]
    maps: tuple[tuple[int, Float[Tensor, "_ _"]], ...] = ()
    decisions: Mapping[str, UInt8[Tensor, "H W"]] = field(default_factory=dict)
    iou: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    note: str = ""
    objects: Mapping[str, Instances] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Detail:
    """How finely a photograph is kept: longer sides in pixels or cells, and WebP's quality."""

    picture: int
    labels: int
    maps: int
    quality: int


DETAILS: Final = (  # finest first
    Detail(picture=256, labels=160, maps=64, quality=70),
    Detail(picture=208, labels=144, maps=48, quality=55),
    Detail(picture=160, labels=96, maps=32, quality=45),
)
ROOM: Final = 14_000_000  # bytes for all photographs of a page together


def pack(item: GalleryItem, room: float) -> dict[str, Any]:
    """A photograph as the script reads it, as finely as fits.

    Args:
        room: bytes; the coarsest copy is taken even if it needs more.
    """
    for kept in DETAILS:
        packed = _packed(item, kept)
        if len(json.dumps(packed)) <= room:
            break
    return packed


def _packed(item: GalleryItem, kept: Detail) -> dict[str, Any]:
    labels = {
        name: thumbnail_labels(decided, kept.labels) for name, decided in item.decisions.items()
    }
    size = thumbnail_labels(item.image[0], kept.labels).shape
    return {
        "id": item.id.encode("utf-8", "replace").decode("utf-8"),
        "split": item.split,
        "tags": list(item.tags),
        "photo": encode(thumbnail(item.image, kept.picture), quality=kept.quality),
        "size": list(size),
        "weight": round(item.image[0].numel() / size.numel(), 3),
        "labels": {name: _text(runs(small)) for name, small in labels.items()},
        "maps": _pack_maps(item.maps, kept.maps),
        "iou": {name: round(value, 4) for name, value in item.iou.items()},
        "numbers": {name: round(value, 4) for name, value in item.numbers.items()},
        "doubts": list(item.doubts),
        "note": item.note,
        "objects": {name: _pack_objects(o, kept.labels) for name, o in item.objects.items()},
    }


def _pack_objects(found: Instances, side: int) -> dict[str, Any]:
    """Objects as numbered pixels, a colour each."""
    ids, classes = numbered(found)
    small = _text(runs(thumbnail_labels(ids, side)))
    return {"runs": small, "count": len(found), "colours": object_colours(classes).tolist()}


def _pack_maps(
    maps: Sequence[tuple[int, Float[Tensor, "_ _"]]], side: int
) -> dict[str, Any] | None:
    """The strongest maps as bytes, one after the other, labels ascending."""
    strongest = sorted(maps, key=lambda entry: -float(entry[1].float().mean()))[:MAPS]
    if not strongest:
        return None
    ordered = sorted(strongest, key=lambda entry: entry[0])
    small = [shrink_map(evidence, side) for _, evidence in ordered]
    values = b"".join(evidence.numpy().tobytes() for evidence in small)
    classes = [label for label, _ in ordered]
    return {"classes": classes, "size": list(small[0].shape), "values": _text(values)}


def shrink_map(evidence: Float[Tensor, "_ _"], side: int) -> UInt8[Tensor, "_ _"]:
    """A map in [0, 1] as bytes, its longer side at most `side` cells; means of what it was."""
    factor = min(1.0, side / max(evidence.shape))
    size = [max(1, round(extent * factor)) for extent in evidence.shape]
    small = F.interpolate(evidence.float()[None, None], size, mode="area")[0, 0]
    return (small * 255).round().clamp(0, 255).byte()


def runs(labels: UInt8[Tensor, "h w"]) -> bytes:
    """Labels row by row as runs: the label, then how many, seven bits a byte, low bits first."""
    values, counts = torch.unique_consecutive(labels.flatten(), return_counts=True)
    packed = bytearray()
    for label, count in zip(values.tolist(), counts.tolist(), strict=True):
        packed.append(label)
        while count > 127:
            packed.append(count % 128 + 128)
            count //= 128
        packed.append(count)
    return bytes(packed)


def gallery_data(
    items: Iterable[GalleryItem],
    count: int,
    classes: Sequence[str],
    columns: Sequence[str],
    numbers: Mapping[str, str],
) -> dict[str, Any]:
    """Everything the script reads.

    Args:
        items: asked for one by one, so that no more than one photograph is held in full.
        count: how many there will be.
        columns: decisions in the order shown; one that no photograph has gets no column.
        numbers: what photographs are sorted by, and its name.
    """
    photos = [pack(item, ROOM / max(1, count)) for item in items]
    present = [name for name in columns if any(name in photo["labels"] for photo in photos)]
    known = {key: name for key, name in numbers.items() if any(key in p["numbers"] for p in photos)}
    return {
        "classes": list(classes),
        "colours": voc_palette()[: len(classes) + 1].tolist(),
        "heat": _text(heat_table().round().byte().numpy().tobytes()),
        "columns": present,
        "numbers": [{"key": key, "name": name} for key, name in known.items()],
        "maps": any(photo["maps"] for photo in photos),
        "photos": photos,
        "examples": examples(photos),
        "objects": OBJECTS,
    }


def examples(photos: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Two of the best, two in the middle and two of the worst; the first six without any number.

    By true IoU if half of the photographs that are judged at all have it, else by the estimate. The
    very first and the very last of many are often odd, so a twentieth is left out at each end.
    """
    ranked, judged = _ranked(photos, "score"), _ranked(photos, "estimate")
    best, worst = "among the best", "among the worst"
    if 2 * len(ranked) < len(judged):
        ranked, best, worst = judged, "judged good", "judged bad"
    if len(ranked) < 6:
        shown = [*reversed(ranked)] or list(range(min(6, len(photos))))
        return [{"photo": n, "why": "example"} for n in shown]
    middle, edge = len(ranked) // 2, len(ranked) // 20
    chosen = {
        best: (len(ranked) - 1 - edge, len(ranked) - 2 - edge),
        "in the middle": (middle, middle - 1),
        worst: (edge + 1, edge),
    }
    return [{"photo": ranked[n], "why": why} for why, places in chosen.items() for n in places]


def _ranked(photos: Sequence[Mapping[str, Any]], key: str) -> list[int]:
    """Numbers of the photographs that have a number, lowest first."""
    having = [n for n, photo in enumerate(photos) if key in photo["numbers"]]
    return sorted(having, key=lambda n: photos[n]["numbers"][key])


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
