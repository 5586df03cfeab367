"""What every way of refining makes of the same maps: mIoU of pseudo masks, seconds a photograph.

    python benchmarks/quality/refiners.py runs/quality/*-cam-* --every 4
    python benchmarks/quality/refiners.py runs/quality/*-cam-0 --every 4 --ways none par irn par,irn

Each argument is a run of `tag2mask fit` with maps, tags and truth; runs whose names differ in the
number at their end only are seeds of one row. Every way starts from the stored maps; what is
learned (psa, irn) is learned from the maps of all photographs of the run, in a folder beside
`--keep`. `--write FILE` writes the table as Markdown; what was measured is kept as JSON and not
measured again. The way `irn@truth` (or `psa@truth`) is an oracle, taught by true masks: what is
then still missing lies with the maps or the walk, not with what was learned from.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from table import machine, spread

from tag2mask.affinity import LEARNED
from tag2mask.data import open_data, read_image
from tag2mask.evaluate import Curve, confusion, curve_counts, scores
from tag2mask.experiment import Experiment, from_json
from tag2mask.learned import affinity_options, learned_refiner, train_affinity
from tag2mask.mapping import peaks, read_maps, refine_maps, take_truth
from tag2mask.masks import blind_level, threshold
from tag2mask.refine import CRF, PAR, CRFOptions, Refiner, RegionVote
from tag2mask.runs import Run
from tag2mask.seeding import make_seeds
from tag2mask.stages import Context
from tag2mask.storage import read_json, write_json, write_text
from tag2mask.types import CamSet, Confusion

WAYS: Final = ("none", "par", "crf", "vote", "par,crf", "par,vote", "vote,crf", "par,vote,crf")
BY_TRUTH: Final = "@truth"  # behind a learned refiner that true masks teach


def refiner(name: str, maps: Sequence[CamSet]) -> Refiner:
    """A refiner as the pipeline makes it: the CRF's background is the blind level of its maps."""
    if name == "crf":
        return CRF(CRFOptions(background=blind_level(peaks(maps))))
    return PAR() if name == "par" else RegionVote()


def learned(context: Context, way: str) -> Refiner:
    """A learned refiner, taught as in the pipeline by the maps of all photographs, or by truth."""
    before, _, last = way.rpartition(",")
    name, by_truth = last.removesuffix(BY_TRUTH), last.endswith(BY_TRUTH)
    source = "maps"
    for place, first in enumerate(filter(None, before.split(",")), start=1):
        stage = context.run.stage(f"refined-{place}-{first}")
        if not stage.done:
            refine_maps(context, stage, first, source)
            stage.finish()
        source = stage.folder.name
    labels = context.run.stage(f"{name}-labels", way=way)
    trained = context.run.stage(name, way=way)
    if not trained.done:
        if by_truth:
            take_truth(context, labels)
        else:
            make_seeds(context, labels, source, affinity_options(context.experiment, name).seeds)
        train_affinity(context, trained, name, labels.folder.name)
        trained.finish()
    return learned_refiner(context, name)


def scratch(run: Path, keep: Path) -> Run:
    """A folder for what is learned; photographs checked and maps are the run's."""
    folder = keep.parent / "learned" / run.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("maps", "data"):
        if not (folder / name).exists():
            (folder / name).symlink_to((run / name).resolve())
    return Run(folder)


def stored(cams: CamSet) -> CamSet:
    """What the pipeline would read again: maps as bytes."""
    return CamSet(cams.id, cams.classes, (cams.maps * 255).round() / 255, cams.size)


def measure(run: Path, every: int, ways: Sequence[str], keep: Path) -> dict[str, dict[str, float]]:
    """Blind and oracle mIoU and seconds a photograph of every way, on part of a run."""
    experiment: Experiment = from_json(read_json(run / "experiment.json"))
    data = open_data(experiment.data)
    truth, classes = data.truth, len(data.train.classes)
    if truth is None:
        raise SystemExit(f"{run} has no truth; nothing can be scored.")
    photos = [p for p in data.train.photos if p.id in truth][::every]
    images = [read_image(p.path) for p in photos]
    known = [
        truth.read(p.id, (i.shape[1], i.shape[2])).truth
        for p, i in zip(photos, images, strict=True)
    ]
    reached: dict[str, tuple[list[CamSet], float]] = {
        "": ([read_maps(run / "maps", p.id) for p in photos], 0.0)
    }
    context = Context(experiment, scratch(run, keep), data)
    found = {}
    for way in ways:
        before, _, last = way.rpartition(",")
        maps, seconds = reached[before]
        if way != "none":
            learns = last.removesuffix(BY_TRUTH) in LEARNED
            follow = learned(context, way) if learns else refiner(last, maps)
            started = time.process_time()
            maps = [stored(follow(i, m)) for i, m in zip(images, maps, strict=True)]
            seconds += (time.process_time() - started) / len(maps)
        reached[way] = maps, seconds
        level = 0.5 if last == "crf" else blind_level(peaks(maps))
        total, curve = Confusion.zeros(classes + 1), Curve.zeros(classes)
        for cams, labels in zip(maps, known, strict=True):
            total += confusion(labels, threshold(cams, level).labels, classes)
            curve += curve_counts(cams, labels, classes)
        found[way] = {
            "blind": scores(total).miou,
            "oracle": curve.best()[1],
            "seconds": seconds,
            "photographs": len(photos),
        }
        print(f"{run.name} {way}: {json.dumps(found[way])}", flush=True)
    return found


def table(measured: dict[str, dict[str, dict[str, float]]], ways: Sequence[str]) -> str:
    """Ways by data sets; mIoU at the blind level, and at the best level (oracle) in brackets."""
    groups: dict[str, list[dict[str, dict[str, float]]]] = {}
    for name, found in measured.items():
        groups.setdefault(name.rpartition("-")[0], []).append(found)
    lines = ["| refinement | " + " | ".join(groups) + " | mean | s a photograph |"]
    lines.append("|---|" + "--:|" * (len(groups) + 2))
    for way in ways:
        cells, means = [], []
        for runs in groups.values():
            blind = [found[way]["blind"] for found in runs]
            oracle = 100 * statistics.mean(found[way]["oracle"] for found in runs)
            cells.append(f"{spread(blind)} ({oracle:.1f})")
            means.append(100 * statistics.mean(blind))
        seconds = statistics.median(f[way]["seconds"] for runs in groups.values() for f in runs)
        texts = [way, *cells, f"{statistics.mean(means):.1f}", f"{seconds:.3f}"]
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=1, help="every n-th photograph")
    parser.add_argument("--ways", nargs="+", default=WAYS, help="refiners, those in turn by commas")
    parser.add_argument("--keep", type=Path, default=Path("runs/refiners.json"))
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    measured = read_json(given.keep) if given.keep.is_file() else {}
    for run in given.runs:
        known = measured.setdefault(run.name, {})
        if not known.keys() >= set(given.ways):
            known |= measure(run, given.every, given.ways, given.keep)
            write_json(given.keep, measured)
    text = f"{table(measured, given.ways)}\n{machine()}\n"
    print(text)
    if given.write:
        write_text(given.write, text)


if __name__ == "__main__":
    main()
