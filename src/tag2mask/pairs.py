"""Two runs side by side: the same photographs, what either run makes of them, and truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from tag2mask.data import Photo, open_data, read_image
from tag2mask.errors import InputError
from tag2mask.evaluate import confusion, paired_bootstrap, scores
from tag2mask.evaluate.quality import agreement
from tag2mask.experiment import from_json
from tag2mask.pages import choice, decisions
from tag2mask.progress import track
from tag2mask.report import PSEUDO, GalleryItem, PairRow, gallery_data, write_pair
from tag2mask.runs import existing_run
from tag2mask.stages import Context, supervision
from tag2mask.storage import read_json
from tag2mask.types import Confusion

DECIDED: Final = (PSEUDO, "network")


@dataclass(slots=True)
class Pair:
    """Two runs, and what was counted of them so far.

    Attributes:
        counted: confusions of single photographs by split and decision, a pair each.
    """

    runs: tuple[Context, Context]
    names: tuple[str, str]
    counted: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = field(default_factory=dict)

    def column(self, name: str, number: int) -> str:
        """What a decision of one of the runs is called."""
        return f"{name}, {self.names[number]}"

    def items(self, photos: Sequence[tuple[Photo, str]]) -> Iterator[GalleryItem]:
        """Photographs with what both runs say; what has truth is counted."""
        for photo, split in photos:
            yield self.item(photo, split)

    def item(self, photo: Photo, split: str) -> GalleryItem:
        """One photograph with what both runs say."""
        image = read_image(photo.path)
        found = [decisions(run, photo, (image.shape[-2], image.shape[-1])) for run in self.runs]
        truth, classes = found[0].get("truth"), self.runs[0].classes
        shown: dict[str, Tensor] = {}
        iou: dict[str, float] = {}
        numbers: dict[str, float] = {}
        for name in [name for name in DECIDED if all(name in labels for labels in found)]:
            pair = (found[0][name], found[1][name])
            columns = [self.column(name, number) for number in (0, 1)]
            shown |= dict(zip(columns, pair, strict=True))
            if "agreement" not in numbers:
                numbers["agreement"] = agreement(*pair, classes)
            if truth is None:
                continue
            tables = [confusion(truth, labels, classes) for labels in pair]
            mious = [scores(table).miou for table in tables]
            iou |= dict(zip(columns, mious, strict=True))
            numbers.setdefault("difference", mious[1] - mious[0])
            kept = self.counted.setdefault((split, name), [])
            kept.append((tables[0].counts, tables[1].counts))
        if truth is not None:
            shown["truth"] = truth
        note = "held out" if split == "test" else ""
        return GalleryItem(photo.id, split, photo.tags, image, (), shown, iou, numbers, (), note)

    def rows(self) -> list[PairRow]:
        """What was counted, as scores."""
        found = []
        for (split, name), kept in self.counted.items():
            first, second = (torch.stack([pair[side] for pair in kept]) for side in (0, 1))
            between = paired_bootstrap(second[None], first[None])
            mious = [scores(Confusion(tables.sum(0))).miou for tables in (first, second)]
            values = (between.difference, between.low, between.high, len(kept))
            found.append(PairRow(f"{name}, {split}", (mious[0], mious[1]), *values))
        return found


def compare_pages(folders: tuple[Path, Path], path: Path) -> int:
    """Write two runs side by side, photograph by photograph; how many photographs there are.

    Raises:
        InputError: a folder holds no run, or the runs have other classes or no common photograph.
    """
    first, second = runs = (_context(folders[0]), _context(folders[1]))
    if first.data.train.classes != second.data.train.classes:
        raise InputError(
            f"{folders[0]} and {folders[1]} have different classes; give runs with the same ones."
        )
    there = {(photo.id, split) for photo, split in choice(second)}
    common = [(photo, split) for photo, split in choice(first) if (photo.id, split) in there]
    if not common:
        raise InputError(
            f"{folders[0]} and {folders[1]} have no photograph in common; give runs on the same."
        )
    pair = Pair(runs, _names(folders))
    columns = [pair.column(name, number) for name in DECIDED for number in (0, 1)]
    numbers = {
        "difference": f"IoU, {pair.names[1]} − {pair.names[0]}",
        "agreement": "agreement of the two",
    }
    stream = track(pair.items(common), "comparing", len(common))
    classes = first.data.train.classes
    data = gallery_data(stream, len(common), classes, (*columns, "truth"), numbers)
    told = {name: supervision(run) for name, run in zip(pair.names, runs, strict=True)}
    write_pair(path, pair.names, data | {"examples": []}, pair.rows(), told)
    return len(common)


def _context(folder: Path) -> Context:
    run = existing_run(folder)
    experiment = from_json(read_json(run.folder / "experiment.json"))
    return Context(experiment, run, open_data(experiment.data))


def _names(folders: tuple[Path, Path]) -> tuple[str, str]:
    """The folders' names; their paths where those are equal."""
    first, second = (folder.resolve() for folder in folders)
    if first.name != second.name:
        return first.name, second.name
    return str(folders[0]), str(folders[1])
