"""Random walk: the stencil against the power of the dense matrix.

    OMP_NUM_THREADS=1 python benchmarks/speed/walk.py                  # 47 × 63 cells, a minute
    OMP_NUM_THREADS=1 python benchmarks/speed/walk.py --stride 4       # 94 × 125 cells, long

A photograph of 375 × 500 pixels, radius 5, 256 steps. The peer does what the field's code does: the
matrix T over all pairs of cells, dense, squared 8 times, then times the map; both in single
precision. At stride 4 that is 11750 × 11750 numbers, 26 TFLOP and minutes, so the peer runs once
there and the stencil 7 times; else repetitions are interleaved. The affinity is PSA's,
exp(− mean |f_i − f_j|), of colours in place of a network's features.
"""

from __future__ import annotations

import argparse
import statistics

import skimage.data
import torch
from side_by_side import (
    REPETITIONS,
    Comparison,
    compare,
    machine,
    same_fraction,
    seconds,
    table,
)
from torch import Tensor
from torch.nn import functional

from tag2mask.nn.walk import half_disc, walk

SIZE = 375, 500
BETA = 10.0
SQUARINGS = 8
BACKGROUND = 0.25  # level of the decision, times the maximum


def colour_affinity(cells: Tensor) -> Tensor:
    """exp(− mean |I_i − I_j|) for every cell and step; wrapped around where it is ignored."""
    gaps = [(cells - cells.roll((-y, -x), dims=(1, 2))).abs().mean(0) for y, x in half_disc()]
    return (-torch.stack(gaps)).exp()


def transition_matrix(affinity: Tensor) -> Tensor:
    """T over all pairs of cells; columns add to 1."""
    height, width = affinity.shape[1:]
    numbers = torch.arange(height * width).view(height, width)
    matrix = torch.eye(height * width)
    for values, (y, x) in zip(affinity, half_disc(), strict=True):
        columns = slice(max(0, -x), width - max(0, x))
        first = numbers[: height - y, columns].flatten()
        second = first + y * width + x
        powers = values[: height - y, columns].flatten() ** BETA
        matrix[first, second] = matrix[second, first] = powers
    return matrix.div_(matrix.sum(0, keepdim=True))


def dense_power(affinity: Tensor) -> Tensor:
    """T^256."""
    matrix = transition_matrix(affinity)
    for _ in range(SQUARINGS):
        matrix = matrix @ matrix
    return matrix


def dense(maps: Tensor, affinity: Tensor) -> Tensor:
    return (maps.flatten(1) @ dense_power(affinity)).view_as(maps)


def decide(maps: Tensor) -> Tensor:
    """The best class, or background below a quarter of the maximum."""
    best, labels = maps.max(0)
    return torch.where(best > BACKGROUND * maps.max(), labels + 1, 0)


def example(grid: list[int], classes: int) -> Tensor:
    """Smooth maps."""
    generator = torch.Generator().manual_seed(classes)
    coarse = torch.rand(1, classes, 6, 8, generator=generator).square()
    return functional.interpolate(coarse, grid, mode="bicubic")[0].clamp(0, 1)


def interleaved(maps: Tensor, affinity: Tensor, name: str) -> Comparison:
    def ours() -> Tensor:
        return walk(maps, affinity, BETA, 2**SQUARINGS)

    def peer() -> Tensor:
        return dense(maps, affinity)

    agreement = same_fraction(decide(ours()), decide(peer()))
    return compare(name, ours, peer, agreement=agreement)


def once(maps: Tensor, affinity: Tensor, power: Tensor, squaring: float, name: str) -> Comparison:
    """The peer's matrix is made once for all maps, and its time counts for each."""
    kept = []

    def ours() -> Tensor:
        return walk(maps, affinity, BETA, 2**SQUARINGS)

    multiplying = seconds(lambda: kept.append(maps.flatten(1) @ power))
    theirs = squaring + multiplying
    times = [seconds(ours) for _ in range(REPETITIONS)]
    low, middle, high = (theirs / time for time in statistics.quantiles(times, n=4)[::-1])
    agreement = same_fraction(decide(ours()), decide(kept[0].view_as(maps)))
    return Comparison(
        name, statistics.median(times), theirs, middle, (low, high), agreement, mark=1000
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stride", type=int, default=8, choices=[4, 8, 16])
    parser.add_argument("--classes", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    grid = [-(-extent // options.stride) for extent in SIZE]
    photograph = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float() / 255
    affinity = colour_affinity(functional.interpolate(photograph, grid, mode="area")[0])
    examples = {
        f"{grid[0]} × {grid[1]} cells, {classes} classes": example(grid, classes)
        for classes in options.classes
    }
    if options.stride > 4:
        print(table(interleaved(maps, affinity, name) for name, maps in examples.items()))
        return
    kept: list[Tensor] = []
    squaring = seconds(lambda: kept.append(dense_power(affinity)))
    print("The peer ran once, the stencil 7 times.")
    rows = (once(maps, affinity, kept[0], squaring, name) for name, maps in examples.items())
    print(table(rows))


if __name__ == "__main__":
    main()
