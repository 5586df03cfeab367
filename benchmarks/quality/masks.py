"""Photographs with their true masks and the pseudo masks of several runs, side by side.

    python benchmarks/quality/masks.py runs/dogs/dogs-{cam,rec}-0 --out masks.jpg

The runs are of `tag2mask fit`, on the same photographs. A row for each photograph, evenly taken
of those with tags; from left to right the photograph, the truth, and the masks in the order of the
runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from jaxtyping import UInt8
from torch import Tensor

from tag2mask.data import open_data, read_image
from tag2mask.experiment import from_json
from tag2mask.report.overlay import overlay
from tag2mask.report.sheet import sheet, write_jpeg
from tag2mask.storage import read_json, read_labels

SIDE = 160  # pixels of a picture
T = TypeVar("T")


def evenly(all_of_them: Sequence[T], count: int) -> Iterator[T]:
    """Some of them, from the middles of as many equal parts."""
    for number in range(count):
        yield all_of_them[(2 * number + 1) * len(all_of_them) // (2 * count)]


def rows(runs: list[Path], photographs: int) -> Iterator[list[UInt8[Tensor, "3 _ _"]]]:
    """Some photographs, each with the masks of the truth and of all runs."""
    data = open_data(from_json(read_json(runs[0] / "experiment.json")).data)
    if data.truth is None:
        raise SystemExit(f"{runs[0]} has no true masks.")
    photos = [photo for photo in data.train.photos if photo.tags]
    for photo in evenly(photos, photographs):
        image = read_image(photo.path)
        truth = data.truth.read(photo.id, (image.shape[1], image.shape[2])).truth
        masks = [read_labels(run / "masks" / f"{photo.id}.png") for run in runs]
        yield [image, overlay(image, truth), *(overlay(image, mask) for mask in masks)]


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--photographs", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    drawn = list(rows(given.runs, given.photographs))
    write_jpeg(given.out, sheet(drawn, SIDE), quality=82)


if __name__ == "__main__":
    main()
