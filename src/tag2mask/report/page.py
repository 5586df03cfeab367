"""One page that tells what a run did: a single file that asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from tag2mask.report import charts, numbers
from tag2mask.report.gallery import DECISIONS, GalleryItem, gallery_data
from tag2mask.report.headline import Headline
from tag2mask.storage import voc_palette, write_bytes

SORTABLE: Final = {  # what a photograph's numbers are called; the first one there sorts
    "estimate": "estimated quality",
    "score": "IoU",
    "agreement": "agreement of mask and network",
}
MATRIX: Final = 30  # classes in the table of tags that come together


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
        together: how many photographs have both of two tags, C × C.
        level: that decided the pseudo masks; None without maps.
        gallery: asked for one by one.
        shown: how many it holds, of `photographs`.
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
    headline: Headline
    scores: Mapping[str, Any]
    training: Mapping[str, Sequence[Mapping[str, Any]]]
    together: Sequence[Sequence[int]]
    level: float | None
    gallery: Iterable[GalleryItem]
    shown: int
    photographs: int


def write_page(content: PageContent, path: Path) -> None:
    """Write the page as one HTML file with pictures, style and script inside.

    Names of classes and photographs are the user's and are escaped; a name that is not valid
    Unicode loses the letters that are not.
    """
    data = gallery_data(content.gallery, content.shown, content.classes, DECISIONS, SORTABLE)
    some = f"{content.shown} of {content.photographs} photographs, drawn by the seed."
    render(
        path,
        "run.html.j2",
        data,
        title=content.name,
        content=content,
        splits=_splits(content.scores),
        curves=_curves(content),
        matrix=_matrix(content.classes, content.together),
        start=None if content.level is None else round(100 * content.level),
        shown_of=some if content.shown < content.photographs else "",
    )


def render(path: Path, template: str, data: Mapping[str, Any], **values: Any) -> None:
    """Write a page with a gallery; scripts other than the package's own are refused by it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tag2mask.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(numbers=numbers, charts=charts)
    environment.filters.update(percent=numbers.percent)
    script = _file(environment, "page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    page = environment.get_template(template).render(
        style=Markup(_file(environment, "page.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        data=Markup(in_page(data)),
        legend=_legend(data["classes"]),
        photographs=len(data["photos"]),
        parts=sorted({photo["split"] for photo in data["photos"]}, reverse=True),
        sortable=[(entry["key"], entry["name"]) for entry in data["numbers"]],
        first_sort=next((entry["key"] for entry in data["numbers"]), ""),
        doubtful=any(photo["doubts"] for photo in data["photos"]),
        scored=any("truth" in photo["labels"] for photo in data["photos"]),
        **values,
    )
    write_bytes(path, page.encode("utf-8", errors="replace"))


def in_page(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: nothing in it can end the element.

    >>> "<" in in_page({"name": "</script>"})
    False
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _file(environment: jinja2.Environment, name: str) -> str:
    """A file beside the templates as it is."""
    if environment.loader is None:
        raise TypeError("the environment has no loader.")
    return environment.loader.get_source(environment, name)[0]


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


def _matrix(classes: Sequence[str], together: Sequence[Sequence[int]]) -> dict[str, Any] | None:
    """Which tags come together: the commonest classes, counts, shares of the row's class."""
    commonest = sorted(range(len(together)), key=lambda c: -together[c][c])[:MATRIX]
    chosen = sorted(commonest)
    if len(chosen) < 2:
        return None
    rows = [
        (
            classes[row],
            [
                (together[row][column], 100 * together[row][column] / max(1, together[row][row]))
                for column in chosen
            ],
        )
        for row in chosen
    ]
    left_out = len(together) - len(chosen)
    return {"names": [classes[c] for c in chosen], "rows": rows, "left_out": left_out}
