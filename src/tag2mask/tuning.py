"""A search over an experiment's options: every trial a run, ranked blind or by an oracle."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Final

import torch

from tag2mask.criteria import CRITERIA, Criterion, true_score
from tag2mask.data import open_data
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment, method_name, to_json
from tag2mask.pipeline import fit, stamp_inputs
from tag2mask.progress import track
from tag2mask.report import trials_markdown
from tag2mask.runs import Run, existing_run, stamp_of
from tag2mask.search import Choices, Values, plan, resolved_choices, with_values
from tag2mask.storage import read_json, write_json, write_text

NEVER_LENT: Final = ("scores", "report")  # they write outside their folders, or name the run


@dataclass(frozen=True, slots=True)
class Trial:
    """One combination of values.

    Attributes:
        values: by the options' dotted names.
        folder: its run.
        score: by the search's criterion; None where the run failed or has none.
        truth: mIoU of masks and network on true masks, where there are any: not what ranks,
            unless the criterion is an oracle.
        error: why it failed.
    """

    values: Values
    folder: Path
    score: float | None = None
    truth: dict[str, float] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Task:
    experiment: Experiment
    folder: Path
    log: Path
    by: str
    donor: Path | None


def tune(
    experiment: Experiment,
    vary: Mapping[str, Choices],
    out: str | Path,
    *,
    by: str = "tags",
    trials: int | None = None,
    jobs: int | None = None,
) -> tuple[Trial, ...]:
    """Try values of options and rank the runs, best first.

        tune(experiment, {"method.modulation": [5, 10], "train.steps": [100, 200]}, "runs/search")

    Every trial is a run in a folder of its own, called by a stamp of its options, as `fit` would
    make it: what is finished is skipped, an interrupted one goes on. Trials with the same training
    share it. Each has one thread on a CPU, so that `jobs` changes no byte. Written are `tune.json`,
    `tune.md` and, as `experiment.json`, the best experiment.

    Args:
        vary: values, or a `Range`, by the options' dotted names.
        by: one of `CRITERIA`; those called oracle read true masks.
        trials: combinations drawn by the experiment's seed; every combination if None.
        jobs: processes; one a device if None, and one where there is none but the CPU.

    Raises:
        InputError: an unknown option or value, a criterion without what it reads, or a search
            in which every trial failed.
    """
    out, criterion = Path(out), _criterion(by)
    _check(experiment, criterion, jobs)
    choices = resolved_choices(experiment, vary)
    combinations = plan(experiment, choices, trials)
    tuned = f"{by} ({criterion.text}) over {len(combinations)} trials"
    tasks = {}
    for values in combinations:
        trial = replace(with_values(experiment, values), name="", tuned="")
        stamp = stamp_of(experiment=to_json(trial), method=method_name(trial.method))
        folder = out / "trials" / stamp
        tasks[stamp] = values, _Task(trial, folder, out / "logs" / f"{stamp}.txt", by, None)
    errors = _run_all([task for _, task in tasks.values()], experiment, jobs)
    found = [_trial(values, task, errors.get(task.folder, "")) for values, task in tasks.values()]
    ranked = tuple(sorted(found, key=lambda t: (t.score is None, -(t.score or 0.0))))
    _write(out, experiment, by, ranked)
    if ranked[0].score is None:
        reason = ranked[0].error or "none has a score"
        raise InputError(f"No trial came to an end; the first says: {reason}")
    best = replace(with_values(experiment, ranked[0].values), tuned=tuned)
    stored = {**to_json(best), "method_name": method_name(best.method)}
    write_json(out / "experiment.json", stored)
    return ranked


def _criterion(by: str) -> Criterion:
    if by not in CRITERIA:
        raise InputError(f"There is no criterion {by!r}; known are: {', '.join(CRITERIA)}.")
    return CRITERIA[by]


def _check(experiment: Experiment, criterion: Criterion, jobs: int | None) -> None:
    if experiment.devices != 1:
        raise InputError(
            f"--devices {experiment.devices} came; a search gives every trial one device, and "
            "--jobs says how many run at once. Leave --devices out."
        )
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs} came; expected 1 or more.")
    if (
        criterion.oracle
        and experiment.data.truth is None
        and open_data(experiment.data).truth is None
    ):
        raise InputError("An oracle criterion reads true masks; give their folder with --truth.")


# --- running --------------------------------------------------------------------------------


def _run_all(tasks: Sequence[_Task], experiment: Experiment, jobs: int | None) -> dict[Path, str]:
    """Run every trial; why some failed, by their folders.

    The first of those with the same training runs before the others, which then borrow from it.
    """
    first: dict[str, _Task] = {}
    for task in tasks:
        first.setdefault(_training(task.experiment), task)
    leaders = list(first.values())
    others = [
        replace(task, donor=first[_training(task.experiment)].folder)
        for task in tasks
        if task not in leaders
    ]
    places = _places(experiment, jobs)
    errors: dict[Path, str] = {}
    with _workers(places) as pool:
        done = track(_in_turn(pool, (leaders, others)), "trials", len(tasks))
        for task, error in done:
            if error:
                errors[task.folder] = error
    return errors


def _in_turn(pool: Executor, rounds: Iterable[Sequence[_Task]]) -> Iterator[tuple[_Task, str]]:
    for tasks in rounds:
        futures: dict[Future[str], _Task] = {pool.submit(_run, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], _result(future)


def _result(future: Future[str]) -> str:
    try:
        return future.result()
    except BrokenProcessPool:
        raise InputError(
            "A trial's process was ended from outside (memory?); give fewer --jobs and run the "
            "same command again. What was finished is kept."
        ) from None


def _training(experiment: Experiment) -> str:
    """What two trials must share to share their training and their maps' source."""
    names = ("data", "size", "backbone", "seed", "precision", "method", "train")
    return stamp_of(teacher=experiment.teacher, **stamp_inputs(experiment, *names))


