"""What chains of refiners make of the maps of finished runs: pseudo masks, a network after each.

    python benchmarks/quality/chains.py runs/ssc runs/rtc --rows cam rtc --out runs/chains
    python benchmarks/quality/against.py runs/chains --host cam,none --rows cam,crf cam,irn

Every run SET-ROW-SEED that `table.py` left in the given folders is gone on with in a folder of its
own, SET-ROW,WAY-SEED, by `tag2mask fit` with `--refine WAY`. Its training and maps are linked and
not made again, nor is an affinity that the chain begins with. Finished chains are skipped. The
masks of a single-stage method teach a network too (`--second-network masks`).

    python benchmarks/quality/chains.py runs/objects --rows cam cam+fbr --ways irn --instances 200

`--instances N` goes on to instances (`fit --instances`): those of the pseudo masks, and what N
steps of Mask R-CNN on them find in held-out photographs. The table has their average precision.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from table import BEFORE, begin, in_turn, machine, spread

from tag2mask.affinity import IRNOptions, PSAOptions
from tag2mask.experiment import Experiment, from_json, trains_network
from tag2mask.pipeline import UNTIL, Until, fit
from tag2mask.storage import read_json, write_text
from tag2mask.train import TrainOptions

WAYS: Final = ("none", "crf", "psa", "irn", "irn,crf")
LINKED: Final = (*BEFORE, "classifier", "maps")
PRECISION: Final = {
    **{f"AP{100 * float(iou):.0f}": ("ap", iou) for iou in ("0.25", "0.5", "0.7", "0.75")},
    "COCO AP": ("coco", "ap"),
}


@dataclass(frozen=True)
class Chain:
    """A run gone on with.

    Attributes:
        way: refiners in turn, by commas.
    """

    run: Path
    data: str
    row: str
    seed: int
    way: str
    out: Path

    @property
    def folder(self) -> Path:
        """Where it is gone on with."""
        return self.out / f"{self.data}-{self.row},{self.way}-{self.seed}"

    def begin(self) -> None:
        """Link what is there before the masks, and the affinities of a chain that begins alike."""
        if self.folder.exists():
            return
        checked = next(self.out.glob(f"{self.data}-*/data/stamp"), self.run / "data" / "stamp")
        before = replace(self, way=self.way.rpartition(",")[0])
        names = filter(None, before.way.split(","))
        stages = [
            checked.parent,
            *(self.run / name for name in LINKED),
            *(before.folder / stage for name in names for stage in (f"{name}-labels", name)),
        ]
        begin(self.folder, stages, read_json(self.run / "identity.json"))

    def finish(self, until: Until, instances: int, steps: int) -> None:
        """Go on with it.

        Args:
            instances: steps of the instance network; 0 leaves instances out.
            steps: of the segmentation network; 0 for as many as the run has.
        """
        self.begin()
        e: Experiment = from_json(read_json(self.run / "experiment.json"))
        # affinities as they are by default now
        e = replace(e, refine=self.way, psa=PSAOptions(), irn=IRNOptions())
        if not trains_network(e):
            e = replace(e, second_network="masks")
        if steps:
            e = replace(e, network=replace(e.network, steps=steps))
        if instances:
            training = TrainOptions(steps=instances, batch=4, zoom=(0.75, 1.5))
            e = replace(e, instances=True, instance_network=training)
        fit(e, self.folder, until)


def chains(
    folders: list[Path], rows: list[str], ways: list[str], seeds: list[int], out: Path
) -> Iterator[Chain]:
    """Seed by seed and set by set; the first folder that holds a run decides."""
    for seed in seeds:
        runs: dict[tuple[str, str], Path] = {}
        for folder in reversed(folders):
            for row in rows:
                for run in folder.glob(f"*-{row}-{seed}"):
                    runs[run.name.removesuffix(f"-{row}-{seed}"), row] = run
        for data in sorted({name for name, _ in runs}):
            for row in rows:
                for way in ways if (data, row) in runs else ():
                    yield Chain(runs[data, row], data, row, seed, way, out)


def table(done: list[Chain]) -> str:
    """Markdown: pseudo masks at the blind level / the network on held-out photographs."""
    ways = list(dict.fromkeys(chain.way for chain in done))
    lines = [f"| data set | maps of | {' | '.join(ways)} |", "|---|---|" + "--:|" * len(ways)]
    for data, row in dict.fromkeys((chain.data, chain.row) for chain in done):
        texts = []
        for way in ways:
            group = [c for c in done if (c.data, c.row, c.way) == (data, row, way)]
            splits = [read_json(c.folder / "scores.json")["splits"] for c in group]
            masks = [s["train"]["masks"]["miou"] for s in splits]
            after = [s["test"]["network"]["miou"] for s in splits if "network" in s.get("test", {})]
            texts.append(f"{spread(masks)} / {spread(after)}")
        lines.append(f"| {data} | {row} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def objects(done: list[Chain]) -> str:
    """Markdown: AP of the pseudo masks' instances / of the network on held-out photographs."""
    names = ("data set", "maps of", "seeds", *PRECISION)
    lines = [f"| {' | '.join(names)} |", "|---|---|" + "--:|" * (1 + len(PRECISION))]
    for data, row, way in dict.fromkeys((c.data, c.row, c.way) for c in done):
        group = [c for c in done if (c.data, c.row, c.way) == (data, row, way)]
        found = [read_json(c.folder / "scores.json")["instances"] for c in group]
        texts = [data, f"{row}, {way}", str(len(group))]
        for kind, name in PRECISION.values():
            masks = [f["train"]["masks"][kind][name] for f in found]
            after = [f["test"]["network"][kind][name] for f in found if "test" in f]
            texts.append(f"{spread(masks)} / {spread(after)}")
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Finish what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs of table.py")
    parser.add_argument("--rows", nargs="+", default=["cam"], help="as table.py names them")
    parser.add_argument("--ways", nargs="+", default=WAYS, help="refiners, those in turn by commas")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sets", nargs="+", help="of these data sets alone")
    parser.add_argument("--until", choices=UNTIL, default="scores", help="where runs stop")
    parser.add_argument("--remember", action="store_true", help="frozen layers, once for all ways")
    parser.add_argument("--instances", type=int, default=0, help="steps of the instance network")
    parser.add_argument("--steps", type=int, default=0, help="of the network, if not the run's")
    parser.add_argument("--out", type=Path, default=Path("runs/chains"))
    parser.add_argument("--no-run", action="store_true", help="only print what is there")
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    planned = list(chains(given.runs, given.rows, given.ways, given.seeds, given.out))
    planned = [chain for chain in planned if not given.sets or chain.data in given.sets]
    if not planned:
        raise SystemExit(f"No run named SET-ROW-SEED in {', '.join(map(str, given.runs))}.")
    for chain in in_turn([] if given.no_run else planned, given.remember):
        chain.finish(given.until, given.instances, given.steps)
    done = [chain for chain in planned if (chain.folder / "scores" / "stamp").is_file()]
    shown = objects if given.instances else table
    text = f"{shown(done)}\n{machine()}\n" if done else "nothing finished yet\n"
    print(text)
    if given.write:
        write_text(given.write, text)


if __name__ == "__main__":
    main()
