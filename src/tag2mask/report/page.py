"""One page that tells what a run did: a single file that asks nobody for anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from jaxtyping import Float, UInt8
from jinja2 import Environment, StrictUndefined
from torch import Tensor

from tag2mask.report import charts, numbers
from tag2mask.report.overlay import encode, heat, overlay, thumbnail, thumbnail_labels
from tag2mask.storage import voc_palette, write_bytes

SIDE: Final = 224  # pixels of a picture's longer side in the page
DECISIONS: Final = ("pseudo mask", "network", "truth")
MAPS: Final = 4  # strongest maps shown of one photograph


@dataclass(frozen=True, slots=True)
class GalleryItem:
    """One photograph and everything that was said about it.

    Attributes:
        tags: class names, each one of the page's classes.
        maps: class name and evidence in [0, 1], in any order.
        note: one line beside the name, such as the photograph's IoU.
    """

    id: str
    tags: tuple[str, ...]
    image: UInt8[Tensor, "3 H W"]
    maps: tuple[tuple[str, Float[Tensor, "h w"]], ...] = ()
    pseudo: UInt8[Tensor, "H W"] | None = None
    network: UInt8[Tensor, "H W"] | None = None
    truth: UInt8[Tensor, "H W"] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PageContent:
    """What the page tells.

    Attributes:
        data: what the run learned from, as a person would name it.
        images: how many photographs it learned from.
        classes: foreground class names; label = index + 1.
        supervision: everything that touched the run, one phrase each.
        seconds: how long it took; left out where it is not told.
        scores: as in scores.json; without splits where there is no truth.
        training: the lines of log.jsonl by what was trained.
    """

    name: str
    method: str
    backbone: str
    data: str
    images: int
    machine: str
    seconds: float | None
    seed: int
    classes: tuple[str, ...]
    supervision: tuple[str, ...]
    scores: Mapping[str, Any]
    training: Mapping[str, Sequence[Mapping[str, Any]]]
    gallery: tuple[GalleryItem, ...]


def write_page(content: PageContent, path: Path) -> None:
    """Write the page as one HTML file with pictures, style and script inside.

    Names of classes and photographs are the user's and are escaped; a name that is not valid
    Unicode loses the letters that are not.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(numbers=numbers, charts=charts)
    environment.filters.update(percent=numbers.percent)
    template = files("tag2mask.report").joinpath("template.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(template).render(
        content=content,
        splits=_splits(content.scores),
        curves=_curves(content),
        legend=_legend(content.classes),
        cards=_cards(content),
    )
    write_bytes(path, page.encode("utf-8", errors="replace"))


def _splits(scores: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    splits: dict[str, dict[str, Any]] = {}
    for split, stage, score in numbers.stages(scores):
        splits.setdefault(split, {})[stage] = score
    return splits


def _curves(content: PageContent) -> list[charts.Chart]:
    thresholds = [
        charts.threshold_chart(f"Background level, {stage} of {split}", score)
        for split, stage, score in numbers.stages(content.scores)
    ]
    losses = [charts.loss_chart(f"Training, {name}", log) for name, log in content.training.items()]
    return [chart for chart in (*thresholds, *losses) if chart is not None]


def _legend(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Class name and CSS colour."""
    colours = voc_palette()
    return [
        (name, "#{:02x}{:02x}{:02x}".format(*colours[label]))
        for label, name in enumerate(classes, start=1)
    ]


def _cards(content: PageContent) -> list[dict[str, Any]]:
    """The gallery's rows; a decision that no photograph has gets no column."""
    rows = [_decisions(item) for item in content.gallery]
    shown = [name for name in DECISIONS if any(row[name] is not None for row in rows)]
    return [_card(item, content.classes, shown) for item in content.gallery]


def _decisions(item: GalleryItem) -> dict[str, UInt8[Tensor, "H W"] | None]:
    return dict(zip(DECISIONS, (item.pseudo, item.network, item.truth), strict=True))


def _card(item: GalleryItem, classes: Sequence[str], shown: Sequence[str]) -> dict[str, Any]:
    """One photograph's row in the gallery, its pictures encoded."""
    image = thumbnail(item.image, SIDE)
    strongest = sorted(item.maps, key=lambda entry: -float(entry[1].float().mean()))
    decisions = [(name, _decisions(item)[name]) for name in shown]
    return {
        "id": item.id,
        "note": item.note,
        "tags": [(classes.index(name), name) for name in item.tags],
        "photo": encode(image),
        "maps": [(name, encode(heat(image, evidence))) for name, evidence in strongest[:MAPS]],
        "more": len(strongest[MAPS:]),
        "decisions": [
            (
                name,
                labels
                if labels is None
                else encode(overlay(image, thumbnail_labels(labels, SIDE))),
            )
            for name, labels in decisions
        ],
    }