def _places(experiment: Experiment, jobs: int | None) -> list[str]:
    """The device of every process: a number of CUDA's, or empty for what the run says."""
    cuda = experiment.accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available()
    if not cuda:
        return [""] * (jobs or 1)
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    devices = listed.split(",") if listed else [str(n) for n in range(torch.cuda.device_count())]
    return [devices[n % len(devices)] for n in range(jobs or len(devices))]


@contextlib.contextmanager
def _workers(places: Sequence[str]) -> Iterator[Executor]:
    """Processes that end with this one: whatever is running when it is interrupted is stopped."""
    spawn = multiprocessing.get_context("spawn")
    waiting: Queue[str] = spawn.Queue()
    for place in places:
        waiting.put(place)
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(len(places), spawn, _settle, (waiting,))
    try:
        yield pool
    except BaseException:
        started = set(multiprocessing.active_children()) - before
        pool.shutdown(wait=False, cancel_futures=True)
        for process in started:
            process.terminate()  # files are whole or not there; the trial goes on next time
        raise
    pool.shutdown()


def _settle(waiting: Queue[str]) -> None:
    """Take a device, and leave Ctrl-C to the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    place = waiting.get()
    if place:
        os.environ["CUDA_VISIBLE_DEVICES"] = place
    torch.set_num_threads(1)


def _run(task: _Task) -> str:
    """Fit and score one trial; why it failed, or nothing."""
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("a", encoding="utf-8") as log, contextlib.redirect_stderr(log):
        try:
            _borrow(task)
            run = fit(task.experiment, task.folder, CRITERIA[task.by].until)
            _score(run, task)
        except (InputError, RuntimeError) as error:  # a diverged training among them
            traceback.print_exc(file=sys.stderr)
            return str(error).strip().splitlines()[0]
    return ""


def _borrow(task: _Task) -> None:
    """Begin with the stages that another trial's training made; their stamps decide what holds."""
    if task.donor is None or task.folder.exists():
        return
    fresh = task.folder.with_name(f".{task.folder.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    for stamp in sorted(task.donor.glob("*/stamp")):
        stage = stamp.parent.name
        if stage not in NEVER_LENT and not stage.startswith("by-"):
            shutil.copytree(stamp.parent, fresh / stage, copy_function=_link)
    if fresh.is_dir():
        shutil.copyfile(task.donor / "identity.json", fresh / "identity.json")
        fresh.rename(task.folder)


def _link(source: str, target: str) -> None:
    """The same file twice; written files are replaced, never changed. A copy where links fail."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _score(run: Run, task: _Task) -> None:
    """Keep the criterion's number with the stamps of what it was made from."""
    stamps = [_stamp(run.folder / name) for name in ("maps", "masks", "predictions", "scores")]
    stage = run.stage(f"by-{task.by}", up=stamps)
    if not stage.done:
        value = CRITERIA[task.by].score(run, task.experiment)
        write_json(stage.folder / "score.json", value)
        stage.finish()


def _stamp(folder: Path) -> str:
    path = folder / "stamp"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


# --- telling --------------------------------------------------------------------------------


def _trial(values: Values, task: _Task, error: str) -> Trial:
    if error:
        return Trial(values, task.folder, error=error)
    run = existing_run(task.folder)
    found = {name: true_score(run, name) for name in ("masks", "network")}
    truth = {name: miou for name, miou in found.items() if miou is not None}
    return Trial(values, task.folder, read_json(task.folder / f"by-{task.by}/score.json"), truth)


def _write(out: Path, experiment: Experiment, by: str, ranked: Sequence[Trial]) -> None:
    told = as_json(by, ranked, out)
    base = {**to_json(experiment), "method_name": method_name(experiment.method)}
    write_json(out / "tune.json", {**told, "experiment": base})
    write_text(out / "tune.md", trials_markdown(told))


def as_json(by: str, ranked: Sequence[Trial], out: Path) -> dict[str, Any]:
    """A search as `tune.json` keeps it and tables take it."""
    criterion = CRITERIA[by]
    rows = [
        {
            "values": {name: to_json(value) for name, value in trial.values.items()},
            "folder": trial.folder.relative_to(out).as_posix(),
            "score": trial.score,
            "truth": trial.truth,
            "error": trial.error,
        }
        for trial in ranked
    ]
    return {"by": by, "text": criterion.text, "oracle": criterion.oracle, "trials": rows}
