"""What a step costs, in time and memory: methods, affinities, Mask R-CNN, against CAM or a host.

    OMP_NUM_THREADS=1 python benchmarks/speed/step.py --size 192 --batch 16
    OMP_NUM_THREADS=1 python benchmarks/speed/step.py --host ppc --rows "ppc + fbr"
    OMP_NUM_THREADS=1 python benchmarks/speed/step.py --size 512 --batch 2 --rows psa irn

A step is forward, backward and the optimizers' step on one batch; making the cues is no part of
it. Rounds are interleaved, the host beside every method; the ratio is the median over neighbours in
time. Peak memory is that of a process of its own that builds the method and takes three steps.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from side_by_side import compare, machine, versions

from tag2mask.affinity import LEARNED, IRNOptions
from tag2mask.methods import METHODS
from tag2mask.methods.fbr import FBROptions
from tag2mask.methods.ssc import SSCOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.segment.detector import Detector, DetectorOptions
from tag2mask.types import Cue, InstanceBatch, MaskBatch, TagBatch

CLASSES = 12
LATE = 0.9  # of the training: every warm-up is over
ROWS: dict[str, tuple[str, Any]] = {
    "cam": ("cam", None),
    "drs": ("drs", None),
    "drs + cdr": ("ssc", SSCOptions(modulation=0.0)),
    "drs + asm": ("ssc", SSCOptions(reconstruction=0.0)),
    "drs + cdr + asm": ("ssc", None),
    "drs + cdr + asm, drawn whole": ("ssc", SSCOptions(drawn=1.0)),
    "seam": ("seam", None),
    "ppc": ("ppc", None),
    "amn": ("amn", None),
    "cam + fbr": ("fbr", FBROptions()),
    "seam + fbr": ("fbr", FBROptions(host="seam")),
    "ppc + fbr": ("fbr", FBROptions(host="ppc")),
    "amn + fbr": ("fbr", FBROptions(host="amn")),
    "rtc": ("rtc", None),
    "psa": ("psa", None),
    "irn": ("irn", None),
    "irn, all ways": ("irn", IRNOptions(directions=1000)),
    "mask r-cnn": ("mask r-cnn", None),
}


def batch(size: int, count: int) -> TagBatch:
    """Noise, one to three tags, 64 square superpixels, seeds in every class."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, size, size, generator=generator) * 255
    images = images.contiguous(memory_format=torch.channels_last)
    tags = torch.zeros(count, CLASSES, dtype=torch.bool)
    for number in range(count):
        tags[number, torch.randperm(CLASSES, generator=generator)[: 1 + number % 3]] = True
    side = torch.arange(size) * 8 // size
    regions = (side[:, None] * 8 + side).expand(count, -1, -1).contiguous()
    seeds = torch.zeros(count, size, size, dtype=torch.int64)
    for number in range(count):
        label = int(tags[number].nonzero()[0]) + 1
        seeds[number, size // 4 : size // 2, size // 4 : size // 2] = label
    cues = {Cue.SUPERPIXELS: regions, Cue.SEEDS: seeds}
    return TagBatch(tuple(str(number) for number in range(count)), images, tags, cues)


def trained(row: str, options: BackboneOptions, given: TagBatch) -> tuple[Any, Any]:
    """What learns, built, and the batch as it takes it: seeds are its masks and its objects."""
    name, own = ROWS[row]
    seeds = given.cues[Cue.SEEDS]
    if name in METHODS:
        method = METHODS[name]
        return method(own or method.Options(), Backbone(options), CLASSES), given
    if name in LEARNED:
        room: Any = LEARNED[name]
        masks = MaskBatch(given.ids, given.images, seeds)
        return room(own or room.Options(), Backbone(options)), masks
    classes = tuple(one[one > 0][:1] for one in seeds)
    numbers = (seeds > 0).long()
    network = Detector(DetectorOptions(), options, CLASSES, given.images.shape[-1])
    return network, InstanceBatch(given.ids, given.images, numbers, classes)


def stepper(row: str, options: BackboneOptions, given: TagBatch) -> Callable[[], None]:
    """What a row names, built, as one step of its training."""
    torch.manual_seed(0)
    network, taken = trained(row, options, given)
    network = network.to(memory_format=torch.channels_last).train()
    optimizers = network.optimizers()

    def step() -> None:
        torch.stack(list(network.losses(taken, LATE).values())).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return step


def peak(row: str, words: list[str]) -> float:
    """MiB of a process that takes three steps."""
    command = [sys.executable, __file__, "--alone", row, *words]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(found.stdout.splitlines()[-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default=BackboneOptions().name)
    parser.add_argument("--weights", default="embedded")
    parser.add_argument("--frozen", type=int, default=BackboneOptions().frozen)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--host", choices=list(ROWS), default="cam", help="what is compared with")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--alone", choices=list(ROWS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    options = BackboneOptions(given.backbone, given.weights, frozen=given.frozen)
    one = batch(given.size, given.batch)
    if given.alone:
        step = stepper(given.alone, options, one)
        for _ in range(3):
            step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print(machine(), versions("torch", "timm"), sep="\n")
    print(f"\n| method | s a step | against {given.host} | quartiles | peak memory, MiB |")
    print("|---|--:|--:|---|--:|")
    host = stepper(given.host, options, one)
    words = [
        f"--{n}={getattr(given, n)}" for n in ("backbone", "weights", "frozen", "size", "batch")
    ]
    for row in given.rows:
        found = compare(
            row, host, stepper(row, options, one), agreement="", repetitions=given.repetitions
        )
        low, high = found.spread
        print(
            f"| {row} | {found.peer:.2f} | {found.ratio:.2f}× | {low:.2f} … {high:.2f} "
            f"| {peak(row, words):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
