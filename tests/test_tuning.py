from __future__ import annotations

import contextlib
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest
from oracles.shapes import BACKBONE, draw_set, small_experiment

import tag2mask
from tag2mask import mapping, pipeline, tuning
from tag2mask.cli import main
from tag2mask.criteria import CRITERIA
from tag2mask.data import DataOptions
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment, from_json
from tag2mask.localize import LocalizeOptions
from tag2mask.storage import read_json
from tag2mask.train import TrainOptions

VARY = {"masks.background": [0.3, 0.6], "refine": ["none", "par"]}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("set"), train=6, test=3)


def experiment(drawn: Path, truth: bool = True) -> Experiment:
    data = DataOptions(
        drawn / "photos",
        drawn / "labels.csv",
        split=str(drawn / "train.txt"),
        test_split=str(drawn / "test.txt"),
        truth=drawn / "truth" if truth else None,
    )
    train = TrainOptions(steps=2, batch=4)
    return small_experiment(
        drawn, data=data, train=train, localize=LocalizeOptions(scales=(1.0, 1.5))
    )


class _Here(Executor):
    """A pool without processes."""

    def submit(self, work, *given):
        future: Future = Future()
        future.set_result(work(*given))
        return future


@pytest.fixture
def here(monkeypatch, ran):
    """Trials run in this process; the stages that really worked are noted."""
    monkeypatch.setattr(tuning, "_workers", lambda places: contextlib.nullcontext(_Here()))
    return ran


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(p for p in folder.rglob("*") if p.is_file() and "logs" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def test_a_search_trains_once_and_is_the_same_as_separate_runs(drawn, tmp_path, here):
    ranked = tuning.tune(experiment(drawn), VARY, tmp_path / "search", by="oracle-masks")
    assert here.count("classifier") == 1
    assert here.count("masks") == 4
    assert "network" not in here, "masks alone decide"
    assert [t.score for t in ranked] == sorted((t.score for t in ranked), reverse=True)
    truths = [read_json(trial.folder / "scores.json") for trial in ranked]
    assert [t["splits"]["train"]["masks"]["miou"] for t in truths] == [t.score for t in ranked]
    for trial in ranked[1:3]:
        alone = tag2mask.search.with_values(experiment(drawn), trial.values)
        folder = tmp_path / "alone" / trial.folder.name
        pipeline.fit(alone, folder, "masks")
        made, again = files(trial.folder), files(folder)
        assert {n: b for n, b in made.items() if not n.startswith("by-")} == again


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(drawn, tmp_path, here):
    first = tuning.tune(experiment(drawn), VARY, tmp_path, by="oracle-masks")
    before = files(tmp_path)
    here.clear()
    assert tuning.tune(experiment(drawn), VARY, tmp_path, by="oracle-masks") == first
    assert here == []
    assert files(tmp_path) == before
    more = {**VARY, "masks.background": [0.3, 0.6, 0.45]}
    tuning.tune(experiment(drawn), more, tmp_path, by="oracle-masks")
    assert here.count("classifier") == 0
    assert here.count("masks") == 2


@pytest.mark.slow
def test_an_interrupted_search_goes_on_to_the_same_bytes(drawn, tmp_path, here, monkeypatch):
    whole = tuning.tune(experiment(drawn), VARY, tmp_path / "whole", by="oracle-masks")
    real, calls = mapping.decide_masks, []

    def stopped(context, stage):
        calls.append(stage)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(context, stage)

    monkeypatch.setattr(mapping, "decide_masks", stopped)
    with pytest.raises(KeyboardInterrupt):
        tuning.tune(experiment(drawn), VARY, tmp_path / "cut", by="oracle-masks")
    again = tuning.tune(experiment(drawn), VARY, tmp_path / "cut", by="oracle-masks")
    assert [t.values for t in again] == [t.values for t in whole]
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_the_command_ranks_blind_says_so_and_hands_the_best_to_fit(drawn, tmp_path, here, capsys):
    words = [
        *("tune", str(drawn / "photos"), "--tags", str(drawn / "labels.csv")),
        *("--split", str(drawn / "train.txt"), "--test-split", str(drawn / "test.txt")),
        *("--truth", str(drawn / "truth"), "--out", str(tmp_path / "search"), "--size", "64"),
        *("--train.steps", "2", "--train.batch", "4", "--network.steps", "2"),
        *("--network.batch", "4", "--localize.scales", "1.0", "--segment.scales", "1.0"),
        *("--backbone", BACKBONE.name, "--weights", BACKBONE.weights),
        *("--accelerator", "cpu", "--vary", "network.steps=1,2", "--by", "agreement"),
    ]
    main(words)
    printed = capsys.readouterr().out
    assert "chosen blind" in " ".join(printed.split())
    assert "oracle (uses truth)" in (tmp_path / "search" / "tune.md").read_text(encoding="utf-8")
    assert here.count("network") == 2
    assert here.count("classifier") == 1
    told = read_json(tmp_path / "search" / "tune.json")
    best = from_json(read_json(tmp_path / "search" / "experiment.json"))
    assert best.network.steps == told["trials"][0]["values"]["network.steps"]
    run = tmp_path / "best"
    main(["fit", "--experiment", str(tmp_path / "search"), "--until", "masks", "--out", str(run)])
    assert any("agreement" in line for line in read_json(run / "supervision.json"))
    fitted = from_json(read_json(run / "experiment.json"))
    assert fitted == best


def test_an_oracle_says_so_everywhere(drawn, tmp_path, here):
    tuning.tune(experiment(drawn), {"refine": ["none"]}, tmp_path, by="oracle-masks")
    table = (tmp_path / "tune.md").read_text(encoding="utf-8")
    assert "TRUE MASKS" in table
    assert "oracle" in table
    best = from_json(read_json(tmp_path / "experiment.json"))
    assert "TRUE MASKS" in best.tuned


def test_a_trial_that_fails_is_told_and_the_others_count(drawn, tmp_path, here):
    vary = {"masks.confident": [0.9, 0.01]}
    found = tuning.tune(experiment(drawn), vary, tmp_path, by="oracle-masks")
    assert found[0].values == {"masks.confident": 0.9}
    assert found[1].score is None
    assert "not above the background level" in found[1].error
    assert "failed: --masks.confident" in (tmp_path / "tune.md").read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"No trial came to an end.*not above"):
        tuning.tune(experiment(drawn), {"masks.confident": [0.01]}, tmp_path, by="oracle-masks")


