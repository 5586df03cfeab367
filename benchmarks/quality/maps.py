"""A quick look: train rows of the table, and score their raw maps alone.

    python benchmarks/quality/maps.py DIR --rows cam eps eps+fbr --steps 100 --size 160

The folder is as for `table.py`. Trained on are 400 photographs at most; one scale, no flip, no
network. Printed is the mIoU of the maps at the level that is best for the truth (*oracle*).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from table import MOST, ROWS, experiment, machine, taught_by
from torch.nn import functional

from tag2mask.data import open_data, read_tagged
from tag2mask.evaluate import Curve, curve_counts
from tag2mask.experiment import Experiment
from tag2mask.nn.host import normalised
from tag2mask.pipeline import FORMAT
from tag2mask.runs import open_run
from tag2mask.stages import Context, check_photographs, load_method, train_method
from tag2mask.storage import write_text
from tag2mask.types import CamSet


def trained(one: Experiment, folder: Path) -> Context:
    """The run with its method trained; what is there is taken."""
    data = open_data(one.data)
    context = Context(one, open_run(folder, {"classes": list(data.train.classes)}), data)
    for name, work in (("data", check_photographs), ("classifier", train_method)):
        stage = context.run.stage(name, version=FORMAT, of=repr(one))
        if not stage.done:
            work(context, stage)
            stage.finish()
    return context


def score(context: Context, every: int) -> tuple[float, float]:
    """Best level and its mIoU, over every so many training photographs."""
    e, data = context.experiment, context.data
    method = load_method(e, context.run, context.classes, "classifier")
    curve = Curve.zeros(context.classes)
    for photo in data.train.photos[::every]:
        item = read_tagged(photo, context.classes)
        size = (item.image.shape[1], item.image.shape[2])
        grid = [max(32, round(extent * e.size / max(size))) for extent in size]
        image = functional.interpolate(
            item.image[None].float(), grid, mode="bilinear", antialias=True
        )
        with torch.inference_mode():
            maps = normalised(method.localize(image, item.tags[None]), item.tags[None])[0]
        cams = CamSet(photo.id, item.tags.nonzero()[:, 0] + 1, maps[item.tags], size)
        assert data.truth is not None
        curve += curve_counts(cams, data.truth.read(photo.id, size).truth, context.classes)
    return curve.best()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=["cam"])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--every", type=int, default=3, help="one in so many is scored")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/maps"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    few = given.out / f"{given.data.name}.txt"
    ids = (given.data / "splits" / "train.txt").read_text(encoding="utf-8").splitlines()
    write_text(few, "\n".join(ids[:: max(1, len(ids) // MOST)][:MOST]) + "\n")
    for row in given.rows:
        started = time.monotonic()
        one = experiment(given.data, row, given.seed, few, given.size, given.steps)
        folder = given.out / f"{given.data.name}-{row}-{given.size}-{given.steps}-{given.seed}"
        level, miou = score(trained(one, folder), given.every)
        seconds = time.monotonic() - started
        print(
            f"{row} ({taught_by(row)}): {100 * miou:.1f} @ {level:.2f}, {seconds:.0f} s", flush=True
        )
    print(machine())


if __name__ == "__main__":
    main()
