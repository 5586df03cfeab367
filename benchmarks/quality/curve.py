"""Maps, masks and segmentation while a method learns; a quick look, and what fails when.

    python benchmarks/quality/curve.py pets600=DIR@160:100 --rows cam rtc --out runs/curve
    python benchmarks/quality/curve.py pets600=DIR@160:100 --rows rtc rtc:unsure=0.1,rate=1e-3

Data sets are given and methods trained as in `table.py`, but training stops at every point of the
curve to look at some photographs: raw maps (one scale, no flip, at the level that is best for the
truth, *oracle*), the pseudo masks that teach a single-stage method at that moment (how much of the
photographs they decide, and how well), and its own segmentation of held-out photographs. Behind
a row and a colon stand fields of its options that are changed. Finished curves are kept. `--plot
FILE` draws the means over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import memo
import torch
from table import ROWS_HELP, Cell, experiment, listed, machine, named_row, named_set, spread
from torch import Tensor
from torch.nn import functional

from tag2mask.data import Data, Photo, image_size, open_data, read_image, read_tagged
from tag2mask.evaluate import Curve, confusion, curve_counts, scores
from tag2mask.experiment import Experiment
from tag2mask.method import Method, SingleStage
from tag2mask.methods.rtc import RTC
from tag2mask.methods.rtc.teaching import grid_size
from tag2mask.nn.host import normalised
from tag2mask.nn.views import resize, scaled_size
from tag2mask.progress import track
from tag2mask.sources import Photographs, cue_sources
from tag2mask.stages import build_method, fabric_of, segmented
from tag2mask.storage import read_json, write_json
from tag2mask.train import fit, resolved, tag_batches
from tag2mask.types import BACKGROUND, UNKNOWN, CamSet, Confusion

COLUMNS: Final = {
    "maps": "maps, oracle level",
    "decided": "decided by the masks that teach",
    "masks": "these masks, where decided",
    "segmentation": "segmentation, held out",
}


def look(method: Method, e: Experiment, data: Data, every: int) -> dict[str, float]:
    """The state of a method on every so many photographs; mIoU and shares on 0 … 1."""
    method.eval()
    found = _maps(method, e, data, data.train.photos[::every])
    if isinstance(method, SingleStage) and data.test is not None:
        found["segmentation"] = _segmentation(method, e, data, data.test.photos[::every])
    method.train()
    return found


def _maps(method: Method, e: Experiment, data: Data, photos: tuple[Photo, ...]) -> dict[str, float]:
    classes = len(data.train.classes)
    curve, taught, decided = Curve.zeros(classes), Confusion.zeros(classes + 1), list[float]()
    for photo in photos:
        item = read_tagged(photo, classes)
        size = (item.image.shape[1], item.image.shape[2])
        view = resize(item.image, scaled_size(size, float(e.size), e.backbone.stride)).float()[None]
        tags = item.tags[None]
        assert data.truth is not None
        truth = data.truth.read(photo.id, size).truth
        with torch.inference_mode():
            maps = normalised(method.localize(view, tags), tags)[0]
            cams = CamSet(photo.id, item.tags.nonzero()[:, 0] + 1, maps[item.tags], size)
            curve += curve_counts(cams, truth, classes)
            if isinstance(method, RTC):
                labels = _teaching(method, view, tags, size)
                known = labels != UNKNOWN
                decided.append(float(known.float().mean()))
                judged = truth.where(known, torch.tensor(UNKNOWN, dtype=truth.dtype))
                told = labels.where(known, torch.tensor(BACKGROUND, dtype=labels.dtype))
                taught += confusion(judged, told, classes)
    found = {"maps": float(curve.best()[1])}
    if decided:
        found |= {"decided": statistics.mean(decided), "masks": float(scores(taught).miou)}
    return found


def _teaching(method: RTC, view: Tensor, tags: Tensor, size: tuple[int, int]) -> Tensor:
    """The masks that would teach the branch, at the photograph's size."""
    grid = grid_size((view.shape[2], view.shape[3]), method.options.cell)
    labels = method.masks(method.see(view, tags), view, tags, grid)
    return functional.interpolate(labels[:, None].float(), size, mode="nearest-exact")[0, 0].byte()


def _segmentation(
    method: SingleStage, e: Experiment, data: Data, photos: tuple[Photo, ...]
) -> float:
    total = Confusion.zeros(len(data.train.classes) + 1)
    assert data.truth is not None
    single = ([(photo, read_image(photo.path))] for photo in photos)
    for photo, (_, mask) in zip(photos, segmented(e, method, single), strict=True):
        truth = data.truth.read(photo.id, image_size(photo.path)).truth
        total += confusion(truth, mask.labels, len(data.train.classes))
    return float(scores(total).miou)