@pytest.mark.parametrize(
    ("change", "options", "expected"),
    [
        ({}, {"by": "magic"}, "no criterion 'magic'"),
        ({"devices": 2}, {}, "--devices 2"),
        ({}, {"jobs": 0}, "--jobs 0"),
        ({}, {"by": "oracle-masks"}, "--truth"),
        ({}, {"vary": {"sise": [1]}}, "nearest are size"),
        ({}, {"vary": {"size": [8]}}, "--size 8"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_it_begins(
    drawn, tmp_path, here, change, options, expected
):
    base = replace(experiment(drawn, truth=False), **change)
    with pytest.raises(InputError, match=expected):
        tuning.tune(base, **{"vary": VARY, "out": tmp_path / "search", **options})
    assert here == []
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--vary", "size=64,96", "--vary=size=128"], "varied twice"),
        (["--vary", "size=64,96", "--trials", "x"], "--trials x"),
        (["--vary", "size=64,96"], "--out"),
        ([], "nothing to vary"),
    ],
)
def test_a_command_that_cannot_be(drawn, tmp_path, capsys, words, expected):
    where = [] if expected == "--out" else ["--out", str(tmp_path)]
    with pytest.raises(SystemExit) as left:
        main(["tune", str(drawn / "photos"), "--tags", str(drawn / "labels.csv"), *where, *words])
    assert left.value.code == 2
    assert expected in capsys.readouterr().err


def test_every_criterion_has_a_number(drawn, tmp_path, here):
    made = tuning.tune(experiment(drawn), {"refine": ["none"]}, tmp_path / "here", by="tags")
    run, e = tag2mask.runs.Run(made[0].folder), experiment(drawn)
    found = {name: criterion.score(run, e) for name, criterion in CRITERIA.items()}
    assert all(value is not None and 0 <= value <= 1 for value in found.values()), found


@pytest.mark.slow
def test_a_process_of_its_own_makes_the_same_bytes(drawn, tmp_path):
    e = experiment(drawn)
    (trial,) = tuning.tune(e, {"refine": ["none"]}, tmp_path / "s", by="oracle-masks", jobs=1)
    alone = replace(e, refine="none")
    run = pipeline.fit(alone, tmp_path / "alone", "masks")
    made = {n: b for n, b in files(trial.folder).items() if not n.startswith("by-")}
    assert made == files(run.folder)


def test_a_process_that_was_ended_is_told(drawn, tmp_path, here, monkeypatch):
    class Broken(_Here):
        def submit(self, work, *given):
            future: Future = Future()
            future.set_exception(BrokenProcessPool())
            return future

    monkeypatch.setattr(tuning, "_workers", lambda places: contextlib.nullcontext(Broken()))
    with pytest.raises(InputError, match="fewer --jobs"):
        tuning.tune(experiment(drawn), VARY, tmp_path, by="oracle-masks")


def test_one_process_a_device(monkeypatch, drawn):
    e = replace(experiment(drawn), accelerator="auto")
    monkeypatch.setattr(tuning.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(tuning.torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert tuning._places(e, None) == ["0", "1", "2"]
    assert tuning._places(e, 4) == ["0", "1", "2", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert tuning._places(e, None) == ["4", "7"]
    assert tuning._places(replace(e, accelerator="cpu"), 2) == ["", ""]
