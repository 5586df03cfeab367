"""Progress bars with a time left; quiet where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")
QUIET_LINE_SECONDS = 20.0  # where output is a file, one line this often


def track(items: Iterable[Item], description: str, total: int, done: int = 0) -> Iterator[Item]:
    """Hand items on while a bar on standard error shows how many came and the time left.

    Where standard error is no terminal, a plain line every 20 seconds instead.

    Args:
        total: how many there will be, those done before counted in.
        done: how many were done before (a resumed stage).
    """
    if not sys.stderr.isatty():
        yield from _lines(items, description, total, done)
        return
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task)


def _lines(items: Iterable[Item], description: str, total: int, done: int) -> Iterator[Item]:
    started = last = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last > QUIET_LINE_SECONDS or done + number == total:
            last = now
            left = (now - started) / number * max(0, total - done - number)
            line = f"{description}: {done + number}/{total}, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)
