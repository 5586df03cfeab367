"""What displacements add to instances: those of pseudo masks, against what merely hangs together.

    python benchmarks/quality/parts.py runs/objects-chains/composed-cam,irn-* --near 0.02 2.5

The runs are of `tag2mask fit --instances`. Masks, scores and truth are the same in all lines; what
differs is how masks are parted: by displacements, with middles as wide as `--near` says, or into
connected components, whatever IRN says. The last line is an oracle: components of the true masks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from chains import PRECISION
from table import machine, spread
from torch import Tensor

from tag2mask.affinity import IRN, InstanceOptions, ObjectWalk, peaks
from tag2mask.data import Photo, open_data, read_image
from tag2mask.evaluate import InstanceScores, component_instances
from tag2mask.experiment import from_json
from tag2mask.instances import taught_by, true_instances
from tag2mask.learned import trained_affinity
from tag2mask.mapping import read_refined, reader
from tag2mask.nn.parts import numbered_instances
from tag2mask.progress import track
from tag2mask.runs import Run
from tag2mask.stages import Context, usable
from tag2mask.storage import read_json, read_labels
from tag2mask.types import Instances

ORACLE: Final = "components of the true masks (oracle)"
Divide = Callable[[Photo, Tensor], Instances]  # of a photograph and the labels of its mask


def ways(context: Context, near: list[float]) -> dict[str, Divide]:
    """Every way to part a mask."""
    e, folder = context.experiment, context.run.folder
    network, source = trained_affinity(context, "irn"), taught_by(e)
    if not isinstance(network, IRN):
        raise SystemExit(f"{folder} holds no IRN.")
    mean = torch.tensor(read_json(folder / "instances/displacement.json")["mean"])
    read = reader(source)

    def displaced(width: float) -> Divide:
        walk = ObjectWalk(network, float(e.size), mean, replace(e.instance, near=width))

        def divide(photo: Photo, labels: Tensor) -> Instances:
            ids = walk(read_image(photo.path), read(folder / source, photo.id), labels)
            return numbered_instances(photo.id, labels, ids)

        return divide

    def connected(photo: Photo, labels: Tensor) -> Instances:
        return component_instances(photo.id, labels, e.instance.share)

    by = {f"displacements, near {width:g}": displaced(width) for width in near}
    return {"connected components": connected, **by}


def measure(run: Path, near: list[float]) -> dict[str, dict[str, Any]]:
    """AP of every way, as in `scores.json`."""
    e = from_json(read_json(run / "experiment.json"))
    context = Context(e, Run(run), open_data(e.data))
    divided = ways(context, near)
    scored = {way: InstanceScores(context.classes) for way in (*divided, ORACLE)}
    photos = usable(context, context.data.train)
    for photo in track(photos, run.name, len(photos)):
        truth, labels = true_instances(context, photo), read_labels(run / f"masks/{photo.id}.png")
        cams = read_refined(run / "refined", photo.id)
        for way, divide in divided.items():
            found = divide(photo, labels)
            scored[way].add(replace(found, scores=peaks(cams, found)), truth)
        if context.data.truth is not None:
            mask = context.data.truth.read(photo.id, truth.size).truth
            scored[ORACLE].add(component_instances(photo.id, mask), truth)
    return {way: one.to_json(context.data.train.classes) for way, one in scored.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="SET-ROW,WAY-SEED")
    parser.add_argument(
        "--near", nargs="+", type=float, default=[InstanceOptions().near], help="--instance.near"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    groups: dict[str, list[Path]] = {}
    for run in given.runs:
        groups.setdefault(run.name.rpartition("-")[0], []).append(run)
    lines = [f"| runs | instances by | seeds | {' | '.join(PRECISION)} |"]
    lines.append("|---|---|--:|" + "--:|" * len(PRECISION))
    for name, runs in groups.items():
        measured = [measure(run, given.near) for run in runs]
        for way in measured[0]:
            values = [[m[way][kind][at] for m in measured] for kind, at in PRECISION.values()]
            lines.append(f"| {name} | {way} | {len(runs)} | {' | '.join(map(spread, values))} |")
    print("\n".join(lines), f"\n{machine()}", sep="\n")


if __name__ == "__main__":
    main()
