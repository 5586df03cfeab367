"""Fill a table of method × data set × seed × stage from real runs; resumable.

    python benchmarks/quality/table.py pets=DIR@192 coco=DIR@192:300 --out runs/quality

Each data set is a folder with `images/`, `labels.csv`, `classes.txt`, `masks/` and
`splits/{train,test}.txt`, as `tag2mask data compose` writes it; behind `@` stand the size
trained at and the classifier's steps (224:100 if nothing does). Runs that are finished are
skipped, one that was interrupted goes on. `--write FILE` writes the table as Markdown. `--until
masks` trains no network. `--remember` computes what frozen layers see of a view once for all rows
(`memo.py`): run the rows of a seed in one call; `--encoder-frozen 16` keeps the whole encoder of
the network as it was, which makes this most of its time too. With it rows that begin with a plain
classifier (amn, rec) take over the one of another row of their seed, if it is the same.

Rows that learn from saliency get the union of the true masks' objects: *oracle saliency*, better
than any model's. They stand behind those that learn from tags, and say so.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import memo
import numpy as np
import torch
from PIL import Image

from tag2mask.data import DataOptions, open_data
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment, MethodOptions, method_name, needed_cues
from tag2mask.localize import LocalizeOptions
from tag2mask.method import AfterClassifier
from tag2mask.methods import METHODS
from tag2mask.methods.amn import AMNOptions
from tag2mask.methods.cam import CAMOptions
from tag2mask.methods.drs import DRSOptions
from tag2mask.methods.eps import EPSOptions
from tag2mask.methods.fbr import FBROptions
from tag2mask.methods.ppc import PPCOptions
from tag2mask.methods.rec import RECOptions
from tag2mask.methods.rtc import RTCOptions
from tag2mask.methods.seam import SEAMOptions
from tag2mask.methods.ssc import SSCOptions
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.pipeline import UNTIL, Until, fit, identity
from tag2mask.segment import SegmentOptions
from tag2mask.storage import read_json, read_labels, write_json, write_text
from tag2mask.train import TrainOptions
from tag2mask.types import BACKGROUND, UNKNOWN, Cue

ROWS: dict[str, MethodOptions] = {
    "cam": CAMOptions(),
    "drs": DRSOptions(),
    "drs+cdr": SSCOptions(modulation=0.0),
    "drs+cdr+asm": SSCOptions(),
    "seam": SEAMOptions(),
    "ppc": PPCOptions(),
    "amn": AMNOptions(),
    "cam+fbr": FBROptions(),
    "drs+fbr": FBROptions(host="drs"),
    "seam+fbr": FBROptions(host="seam"),
    "ppc+fbr": FBROptions(host="ppc"),
    "amn+fbr": FBROptions(host="amn", capacity=100_000, rate=AMNOptions().rate),
    "eps": EPSOptions(),
    "ppc+eps": EPSOptions(host="ppc"),
    "eps+fbr": FBROptions(host="eps"),
    "ppc+eps+fbr": FBROptions(host="ppc-eps"),
    "rec": RECOptions(),
    "rtc": RTCOptions(),
    "rtc-unbalanced": RTCOptions(balanced=False),
    "rtc+network": RTCOptions(),
    "upper bound": CAMOptions(),
}
ROWS_HELP = (
    f"{', '.join(ROWS)}; or one of them with other options, as cam+fbr:similarity=0,clusters=4"
)
BEFORE = ("first", "first-maps", "seeds")  # stages of a plain classifier
MOST = 400  # photographs trained on, evenly taken from the list: two cores can carry that


@dataclass(frozen=True)
class Cell:
    """One run of the table."""

    row: str
    data: str
    seed: int
    folder: Path
    source: Path
    size: int
    steps: int
    frozen: int = 8
    backbone_frozen: int = 16
    batch: int = 16
    rate: float | None = None
    head: float | None = None

    def at(self, options: MethodOptions) -> Any:
        """A method at the cell's rates, unless it has rates of its own, other than CAM's."""
        if options.rate != CAMOptions().rate:
            return options
        given = {"rate": self.rate, "head": self.head}
        return replace(options, **{name: x for name, x in given.items() if x is not None})


def plain_row(row: str) -> str:
    """The plain row that ROW:FIELD=VALUE,… varies."""
    return row.partition(":")[0]


def options_of(row: str) -> MethodOptions:
    """The options of ROW or ROW:FIELD=VALUE,FIELD=VALUE."""
    _, _, fields = row.partition(":")
    pairs = (field.partition("=") for field in fields.split(",") if field)
    changes = {name: _value(value) for name, _, value in pairs}
    return replace(ROWS[plain_row(row)], **changes)


def _value(text: str) -> Any:
    """A number or a truth value, else the word itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def named_row(text: str) -> str:
    """A row, if there is such a row, and it can have such options.

    Raises:
        argparse.ArgumentTypeError: no such row, option or value.
    """
    if plain_row(text) not in ROWS:
        raise argparse.ArgumentTypeError(f"{text} came; rows are {', '.join(ROWS)}.")
    try:
        options_of(text)
    except (TypeError, InputError) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None
    return text


