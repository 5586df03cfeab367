"""Scores as tables on the terminal, all in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tag2mask.report.numbers import (
    NO_TRUTH,
    ORACLE,
    SETTINGS,
    Scores,
    level,
    mean,
    percent,
    setting,
    stages,
)

COCO = ("ap", "ap50", "ap75")
COLUMNS = ("mIoU", "prec.", "recall", "over", "under", "bound.", "level")


def scores_table(scores: Scores) -> RenderableType:
    """One run: a table per split with a row per stage, its boxes, then the IoU of every class.

    The best level that truth allows stands in a row of its own, labelled as oracle.
    """
    splits = list(dict.fromkeys(split for split, _, _ in stages(scores)))
    boxes = [_box_table(split, rows) for split, rows in (scores.get("boxes") or {}).items()]
    boxes += [_instance_table(*entry) for entry in (scores.get("instances") or {}).items()]
    if scores.get("powered"):
        boxes.append(powered_table(scores["powered"]))
    if not splits:
        return Group(*boxes) if boxes else Text(NO_TRUTH)
    tables = (_split_table(scores, split) for split in splits)
    return Group(*tables, *boxes, _class_table(scores))


def powered_table(powered: Mapping[str, Any]) -> Table:
    """What truth for some photographs says of all: the mean IoU of a photograph, 95 % intervals.

    Args:
        powered: as in scores.json.
    """
    numbers = ("mean IoU", "interval", "truth alone", "interval", "known", "of")
    table = _table("mean IoU of a photograph, all of them, in percent", ["of"], numbers)
    for name, entry in powered.items():
        cells = [
            part
            for key in ("", "plain")
            for part in (
                Text(percent(entry[key or "mean"]), "" if key else "bold"),
                f"{percent(entry[f'{key}_low'.lstrip('_')])} … "
                f"{percent(entry[f'{key}_high'.lstrip('_')])}",
            )
        ]
        table.add_row(Text(name), *cells, str(entry["known"]), str(entry["total"]))
    return table


def compare_table(runs: Mapping[str, Scores]) -> RenderableType:
    """Several runs: a row per run, a column of mIoU per split and stage.

    Runs that learnt from tags (I), from saliency too (I+S) and from masks stand apart, and the best
    number of a column among each is bold. Below stands what touched the numbers of each.

    Args:
        runs: scores by the run's name.
    """
    found = {
        run: {(split, stage): score["miou"] for split, stage, score in stages(scores)}
        for run, scores in runs.items()
    }
    columns = list(dict.fromkeys(column for row in found.values() for column in row))
    if not columns:
        return Text(NO_TRUTH)
    table = _table("mIoU in percent", ["run"], [f"{split}\n{stage}" for split, stage in columns])
    table.add_column("taught by")
    for kind in SETTINGS:
        alike = {run: row for run, row in found.items() if setting(runs[run]) == kind}
        best = {c: max((row[c] for row in alike.values() if c in row), default=0) for c in columns}
        for run, row in alike.items():
            cells = [
                Text(percent(row.get(column)), "bold" if row.get(column) == best[column] else "")
                for column in columns
            ]
            table.add_row(Text(run), *cells, Text(kind))
        table.add_section()
    return Group(table, *_touched(runs))


def _touched(runs: Mapping[str, Scores]) -> list[Text]:
    """What touched the numbers, once for all runs of which the same is true."""
    alike: dict[str, list[str]] = {}
    for run, scores in runs.items():
        alike.setdefault("; ".join(scores.get("supervision", ())), []).append(run)
    return [Text(f"{', '.join(names)}: {card}.") for card, names in alike.items() if card]


def _split_table(scores: Scores, split: str) -> Table:
    rows = [(stage, score) for name, stage, score in stages(scores) if name == split]
    images = max(score["images"] for _, score in rows)
    table = _table(f"{split}, {images} images, in percent", ["stage"], COLUMNS)
    for stage, score in rows:
        table.add_row(
            Text(stage),
            Text(percent(score["miou"]), "bold"),
            percent(mean(score["precision"])),
            percent(mean(score["recall"])),
            percent(score["over_activation"]),
            percent(score["under_activation"]),
            percent(score["boundary_iou"]),
            level(score),
        )
        best = score.get("oracle")
        if best is not None:
            empty = ["" for _ in COLUMNS[1:-1]]
            cells = [ORACLE, percent(best["miou"]), *empty, f"{best['level']:.2f}"]
            table.add_row(*cells, style="dim italic")
    return table


def _box_table(split: str, rows: Scores) -> Table:
    """Boxes from tags: the share of objects whose box is right, at IoU 0.5 or more.

    The best level's row is MaxBoxAcc under "GT-known", and Top-1 and Top-5 at that level.
    """
    columns = ("GT-known", "Top-1", "Top-5", "MaxBoxAccV2", "level")
    table = _table(f"{split}, boxes of {rows['images']} images, in percent", ["of"], columns)
    for stage, score in rows.items():
        if not isinstance(score, Mapping):
            continue
        shares = [percent(score.get(key)) for key in ("accuracy", "top1", "top5")]
        table.add_row(Text(stage), *shares, "", level(score))
        best = score["oracle"]
        if best is not None:
            keys = ("max_box_acc", "top1", "top5", "max_box_acc_v2")
            cells = [ORACLE, *(percent(best.get(key)) for key in keys), f"{best['level']:.2f}"]
            table.add_row(*cells, style="dim italic")
    return table


def _instance_table(split: str, rows: Scores) -> Table:
    """Objects told apart: AP by VOC's and by COCO's definition."""
    told = {name: score for name, score in rows.items() if isinstance(score, Mapping)}
    counted = next(iter(told.values()))
    numbers = [f"AP {least}" for least in counted["ap"]]
    title = f"{split}, {counted['objects']} objects in {counted['images']} images, in percent"
    table = _table(title, ["instances of"], [*numbers, "COCO AP", "AP50", "AP75"])
    for name, score in told.items():
        values = [*score["ap"].values(), *(score["coco"][key] for key in COCO)]
        table.add_row(Text(name), *map(percent, values))
    table.caption = Text(f"true objects: {rows['truth']}")
    return table


def _class_table(scores: Scores) -> Table:
    rows = list(stages(scores))
    table = _table("IoU per class", ["class"], [f"{split}\n{stage}" for split, stage, _ in rows])
    for name in dict.fromkeys(name for _, _, score in rows for name in score["iou"]):
        table.add_row(Text(name), *(percent(score["iou"].get(name)) for _, _, score in rows))
    return table


def _table(title: str, names: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for name in names:
        table.add_column(name, overflow="fold")
    for number in numbers:
        table.add_column(Text(number), justify="right", no_wrap=False)
    return table