def watched(
    batches: Callable[[int, int], Iterator[Any]], points: set[int], seen: Callable[[int], None]
) -> Callable[[int, int], Iterator[Any]]:
    """The same batches; before those of the points something is done."""

    def following(first: int, end: int) -> Iterator[Any]:
        for step, batch in enumerate(batches(first, end), start=first):
            if step in points:
                seen(step)
            yield batch

    return following


def run(e: Experiment, folder: Path, parts: int, every: int) -> dict[str, dict[str, float]]:
    """Train one method and look at it `parts` + 1 times, from the first step to the last.

    Returns:
        Step → what was seen.
    """
    kept = folder / "curve.json"
    if kept.is_file():
        found: dict[str, dict[str, float]] = read_json(kept)
        return found
    folder.mkdir(parents=True, exist_ok=True)
    data = open_data(e.data)
    side, fabric = int(e.size * e.train.zoom[1]), fabric_of(e)
    source = Photographs(data.train.photos, len(data.train.classes), side)
    method, options = build_method(e, source.classes), resolved(e.train, len(source))
    assert options.steps is not None
    points = {round(part * options.steps / parts) for part in range(parts + 1)}
    looks = folder / "looks.json"
    states: dict[str, dict[str, float]] = read_json(looks) if looks.is_file() else {}

    def seen(step: int) -> None:
        states[str(step)] = look(method, e, data, every)
        write_json(looks, states)

    cues = cue_sources(e, source, folder)
    batches = tag_batches(source, options, e.size, e.seed, 0, 1, cues=cues)
    fit(fabric, method, watched(batches, points, seen), options, folder, e.seed, folder.name)
    seen(options.steps)
    write_json(kept, states)
    looks.unlink()
    return states


def table(found: dict[tuple[str, str], list[dict[str, dict[str, float]]]]) -> str:
    """Markdown, a line a point."""
    names = ("data set", "row", "step", *COLUMNS.values())
    lines = [f"| {' | '.join(names)} |", "|---|---|--:|" + "--:|" * len(COLUMNS)]
    for (name, row), runs in found.items():
        for step in runs[0]:
            cells = [spread([r[step][c] for r in runs if c in r.get(step, {})]) for c in COLUMNS]
            lines.append(f"| {' | '.join([name, row, step, *cells])} |")
    return "\n".join(lines) + "\n"


def plot(found: dict[tuple[str, str], list[dict[str, dict[str, float]]]], path: Path) -> None:
    """Maps dashed, masks dotted, segmentation drawn; a panel a data set."""
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for name, _ in found))
    figure, axes = pyplot.subplots(
        1, len(names), figsize=(3.2 * len(names), 3), squeeze=False, layout="constrained"
    )
    for panel, name in zip(axes[0], names, strict=True):
        rows = [row for other, row in found if other == name]
        for number, row in enumerate(rows):
            runs = found[name, row]
            for column, style in (("maps", "--"), ("masks", ":"), ("segmentation", "-")):
                steps = [s for s in runs[0] if all(column in run[s] for run in runs)]
                means = [100 * statistics.mean(run[s][column] for run in runs) for s in steps]
                if steps:
                    label = f"{row}, {column}"
                    panel.plot([*map(int, steps)], means, style, color=f"C{number}", label=label)
        panel.set(title=name, xlabel="step", ylim=(0, None))
        panel.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("mIoU, %")
    axes[0][0].legend(fontsize="small", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Look at what was not looked at yet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", help="NAME=FOLDER@SIZE:STEPS")
    parser.add_argument("--rows", nargs="+", type=named_row, default=["rtc"], help=ROWS_HELP)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--most", type=int, default=200, help="photographs trained on")
    parser.add_argument("--points", type=int, default=5, help="parts of the training")
    parser.add_argument("--every", type=int, default=4, help="one in so many is looked at")
    parser.add_argument("--remember", action="store_true", help="frozen layers, once for all rows")
    parser.add_argument("--out", type=Path, default=Path("runs/curve"))
    parser.add_argument("--plot", type=Path, help="picture of the curves")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[str, str], list[dict[str, dict[str, float]]]] = {}
    with memo.remember() if given.remember else nullcontext():
        for name, place in map(named_set, given.sets):
            for seed in track(given.seeds, name, len(given.seeds)):
                memo.forget()
                for row in given.rows:
                    folder = given.out / f"{name}-{row}-{place[2]}-{seed}"
                    cell = Cell(row, name, seed, folder, *place)
                    one = experiment(cell, listed(cell, given.most))
                    states = run(one, folder, given.points, given.every)
                    found.setdefault((name, row), []).append(states)
                    last = json.dumps({k: round(v, 3) for k, v in [*states.values()][-1].items()})
                    print(f"{folder.name}: {last}", flush=True)
    print(table(found))
    print(machine())
    if given.plot:
        plot(found, given.plot)


if __name__ == "__main__":
    main()
