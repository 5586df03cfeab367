"""Methods against their host on the same photographs and seeds: scores, spread, paired interval.

    python benchmarks/quality/against.py runs/quality --host cam --rows drs drs+cdr+asm

Reads runs that `table.py` made. Maps are decided at their own blind level and at the best one
(oracle); behind every score stands the difference to the host, with the interval in which 95 % of
the differences lie when photographs are drawn again (paired, all seeds together). Runs without a
network leave its column empty. What was counted is kept beside the runs, and counted again only
where the stage was done again.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import torch
from table import machine
from torch import Tensor

from tag2mask.data import Data, Photo, image_size, open_data
from tag2mask.evaluate import Curve, confusion, curve_counts, paired_bootstrap
from tag2mask.evaluate.bootstrap import mean_iou
from tag2mask.experiment import from_json
from tag2mask.mapping import peaks, read_maps
from tag2mask.masks import blind_level, threshold
from tag2mask.storage import read_json, read_labels, read_tensors, write_tensors, write_text

STAGES: Final = {
    "maps, oracle": "maps, oracle level",
    "maps, blind": "maps, blind level",
    "masks": "pseudo masks, blind level",
    "network": "network, test",
}
FOLDERS: Final = {
    "maps, oracle": "maps",
    "maps, blind": "maps",
    "masks": "masks",
    "network": "predictions",
}


def photographs(data: Data, split: str) -> Sequence[Photo]:
    """Those of a split that have truth."""
    collection = data.train if split == "train" else data.test
    photos = collection.photos if collection else ()
    return [photo for photo in photos if data.truth is not None and photo.id in data.truth]


def truths(data: Data, photos: Sequence[Photo]) -> Iterator[tuple[Photo, Tensor]]:
    """Every photograph with its true labels."""
    for photo in photos:
        if data.truth is not None:
            yield photo, data.truth.read(photo.id, image_size(photo.path)).truth


def counted(run: Path, wanted: Sequence[str]) -> dict[str, Tensor]:
    """Confusions of single photographs, N × L × L, of those of the stages that a run has."""
    kept = run / "counted.safetensors"
    before = read_tensors(kept) if kept.is_file() else {}
    stamps = {stage: run / folder / "stamp" for stage, folder in FOLDERS.items()}
    keys = {s: f"{s} {path.read_text('utf-8')}" for s, path in stamps.items() if path.is_file()}
    found = {stage: before[key] for stage, key in keys.items() if key in before}
    missing = [stage for stage in wanted if stage in keys and stage not in found]
    if not missing:
        return found
    data = open_data(from_json(read_json(run / "experiment.json")).data)
    classes, train = len(data.train.classes), photographs(data, "train")

    def count(photos: Sequence[Photo], labels: Callable[[str], Tensor]) -> Tensor:
        tables = [confusion(t, labels(p.id), classes).counts for p, t in truths(data, photos)]
        return torch.stack(tables).int()

    def stored(stage: str) -> Callable[[str], Tensor]:
        return lambda photo: read_labels(run / stage / f"{photo}.png")

    if any(stage.startswith("maps") for stage in missing):
        for name, level in zip(STAGES, _levels(run, data, train, classes), strict=False):
            found[name] = count(train, partial(_decided, run / "maps", level))
    if "masks" in missing:
        found["masks"] = count(train, stored("masks"))
    if "network" in missing:
        found["network"] = count(photographs(data, "test"), stored("predictions"))
    write_tensors(kept, {keys[stage]: tables for stage, tables in found.items()})
    return found


def _levels(run: Path, data: Data, photos: Sequence[Photo], classes: int) -> tuple[float, float]:
    """The best level of a run's maps, and the blind one."""
    curve = Curve.zeros(classes)
    for photo, truth in truths(data, photos):
        curve += curve_counts(read_maps(run / "maps", photo.id), truth, classes)
    return curve.best()[0], blind_level(peaks(read_maps(run / "maps", p.id) for p in photos))


def _decided(folder: Path, level: float, photo: str) -> Tensor:
    return threshold(read_maps(folder, photo), level).labels


def cell(stage: str, runs: Sequence[Path], hosts: Sequence[Path]) -> str:
    """Mean ± deviation over seeds; the difference to the host and its interval.

    Over the runs that have the stage on both sides; says so where those are fewer.
    """
    pairs = [
        (counted(run, [stage]), counted(host, [stage]))
        for run, host in zip(runs, hosts, strict=True)
    ]
    both = [(a[stage].long(), b[stage].long()) for a, b in pairs if stage in a and stage in b]
    if not both:
        return "–"
    ours = [a for a, _ in both]
    values = [100 * float(mean_iou(tables.sum(0, keepdim=True).double())) for tables in ours]
    text = f"{statistics.mean(values):.1f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.1f}"
    if len(both) < len(runs):
        text += f", {len(both)} seed{'s' if len(both) > 1 else ''}"
    if runs != hosts:
        found = paired_bootstrap(torch.stack(ours), torch.stack([b for _, b in both]))
        shares = (found.difference, found.low, found.high)
        text += " ({:+.1f}: {:+.1f} … {:+.1f})".format(*(100 * share for share in shares))
    return text


def table(
    folder: Path, host: str, rows: Sequence[str], seeds: Sequence[int], stages: Sequence[str]
) -> str:
    """Markdown, data sets in blocks; only seeds that both sides have."""
    lines = ["| data set | row | seeds | " + " | ".join(STAGES[s] for s in stages) + " |"]
    lines.append("|---|---|--:|" + "--:|" * len(stages))

    def run(name: str, row: str, seed: int) -> Path:
        return folder / f"{name}-{row.replace(' ', '-')}-{seed}"

    def there(name: str, row: str) -> list[int]:
        return [s for s in seeds if (run(name, row, s) / "scores" / "stamp").is_file()]

    names = sorted({p.name.rpartition(f"-{host}-")[0] for p in folder.glob(f"*-{host}-*")} - {""})
    for name in names:
        for row in (host, *rows):
            both = [seed for seed in there(name, row) if seed in there(name, host)]
            if both:
                runs = [run(name, row, seed) for seed in both]
                hosts = [run(name, host, seed) for seed in both]
                cells = [cell(stage, runs, hosts) for stage in stages]
                lines.append(f"| {' | '.join([name, row, str(len(both)), *cells])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Count what is not counted yet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where table.py put its runs")
    parser.add_argument("--host", default="cam")
    parser.add_argument("--rows", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    shown = table(given.folder, given.host, given.rows, given.seeds, given.stages)
    text = f"{shown}\n{machine()}\n"
    print(text)
    if given.write:
        write_text(given.write, text)


if __name__ == "__main__":
    main()
