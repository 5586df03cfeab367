"""What each command does once its words are understood."""

from __future__ import annotations

import importlib.util
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

import tag2mask
from tag2mask.data import DataOptions
from tag2mask.data.check import check, render
from tag2mask.data.compose import ComposeOptions, compose
from tag2mask.data.truth import MaskFolder
from tag2mask.errors import InputError
from tag2mask.estimates import powered_scores
from tag2mask.evaluate import components, tally
from tag2mask.evaluate.powered import FEWEST
from tag2mask.experiment import Experiment, from_json
from tag2mask.nn.slic import is_compiled
from tag2mask.nn.weights import EMBEDDED
from tag2mask.pairs import compare_pages
from tag2mask.pipeline import Until, fit
from tag2mask.refine import native
from tag2mask.report import compare_table, powered_table, scores_table, trials_table
from tag2mask.runs import existing_run
from tag2mask.search import parse_vary
from tag2mask.stages import segmenting_stage
from tag2mask.storage import read_json, write_json
from tag2mask.tuning import tune


def version() -> str:
    """Name and version."""
    return f"tag2mask {tag2mask.__version__}"


def doctor() -> None:
    """What this machine has, and which of two ways is used where there are two."""
    rows = {
        "tag2mask": tag2mask.__version__,
        "Python": platform.python_version(),
        "PyTorch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "accelerator": _accelerator(),
        "dense CRF": _kernel() if native.available() else f"PyTorch ({native.reason()})",
        "superpixels": "compiled kernel" if is_compiled() else "scikit-image (kernel not built)",
        "threshold sweep": "compiled kernel" if tally.is_compiled() else "PyTorch (not built)",
        "boxes of maps": "compiled kernel" if components.is_compiled() else "slow (not built)",
        "embedded weights": ", ".join(_embedded()) or "none installed",
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in rows.items():
        table.add_row(name, Text(value))
    Console().print(table)


def _kernel() -> str:
    return f"compiled kernel ({native.variants()[0]})"


def _embedded() -> list[str]:
    return [name for name, (package, _) in EMBEDDED.items() if importlib.util.find_spec(package)]


def _accelerator() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return "Apple GPU (mps)" if torch.backends.mps.is_available() else "none: all runs on the CPU"


def stored_experiment(path: Path) -> Experiment:
    """The options that a run or a search has written down."""
    return from_json(read_json(path / "experiment.json" if path.is_dir() else path))


def tune_and_tell(
    experiment: Experiment,
    vary: Sequence[str],
    out: Path,
    by: str,
    trials: int | None,
    jobs: int | None,
) -> None:
    """Search, then print the trials, best first, and what to do with the best."""
    choices = dict(parse_vary(text) for text in vary)
    if len(choices) < len(vary):
        raise InputError("An option was varied twice; give it one --vary with all its values.")
    tune(experiment, choices, out, by=by, trials=trials, jobs=jobs)
    console = Console()
    console.print(trials_table(read_json(out / "tune.json")))
    best = out / "experiment.json"
    told = f"The best: tag2mask fit --experiment {best} --out RUN"
    console.print(told, soft_wrap=True, highlight=False)


def fit_and_tell(experiment: Experiment, out: Path, until: Until = "report") -> None:
    """Run the whole way, then say what came out and where it is."""
    started = time.monotonic()
    fit(experiment, out, until)
    times = read_json(out / "times.json") if (out / "times.json").is_file() else []
    write_json(out / "times.json", [*times, round(time.monotonic() - started, 1)])
    console = Console()
    console.print(scores_table(read_json(out / "scores.json")))
    level = out / "masks" / "level.json"
    if level.is_file():
        chosen = read_json(level)
        console.print(f"Background level {chosen['level']:.2f} ({chosen['source']}).")
    for name, what in (
        ("masks", "pseudo masks of the training photographs"),
        ("instances/instances.json", "their objects, told apart"),
        ("predictions", "masks by the trained network"),
        ("instance-predictions/instances.json", "objects by the trained instance network"),
        (f"{segmenting_stage(experiment)}/weights.safetensors", "the network"),
        ("report/index.html", "the page to look at"),
    ):
        if (out / name).exists():
            console.print(f"  {out / name}  {what}", soft_wrap=True, highlight=False)


def score(folder: Path, truth: Path | None = None) -> None:
    """Print a run's scores; or what true masks of a few of its photographs say of them all."""
    if truth is None:
        Console().print(scores_table(_scores(folder)))
        return
    run = existing_run(folder)
    if not (run.folder / "quality" / "stamp").is_file():
        raise InputError(f"The masks of {folder} are not judged yet; run its fit to the end.")
    classes = len(read_json(run.folder / "classes.json"))
    found = powered_scores(run.folder, MaskFolder(truth, classes), classes)
    if not found:
        raise InputError(
            f"--truth {truth} has true masks for fewer than {FEWEST} of the run's training "
            "photographs that have tags; draw more, of photographs drawn at random."
        )
    Console().print(powered_table(found))
    Console().print("Right only if the photographs with truth were drawn at random.")


def compare(folders: Sequence[Path], html: Path | None = None) -> None:
    """Print runs side by side; two of them also photograph by photograph, on a page."""
    Console().print(compare_table({str(folder): _scores(folder) for folder in folders}))
    if html is None:
        return
    if len(folders) != 2:
        raise InputError(f"--html shows two runs; {len(folders)} came. Give two.")
    count = compare_pages((folders[0], folders[1]), html)
    Console().print(f"{count} photographs in {html}", highlight=False, soft_wrap=True)


def _scores(folder: Path) -> dict[str, Any]:
    run = existing_run(folder)
    if not (run.folder / "scores.json").is_file():
        raise InputError(f"The run {folder} is not scored yet; run its fit to the end.")
    scored: dict[str, Any] = read_json(run.folder / "scores.json")
    return scored


def check_data(options: DataOptions) -> None:
    """Print what is there; exit code 2 where something could not be used."""
    report = check(options)
    Console().print(render(report))
    if report.problems and not options.skip_bad:
        raise InputError(
            f"{len(report.problems)} problems were found (listed above); mend them, "
            "or leave those files out with --skip-bad."
        )


def compose_data(options: ComposeOptions, out: Path) -> None:
    """Compose a practice set and say what it holds."""
    made = compose(options, out)
    console = Console()
    for reason in made.left_out:
        console.print(f"left out: {reason}", markup=False, highlight=False)
    console.print(
        f"{made.images} training and {made.test_images} test pictures of {len(made.classes)} "
        f"classes in {out}; licences in {out / 'LICENSES.md'}",
        highlight=False,
        soft_wrap=True,
    )
