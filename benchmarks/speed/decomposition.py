"""What REC costs with many labels: seconds and memory of a step, by which labels are composed.

    OMP_NUM_THREADS=1 python benchmarks/speed/decomposition.py --size 160 --batch 4

Seconds are the processor's, of one thread: the median of three steps (forward, backward, the
optimizer's) after one. Every row runs in a process of its own, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

import torch

from tag2mask.methods.rec import REC, RECOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.types import TagBatch

ROWS = {
    "background and tags": RECOptions(),
    "and 2 absent classes, drawn": RECOptions(told=False, absent=2),
    "all": RECOptions(told=False, absent=1000),
}
STEPS = 3


def row(name: str, classes: int, size: int, count: int) -> str:
    """Seconds of a step, and the process's peak memory in gigabytes."""
    torch.manual_seed(0)
    room = REC(ROWS[name], Backbone(BackboneOptions()), classes).train()
    tags = torch.zeros(count, classes, dtype=torch.bool)
    tags[torch.arange(count), torch.arange(count) % classes] = True
    tags[::2, classes // 2] = True
    given = TagBatch(("",) * count, torch.rand(count, 3, size, size) * 255, tags)
    (optimizer,) = room.optimizers()
    spent = []
    for _ in range(1 + STEPS):
        started = time.process_time()
        torch.stack(list(room.losses(given, 0.5).values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        spent.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{statistics.median(spent[1:]):.2f} | {peak:.1f}"


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--labels", type=int, nargs="+", default=[2, 4, 21, 81])
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        print(row(given.row[0], int(given.row[1]), given.size, given.batch))
        return
    same = [sys.executable, __file__, f"--size={given.size}", f"--batch={given.batch}"]
    print("| composed | labels K | s a step | peak GB |\n|---|--:|--:|--:|")
    for labels in given.labels:
        for name in ROWS:
            words = [*same, "--row", name, str(labels - 1)]
            found = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            print(f"| {name} | {labels} | {found.strip()} |", flush=True)


if __name__ == "__main__":
    main()
