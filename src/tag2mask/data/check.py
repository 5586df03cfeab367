"""What is there, before anyone trains: every file opened, every problem named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tag2mask.data.collection import Collection, Truth
from tag2mask.data.open import open_data
from tag2mask.data.options import DataOptions
from tag2mask.data.read import image_size, verify
from tag2mask.data.saliency import SaliencyFolder, open_saliency
from tag2mask.errors import InputError
from tag2mask.progress import track
from tag2mask.types import Size

MATRIX: Final = 20  # classes up to which co-occurrence is a matrix
PAIRS: Final = 15  # strongest pairs shown beyond


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What one split holds; broken photographs are left out.

    Attributes:
        counts: photographs with each tag, in the order of the classes.
        tags_per_image: photographs by number of tags, ascending.
        together: photographs that have both labels of a pair; the smaller label first.
        sizes: of the photographs with the fewest and with the most pixels; None without any.
        with_truth: photographs whose true mask is there and fits.
        with_saliency: photographs whose saliency map is there and fits; None if none are given.
    """

    name: str
    images: int
    counts: tuple[int, ...]
    tags_per_image: Mapping[int, int]
    together: Mapping[tuple[int, int], int]
    sizes: tuple[Size, Size] | None
    with_truth: int
    with_saliency: int | None = None


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
    """Decode everything once, and list every problem of a file instead of stopping at the first.

    Raises:
        InputError: the data cannot be opened at all (no folder, no table, an empty class), or no
            photograph can be read.
    """
    data = open_data(replace(options, skip_bad=True))
    salient = open_saliency(options.saliency)
    splits: list[SplitReport] = []
    problems: list[str] = []
    for name, listed in (("train", data.train), ("test", data.test)):
        if listed is None:
            continue
        readable = verify(listed, skip_bad=True)
        sizes = {photo.id: image_size(photo.path) for photo in readable.photos}
        fitting, wrong = _check_truth(data.truth, sizes)
        problems += [*(f"{one.id}: {one.reason}" for one in readable.skipped), *wrong]
        split = _split(name, readable, list(sizes.values()), fitting)
        if salient is not None and name == "train":  # nothing else learns from it
            wrong = _check_saliency(salient, sizes)
            problems += wrong
            split = replace(split, with_saliency=len(sizes) - len(wrong))
        splits.append(split)
    return CheckReport(data.format, data.train.classes, tuple(splits), tuple(problems))


def _check_truth(truth: Truth | None, sizes: Mapping[str, Size]) -> tuple[int, list[str]]:
    """How many photographs have a true mask that fits, and what is wrong with the others."""
    known = [name for name in sizes if truth is not None and name in truth]
    wrong = []
    if truth is not None:
        for name in track(known, "Checking true masks", len(known)):
            try:
                truth.read(name, sizes[name])
            except InputError as error:
                wrong.append(str(error))
    return len(known) - len(wrong), wrong


def _check_saliency(salient: SaliencyFolder, sizes: Mapping[str, Size]) -> list[str]:
    """What is wrong with the saliency maps."""
    wrong = []
    for name in track(sizes, "Checking saliency maps", len(sizes)):
        try:
            salient.read(name, sizes[name])
        except InputError as error:
            wrong.append(str(error))
    return wrong


def _split(name: str, readable: Collection, sizes: Sequence[Size], fitting: int) -> SplitReport:
    tags = [photo.tags for photo in readable.photos]
    counts = Counter(label for one in tags for label in one)
    by_pixels = sorted(sizes, key=lambda size: size[0] * size[1])
    return SplitReport(
        name,
        len(readable.photos),
        tuple(counts[label] for label in range(1, len(readable.classes) + 1)),
        dict(sorted(Counter(map(len, tags)).items())),
        dict(Counter(pair for one in tags for pair in combinations(one, 2))),
        (by_pixels[0], by_pixels[-1]) if by_pixels else None,
        fitting,
    )


def render(report: CheckReport) -> RenderableType:
    """The report as tables for a terminal."""
    parts: list[RenderableType] = [Text(f"{report.format} with {len(report.classes)} classes")]
    for split in report.splits:
        parts += [Text(f"\n{split.name}", style="bold"), _facts(split)]
    parts += [Text(), _counts(report)]
    for split in report.splits:
        parts += [Text(), _together(report.classes, split)]
    if not report.problems:
        return Group(*parts, Text("\nEvery file can be used."))
    several = "s" if len(report.problems) > 1 else ""
    parts.append(Text(f"\n{len(report.problems)} problem{several}", style="bold red"))
    return Group(*parts, *(Text(f"  {problem}") for problem in report.problems))


def _facts(split: SplitReport) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2))
    spread = [f"{n} on {images}" for n, images in split.tags_per_image.items() if n]
    table.add_row("photographs", str(split.images))
    table.add_row("tags per photograph", ", ".join(spread) or "none")
    table.add_row("without a tag", str(split.tags_per_image.get(0, 0)))
    if split.sizes:
        small, large = (f"{wide} × {high}" for high, wide in split.sizes)
        table.add_row("smallest and largest", f"{small} and {large} pixels")
    table.add_row("with a true mask", f"{split.with_truth} of {split.images}")
    if split.with_saliency is not None:
        table.add_row("with saliency", f"{split.with_saliency} of {split.images}")
    return table


def _counts(report: CheckReport) -> Table:
    table = Table(box=None, padding=(0, 2))
    table.add_column("label", justify="right")
    table.add_column("class")
    for split in report.splits:
        table.add_column(split.name, justify="right")
    for label, name in enumerate(report.classes, 1):
        counts = [str(split.counts[label - 1]) for split in report.splits]
        table.add_row(str(label), Text(name), *counts)
    return table


def _together(classes: Sequence[str], split: SplitReport) -> RenderableType:
    """Tags that come together: a matrix for few classes, the strongest pairs for many."""
    if not split.together:
        return Text(f"No two tags come together in {split.name}.")
    shown = _matrix if len(classes) <= MATRIX else _pairs
    title = Text(f"photographs of {split.name} with both tags")
    return Group(title, shown(classes, split.together))


def _matrix(classes: Sequence[str], together: Mapping[tuple[int, int], int]) -> Table:
    table = Table(box=None, padding=(0, 1))
    table.add_column("")
    for label in range(1, len(classes) + 1):
        table.add_column(str(label), justify="right")
    for row, name in enumerate(classes, 1):
        cells = [_cell(together, row, column) for column in range(1, len(classes) + 1)]
        table.add_row(Text(f"{row} {name}"), *cells)
    return table


def _cell(together: Mapping[tuple[int, int], int], row: int, column: int) -> str:
    if row == column:
        return "–"
    return str(together.get((min(row, column), max(row, column)), 0))


def _pairs(classes: Sequence[str], together: Mapping[tuple[int, int], int]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column("")
    table.add_column("", justify="right")
    strongest = sorted(together.items(), key=lambda item: (-item[1], item[0]))[:PAIRS]
    for (one, other), images in strongest:
        table.add_row(Text(f"{classes[one - 1]} and {classes[other - 1]}"), str(images))
    if len(together) > PAIRS:
        table.add_row(f"and {len(together) - PAIRS} more pairs", "")
    return table
