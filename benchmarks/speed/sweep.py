"""Sixty thresholds: one pass over the store against one read of every file per threshold.

    OMP_NUM_THREADS=1 python benchmarks/speed/sweep.py                    # 30 photographs
    OMP_NUM_THREADS=1 python benchmarks/speed/sweep.py --photos 1449      # long

Photographs of 375 × 500 pixels with two classes. The peer keeps what the field's code keeps, a
full-size single precision map per class in a .npy, and reads it and the true mask for every
threshold. Both count on one machine in one run; all 60 confusions are compared first.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from side_by_side import compare, machine, table
from torch import Tensor
from torch.nn import functional

from tag2mask.evaluate import sweep
from tag2mask.localize import merge
from tag2mask.mapping import read_maps
from tag2mask.storage import read_labels, write_labels, write_tensors
from tag2mask.types import UNKNOWN, CamSet

SIZE = 375, 500
GRIDS = (24, 32), (12, 16), (36, 48), (48, 64)
CLASSES = 20
LEVELS = [k / 100 for k in range(60)]


def blobs(generator: torch.Generator, grid: tuple[int, int]) -> Tensor:
    """Smooth evidence for two classes."""
    coarse = torch.rand(1, 2, 5, 7, generator=generator)
    return functional.interpolate(coarse, grid, mode="bicubic").clamp(min=0)[0]


def write(folder: Path, photos: int) -> None:
    """The store, the peer's files and the truths."""
    generator = torch.Generator().manual_seed(0)
    for number in range(photos):
        classes = torch.randperm(CLASSES, generator=generator)[:2].sort().values + 1
        scales = {f"scale{n}": blobs(generator, g).half() for n, g in enumerate(GRIDS)}
        write_tensors(
            folder / f"{number}.safetensors",
            {**scales, "classes": classes, "size": torch.tensor(SIZE)},
        )
        cams = merge(str(number), classes, list(scales.values()), SIZE)
        full = functional.interpolate(cams.maps[None], SIZE, mode="bilinear")[0]
        np.save(folder / f"{number}.npy", {"keys": classes.numpy(), "maps": full.numpy()})
        picture = blobs(generator, (12, 16))
        smooth = functional.interpolate(picture[None], SIZE, mode="bilinear")[0]
        best, winner = smooth.max(dim=0)
        truth = torch.where(best > 0.6, classes[winner], 0).to(torch.uint8)
        truth[(best > 0.59) & (best < 0.61)] = UNKNOWN
        write_labels(folder / f"{number}.png", truth)


def one_pass(folder: Path, photos: int) -> list[Tensor]:
    """Confusions of all levels."""

    def pairs() -> Iterator[tuple[CamSet, Tensor]]:
        for number in range(photos):
            yield read_maps(folder, str(number)), read_labels(folder / f"{number}.png")

    curve = sweep(pairs(), CLASSES, LEVELS)
    return [curve.confusion(k).counts for k in range(len(LEVELS))]


def one_read_each(folder: Path, photos: int) -> list[Tensor]:
    """The same, every file read at every level."""
    found = []
    for level in LEVELS:
        counts = np.zeros((CLASSES + 1) ** 2, dtype=np.int64)
        for number in range(photos):
            stored = np.load(folder / f"{number}.npy", allow_pickle=True).item()
            truth = read_labels(folder / f"{number}.png").numpy()
            maps = np.pad(stored["maps"], ((1, 0), (0, 0), (0, 0)), constant_values=level)
            labels = np.pad(stored["keys"], (1, 0))[maps.argmax(axis=0)]
            known = truth != UNKNOWN
            pairs = (CLASSES + 1) * truth[known].astype(int) + labels[known]
            counts += np.bincount(pairs, minlength=len(counts))
        found.append(torch.from_numpy(counts.reshape(CLASSES + 1, -1)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=30)
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder, photos = Path(name), options.photos
        write(folder, photos)
        ours, peer = one_pass(folder, photos), one_read_each(folder, photos)
        equal = sum(map(torch.equal, ours, peer))
        row = compare(
            f"sweep of 60 levels, {photos} photographs",
            lambda: one_pass(folder, photos),
            lambda: one_read_each(folder, photos),
            agreement=f"{equal} of 60 confusions equal",
            mark=150,
            repetitions=options.repetitions,
        )
        print(machine(), table([row]), sep="\n\n")
        print(f"\nOne pass: {row.ours / photos * 1e3:.2f} ms a photograph.")


if __name__ == "__main__":
    main()
