"""Bytes a photograph: raw responses of the tagged classes against full-size maps.

    OMP_NUM_THREADS=1 python benchmarks/speed/store.py

A photograph of 375 × 500 pixels, cells of 16 pixels, scales 1, 0.5, 1.5 and 2, smooth random maps.
The other format is a single precision .npy at full size, tagged classes only, made from the same
responses before they were rounded; labels at a level of 0.3 are compared.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from tag2mask.localize import merge
from tag2mask.mapping import read_maps
from tag2mask.masks import threshold
from tag2mask.nn.views import scaled_size
from tag2mask.storage import write_tensors
from tag2mask.types import CamSet

SIZE = 375, 500
LEVEL = 0.3
PHOTOS = 40


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    grids = [scaled_size(SIZE, 500 * s, 16) for s in (1.0, 0.5, 1.5, 2.0)]
    print("| classes | ours | .npy | ratio | equal labels |\n|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        for count in (1, 2, 3, 4):
            equal = pixels = ours = theirs = 0
            for number in range(PHOTOS):
                coarse = torch.rand(1, count, 6, 8, generator=generator) * 20
                raw = [
                    functional.interpolate(coarse, (h // 16, w // 16), mode="bicubic")[0].relu()
                    for h, w in grids
                ]
                classes = torch.arange(1, count + 1)
                kept = {f"scale{n}": maps.half() for n, maps in enumerate(raw)}
                file = Path(name) / f"{number}.safetensors"
                write_tensors(file, {**kept, "classes": classes, "size": torch.tensor(SIZE)})
                cams = merge("p", classes, raw, SIZE)
                full = functional.interpolate(cams.maps[None], SIZE, mode="bilinear")[0]
                np.save(Path(name) / "p.npy", full.numpy())
                whole = threshold(CamSet("p", classes, full, SIZE), LEVEL).labels
                found = threshold(read_maps(Path(name), str(number)), LEVEL).labels
                equal += int((found == whole).sum())
                pixels += whole.numel()
                ours += file.stat().st_size
                theirs += (Path(name) / "p.npy").stat().st_size
            print(
                f"| {count} | {ours // PHOTOS} | {theirs // PHOTOS} | {theirs / ours:.1f} "
                f"| {equal / pixels:.6f} |"
            )


if __name__ == "__main__":
    main()