def experiment(cell: Cell, few: Path) -> Experiment:
    """The table's protocol: what two CPU cores can carry in an hour."""
    data, row, method = cell.source, plain_row(cell.row), options_of(cell.row)
    options = DataOptions(
        photos=data / "images",
        tags=data / "labels.csv",
        classes=data / "classes.txt",
        split=str(few),
        test_split="test",
        truth=data / "masks",
    )
    if Cue.SALIENCY in needed_cues(method):
        options = replace(options, saliency=oracle_saliency(data, few))
    return Experiment(
        options,
        backbone=BackboneOptions(frozen=cell.backbone_frozen),
        method=cell.at(method),
        first=cell.at(CAMOptions()),
        size=cell.size,
        train=TrainOptions(steps=cell.steps, batch=cell.batch),
        localize=LocalizeOptions(scales=(1.0, 1.5), flip=False),
        segment=SegmentOptions(scales=(1.0,), flip=False, frozen=cell.frozen),
        network=TrainOptions(steps=120, batch=8, zoom=(0.75, 1.5)),
        seed=cell.seed,
        second_network="masks" if row == "rtc+network" else None,
        teacher="truth" if row == "upper bound" else "maps",
    )


def oracle_saliency(data: Path, few: Path) -> Path:
    """Union of the objects of the listed photographs, as grey PNG files beside the list."""
    folder = few.with_name(f"{few.stem}-oracle-saliency")
    folder.mkdir(parents=True, exist_ok=True)
    for photo in few.read_text(encoding="utf-8").split():
        path = folder / f"{photo}.png"
        if not path.is_file():
            labels = read_labels(data / "masks" / f"{photo}.png").numpy()
            objects = (labels != BACKGROUND) & (labels != UNKNOWN)
            Image.fromarray(objects.astype(np.uint8) * 255).save(path)
    return folder


def taught_by(row: str) -> str:
    """What a row learns from; tags (I), tags and saliency (I+S), or masks."""
    if plain_row(row) == "upper bound":
        return "masks"
    return "I+S, oracle" if Cue.SALIENCY in needed_cues(options_of(row)) else "I"


def run(cell: Cell, until: Until, most: int, remember: bool) -> None:
    """Run one cell to its end and add the seconds of this sitting to its times.

    Args:
        most: photographs trained on, evenly taken from the list.
        remember: begin with the plain classifier of another row.
    """
    started = time.monotonic()
    e = experiment(cell, listed(cell, most))
    if remember and not cell.folder.exists():
        take_over(cell, e)
    fit(e, cell.folder, until)
    path = cell.folder / "times.json"
    spent = read_json(path) if path.is_file() else []
    seconds = round(time.monotonic() - started, 1)
    if seconds > 3.0 or not spent:  # a look at a finished run is no sitting
        write_json(path, [*spent, seconds])


