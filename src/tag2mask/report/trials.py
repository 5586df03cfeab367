"""A search's trials as tables, best first; what read true masks says so in every one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tag2mask.report.numbers import ABSENT, ORACLE, percent

Search = Mapping[str, Any]  # as tune.json holds it
BLIND = "blind"


def trials_table(search: Search) -> RenderableType:
    """A row per trial on the terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    varied, numbers = _columns(search)
    for name in varied:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right")
    for cells in _rows(search):
        table.add_row(*(Text(cell) for cell in cells))
    return Group(Text(_title(search), "bold"), table, Text(_note(search), "dim"))


def trials_markdown(search: Search) -> str:
    """The same as Markdown."""
    varied, numbers = _columns(search)
    head = [*varied, *(name.replace("\n", " ") for name in numbers)]
    lines = [_title(search), "", _line(head), _line(["---"] * len(varied) + ["--:"] * len(numbers))]
    lines += [_line([cell.replace("|", "\\|") for cell in row]) for row in _rows(search)]
    return "\n".join([*lines, "", _note(search)]) + "\n"


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's: the correlation of ranks, the mean rank for equals; None without two of each.

    rho = cov(r, s) / sqrt(var(r) · var(s))
    """
    ranks = [_ranks(first), _ranks(second)]
    middle = (len(first) + 1) / 2
    moved = [[rank - middle for rank in row] for row in ranks]
    spreads = [sum(value * value for value in row) for row in moved]
    if not spreads[0] or not spreads[1]:
        return None
    products: float = sum(a * b for a, b in zip(*moved, strict=True))
    return products / math.sqrt(spreads[0] * spreads[1])


def _ranks(values: Sequence[float]) -> list[float]:
    below = [sum(other < value for other in values) for value in values]
    equal = [sum(other == value for other in values) for value in values]
    return [low + (same + 1) / 2 for low, same in zip(below, equal, strict=True)]


def _columns(search: Search) -> tuple[list[str], list[str]]:
    trials = search["trials"]
    varied = list(trials[0]["values"]) if trials else []
    kind = ORACLE if search["oracle"] else BLIND
    truths = [f"mIoU {name}\n{ORACLE}" for name in _truths(search)]
    return varied, [f"{search['by']}\n{kind}", *truths, "run"]


def _truths(search: Search) -> list[str]:
    """What true masks scored beside the criterion."""
    named = dict.fromkeys(name for trial in search["trials"] for name in trial["truth"])
    return [name for name in named if not (search["oracle"] and search["by"].endswith(name))]


def _rows(search: Search) -> Iterator[list[str]]:
    truths = _truths(search)
    for trial in search["trials"]:
        told = [_spoken(value) for value in trial["values"].values()]
        scored = [percent(trial["score"]), *(percent(trial["truth"].get(n)) for n in truths)]
        yield [*told, *scored, f"failed: {trial['error']}" if trial["error"] else trial["folder"]]


def _title(search: Search) -> str:
    count = len(search["trials"])
    how = "chosen on TRUE MASKS (oracle)" if search["oracle"] else "chosen blind"
    return f"{count} trials, best first by {search['by']} ({search['text']}), {how}, in percent"


def _note(search: Search) -> str:
    """What the ranking is worth."""
    if search["oracle"]:
        return "Whoever takes the best of these has used true masks: say so beside every number."
    pairs = {
        name: [
            (trial["score"], trial["truth"][name])
            for trial in search["trials"]
            if trial["score"] is not None and name in trial["truth"]
        ]
        for name in _truths(search)
    }
    told = [
        f"{name} {ABSENT if rho is None else f'{rho:+.2f}'}"
        for name, found in pairs.items()
        if len(found) > 2
        for rho in [rank_correlation(*zip(*found, strict=True))]
    ]
    blind = (
        "A blind criterion measures how a run agrees with itself or with tags, not how right it is."
    )
    if not told:
        return blind
    return f"{blind} Rank correlation with mIoU, seen by nobody who chose: {', '.join(told)}."


def _spoken(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_spoken, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
