"""What is there, before anyone trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tag2mask.data.collection import Collection, Skipped
from tag2mask.data.open import open_data
from tag2mask.data.options import DataOptions
from tag2mask.data.read import image_size, verify
from tag2mask.errors import InputError
from tag2mask.progress import track
from tag2mask.types import Size

MATRIX: Final = 20  # classes up to which co-occurrence is a matrix
PAIRS: Final = 15  # strongest pairs shown beyond


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What one split holds.

    Attributes:
        counts: photographs with each tag, in the order of the classes.
        tags_per_image: photographs by number of tags.
        together: photographs that carry both labels of a pair.
        sizes: of the smallest and of the largest photograph, by pixels; None without any.
        with_truth: photographs that have a true mask.
    """

    name: str
    images: int
    counts: tuple[int, ...]
    tags_per_image: dict[int, int]
    together: dict[tuple[int, int], int]
    sizes: tuple[Size, Size] | None
    with_truth: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a folder of photographs holds.

    Attributes:
        problems: files and rows that cannot be used, a sentence each.
    """

    format: str
    classes: tuple[str, ...]
    splits: tuple[SplitReport, ...]
    problems: tuple[str, ...]


def check(options: DataOptions) -> CheckReport:
    """Read everything once and list every problem of a file, instead of stopping at the first.

    Raises:
        InputError: the data cannot be opened at all (no folder, no table, an unknown column).
    """
    data = open_data(replace(options, skip_bad=True))
    splits, problems = [], []
    parts = [("train", data.train), ("test", data.test)]
    for name, listed in parts:
        if listed is None:
            continue
        readable = verify(listed, skip_bad=True)
        problems.extend(_reasons(readable.skipped))
        if data.truth is not None:
            known = [photo for photo in readable.photos if photo.id in data.truth]
            for photo in track(known, "Checking true masks", len(known)):
                try:
                    data.truth.read(photo.id, image_size(photo.path))
                except InputError as error:
                    problems.append(str(error))
            splits.append(_split(name, readable, len(known)))
        else:
            splits.append(_split(name, readable, 0))
    return CheckReport(data.format, data.train.classes, tuple(splits), tuple(problems))


def _reasons(skipped: Sequence[Skipped]) -> list[str]:
    return [item.reason for item in skipped]


def _split(name: str, collection: Collection, with_truth: int) -> SplitReport:
    counts = Counter(tag for photo in collection.photos for tag in photo.tags)
    together = Counter(pair for photo in collection.photos for pair in combinations(photo.tags, 2))
    sizes = sorted((image_size(p.path) for p in collection.photos), key=lambda s: s[0] * s[1])
    return SplitReport(
        name,
        len(collection.photos),
        tuple(counts[label] for label in range(1, len(collection.classes) + 1)),
        dict(sorted(Counter(len(photo.tags) for photo in collection.photos).items())),
        dict(together),
        (sizes[0], sizes[-1]) if sizes else None,
        with_truth,
    )


def render(report: CheckReport) -> RenderableType:
    """The report as tables for a terminal."""
    parts: list[RenderableType] = [Text(f"format: {report.format}")]
    for split in report.splits:
        parts += [_facts(split), _counts(report.classes, split), _together(report.classes, split)]
    if report.problems:
        parts.append(Text(f"\n{len(report.problems)} problems", style="bold red"))
        parts += [Text(f"  {problem}") for problem in report.problems]
    else:
        parts.append(Text("\nNo problems."))
    return Group(*parts)


def _facts(split: SplitReport) -> RenderableType:
    table = Table(box=None, show_header=False, title=f"\n{split.name}", title_justify="left")
    table.add_row("photographs", str(split.images))
    spread = ", ".join(f"{n} tags: {images}" for n, images in split.tags_per_image.items() if n)
    table.add_row("tags per photograph", spread or "none")
    table.add_row("without a tag", str(split.tags_per_image.get(0, 0)))
    if split.sizes:
        (low, wide), (high, broad) = split.sizes
        table.add_row("smallest, largest", f"{wide} × {low}, {broad} × {high} pixels")
    table.add_row("with a true mask", f"{split.with_truth} of {split.images}")
    return table


def _counts(classes: Sequence[str], split: SplitReport) -> RenderableType:
    table = Table(box=None, title="photographs per class", title_justify="left")
    table.add_column("class")
    table.add_column("photographs", justify="right")
    for name, count in zip(classes, split.counts, strict=True):
        table.add_row(Text(name), str(count))
    return table


def _together(classes: Sequence[str], split: SplitReport) -> RenderableType:
    """Tags that come together: a matrix for few classes, the strongest pairs for many."""
    table = Table(
        box=None, padding=(0, 1, 0, 0), title="tags that come together", title_justify="left"
    )
    if not split.together:
        return Text("no two tags come together")
    if len(classes) <= MATRIX:
        table.add_column("", no_wrap=True)
        for label in range(1, len(classes) + 1):
            table.add_column(str(label), justify="right")
        for row, name in enumerate(classes, start=1):
            pairs = [tuple(sorted((row, other))) for other in range(1, len(classes) + 1)]
            cells = ["–" if a == b else str(split.together.get((a, b), 0) or "·") for a, b in pairs]
            table.add_row(Text(f"{row} {name}"), *cells)
        return table
    table.add_column("pair")
    table.add_column("photographs", justify="right")
    for (a, b), count in Counter(split.together).most_common(PAIRS):
        table.add_row(Text(f"{classes[a - 1]}, {classes[b - 1]}"), str(count))
    return table