def take_over(cell: Cell, e: Experiment) -> None:
    """Link the plain classifier of another row, if this row begins with one, and its seeds.

    What does not fit by its stamp is made anew by the run.
    """
    room = METHODS[method_name(e.method)]
    if not issubclass(room, AfterClassifier) and Cue.SEEDS not in needed_cues(e.method):
        return
    whole = f"{cell.data}-*-{cell.seed}/{BEFORE[0]}/stamp"
    for stamp in cell.folder.parent.glob(whole):
        known = identity(e, open_data(e.data).train.classes)
        begin(cell.folder, [stamp.parent.parent / stage for stage in BEFORE], known)
        return


def begin(folder: Path, stages: Iterable[Path], known: dict[str, Any]) -> None:
    """Start a run with stages of others, linked and not copied; those that are not there are not.

    Args:
        known: the run's identity.
    """
    started = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(started, ignore_errors=True)
    for stage in stages:
        if stage.is_dir():
            shutil.copytree(stage, started / stage.name, copy_function=os.link)
    write_json(started / "identity.json", known)
    started.rename(folder)


def listed(cell: Cell, most: int) -> Path:
    """The list of the photographs trained on, beside the run."""
    few = cell.folder.parent / f"{cell.data}.txt"
    ids = (cell.source / "splits" / "train.txt").read_text(encoding="utf-8").splitlines()
    every = max(1, len(ids) // most)
    write_text(few, "\n".join(ids[::every][:most]) + "\n")
    return few


def cells(
    sets: dict[str, tuple[Path, int, int]],
    rows: list[str],
    seeds: list[int],
    out: Path,
    **options: float | None,
) -> Iterator[Cell]:
    """Seed by seed: an unfinished table covers every data set and every row.

    Args:
        options: fields of every cell, by name.
    """
    for seed, name, row in itertools.product(seeds, sets, rows):
        folder = out / f"{name}-{row.replace(' ', '-')}-{seed}"
        yield Cell(row, name, seed, folder, *sets[name], **options)


def finished(cell: Cell) -> bool:
    """Whether a run has its scores."""
    return (cell.folder / "scores" / "stamp").is_file()


def named_set(text: str) -> tuple[str, tuple[Path, int, int]]:
    """NAME=FOLDER, NAME=FOLDER@SIZE or NAME=FOLDER@SIZE:STEPS."""
    name, _, place = text.partition("=")
    folder, _, numbers = place.partition("@")
    size, _, steps = numbers.partition(":")
    return name, (Path(folder), int(size or 224), int(steps or 100))


def spread(values: list[float]) -> str:
    """Mean and standard deviation over seeds, in percent."""
    shown = [100 * value for value in values]
    if not shown:
        return "–"
    if len(shown) == 1:
        return f"{shown[0]:.1f}"
    return f"{statistics.mean(shown):.1f} ± {statistics.stdev(shown):.1f}"


COLUMNS: dict[str, Callable[[dict[str, Any]], float]] = {
    "maps, oracle level": lambda s: s["train"]["maps"]["oracle"]["miou"],
    "maps, single scale, oracle level": lambda s: s["train"]["single"]["oracle"]["miou"],
    "refined, oracle level": lambda s: s["train"]["masks"]["oracle"]["miou"],
    "pseudo masks, blind level": lambda s: s["train"]["masks"]["miou"],
    "network, train": lambda s: s["train"]["network"]["miou"],
    "network, test": lambda s: s["test"]["network"]["miou"],
    "boundary IoU, test": lambda s: s["test"]["network"]["boundary_iou"],
}


def table(done: list[Cell]) -> str:
    """The table as Markdown, data sets in blocks."""
    names = ("data set", "row", "taught by", "seeds", *COLUMNS, "share of upper bound", "s")
    lines = [f"| {' | '.join(names)} |", "|---|---|---|" + "--:|" * (len(names) - 3)]
    order = list(ROWS)
    rows = sorted({cell.row for cell in done}, key=lambda row: (order.index(plain_row(row)), row))
    for name in dict.fromkeys(cell.data for cell in done):
        tops = _values(done, name, "upper bound", "network, test")
        for row in rows:
            group = [cell for cell in done if cell.data == name and cell.row == row]
            if not group:
                continue
            values = [spread(_values(done, name, row, column)) for column in COLUMNS]
            mine = _values(done, name, row, "network, test")
            share = f"{statistics.mean(mine) / statistics.mean(tops):.2f}" if tops else "–"
            seconds = statistics.mean(sum(read_json(c.folder / "times.json")) for c in group)
            texts = [name, row, taught_by(row), str(len(group)), *values, share, f"{seconds:.0f}"]
            lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def _values(done: list[Cell], data: str, row: str, column: str) -> list[float]:
    found = []
    for cell in done:
        if cell.data == data and cell.row == row:
            splits = read_json(cell.folder / "scores.json")["splits"]
            try:
                value = COLUMNS[column](splits)
            except KeyError:
                continue
            if value is not None:
                found.append(value)
    return found


class Planned(Protocol):
    """A run that is to come."""

    @property
    def data(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def folder(self) -> Path: ...


P = TypeVar("P", bound=Planned)


def in_turn(planned: Sequence[P], remember: bool) -> Iterator[P]:
    """Every run, announced; what was remembered is dropped where another draw of views begins."""
    drawn: tuple[str, int] | None = None
    with memo.remember() if remember else nullcontext():
        for number, one in enumerate(planned, start=1):
            print(f"[{number}/{len(planned)}] {one.folder.name}", flush=True)
            if drawn != (one.data, one.seed):
                memo.forget()
            drawn = one.data, one.seed
            yield one


def machine() -> str:
    """What ran this."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = f"{names[0].split(':', 1)[1].strip()} × {len(names)}" if names else model
    if torch.cuda.is_available():
        model += f", {torch.cuda.get_device_name()}"
    threads = torch.get_num_threads()
    python = platform.python_version()
    return f"{model}, {threads} threads, torch {torch.__version__}, Python {python}"


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", help="NAME=FOLDER or NAME=FOLDER@SIZE:STEPS")
    parser.add_argument(
        "--rows", nargs="+", type=named_row, default=["cam", "upper bound"], help=ROWS_HELP
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    parser.add_argument("--write", type=Path, help="Markdown file for the table")
    parser.add_argument("--until", choices=UNTIL, default="report", help="where runs stop")
    parser.add_argument("--remember", action="store_true", help="frozen layers, once for all rows")
    parser.add_argument("--most", type=int, default=MOST, help="photographs trained on")
    parser.add_argument("--encoder-frozen", type=int, default=8, help="as --segment.frozen")
    parser.add_argument("--backbone-frozen", type=int, default=16, help="as --backbone.frozen")
    parser.add_argument("--batch", type=int, default=16, help="photographs in the method's step")
    parser.add_argument("--rate", type=float, help="of pretrained layers, for methods at CAM's")
    parser.add_argument("--head", type=float, help="times that, for their new layers")
    parser.add_argument("--no-run", action="store_true", help="only print what is there")
    given = parser.parse_args()
    sets = dict(named_set(item) for item in given.sets)
    options = {
        "frozen": given.encoder_frozen,
        "backbone_frozen": given.backbone_frozen,
        "batch": given.batch,
        "rate": given.rate,
        "head": given.head,
    }
    planned = list(cells(sets, given.rows, given.seeds, given.out, **options))
    for cell in in_turn([] if given.no_run else planned, given.remember):
        run(cell, given.until, given.most, given.remember)
        if given.write and (done := [c for c in planned if finished(c)]):
            write_text(given.write, f"{table(done)}\n{machine()}\n")
    done = [c for c in planned if finished(c)]
    print(table(done) if done else "nothing finished yet")
    print(machine())


if __name__ == "__main__":
    main()
