from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from oracles.shapes import draw_set, fit_words
from PIL import Image

from tag2mask import storage
from tag2mask.cli import field_docs, main
from tag2mask.experiment import Experiment, from_json, method_name, to_json
from tag2mask.methods import METHODS
from tag2mask.refine import VoteOptions
from tag2mask.types import Cue


@pytest.fixture
def drawn(tmp_path):
    return draw_set(tmp_path / "set", train=6, test=3)


def refused(words, capsys):
    """The one sentence on standard error, with exit code 2."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert left.value.code == 2
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("tag2mask: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_tag_for_a_missing_file(drawn, tmp_path, capsys):
    (drawn / "photos" / "p001.png").unlink()
    message = refused(fit_words(drawn, tmp_path / "out"), capsys)
    assert "p001" in message
    assert not (tmp_path / "out").exists()


def _without_split(words):
    """The same command over all photographs, so that nothing is left out on purpose."""
    cut = [words.index("--split"), words.index("--test-split")]
    return [w for n, w in enumerate(words) if n not in (*cut, cut[0] + 1, cut[1] + 1)]


def _column(table):
    return table.replace("id,tags", "id,tags,weight").replace("\n", ",1\n").replace("t,1", "t", 1)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda table: "\n".join(table.splitlines()[:-1]) + "\n", ["no row", "p008"]),
        (_column, ["unknown column", "weight"]),
        (lambda table: table.replace("blue", "").replace("p001,", "p001,red"), ["blue"]),
        (lambda table: table.replace("p001,blue", "p001,green"), ["green", "line 3"]),
    ],
    ids=["a file without a row", "an unknown column", "an empty class", "an unknown tag"],
)
def test_tables_that_do_not_fit(drawn, tmp_path, capsys, spoil, expected):
    table = (drawn / "labels.csv").read_text(encoding="utf-8")
    (drawn / "labels.csv").write_text(spoil(table), encoding="utf-8")
    message = refused(_without_split(fit_words(drawn, tmp_path / "out")), capsys)
    for words in expected:
        assert words.casefold() in message.casefold()
    assert not (tmp_path / "out" / "classifier").exists()


def test_a_truncated_photograph_is_named_then_skipped_and_counted(drawn, tmp_path, capsys):
    path = drawn / "photos" / "p002.png"
    path.write_bytes(path.read_bytes()[:300])
    assert "p002.png" in refused(fit_words(drawn, tmp_path / "out"), capsys)
    main(fit_words(drawn, tmp_path / "out", "--skip-bad", "--until", "masks"))
    masks = {p.stem for p in (tmp_path / "out" / "masks").glob("*.png")}
    assert "p002" not in masks
    assert len(masks) == 5
    skipped = storage.read_json(tmp_path / "out" / "data" / "check.json")["skipped"]
    assert [entry["id"] for entry in skipped] == ["p002"]


def test_masks_that_do_not_fit_are_named_before_the_training(drawn, tmp_path, capsys):
    words = fit_words(drawn, tmp_path / "out", "--truth", str(drawn / "truth"))
    Image.fromarray(np.full((72, 72), 9, np.uint8)).save(drawn / "truth" / "p001.png")
    message = refused(words, capsys)
    assert "p001.png" in message
    assert "label 9" in message
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(drawn / "truth" / "p001.png")
    assert "same size" in refused(words, capsys)
    assert not (tmp_path / "out" / "classifier").exists()


def test_weights_that_do_not_fit(drawn, tmp_path, capsys):
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"some.layer": zeros(2)}, tmp_path / "w.safetensors")
    words = fit_words(drawn, tmp_path / "out", "--weights", str(tmp_path / "w.safetensors"))
    message = refused(words, capsys)
    assert "w.safetensors" in message
    assert "--backbone" in message


def test_a_full_disk_keeps_what_was_finished(drawn, tmp_path, capsys, monkeypatch):
    real, calls = storage.write_bytes, []

    def full(path, content):
        calls.append(path)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(storage, "write_bytes", full)
    message = refused(fit_words(drawn, tmp_path / "out"), capsys)
    assert "No space left on device" in message
    assert "run the same command again" in message


def test_a_folder_of_another_run_or_of_something_else(drawn, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("keep me")
    assert "holds no run" in refused(fit_words(drawn, tmp_path / "other"), capsys)
    assert (tmp_path / "other" / "letter.txt").read_text() == "keep me"
    identity = {"photographs": "elsewhere", "classes": [], "method": "cam", "teacher": "maps"}
    storage.write_json(tmp_path / "out" / "identity.json", identity)
    message = refused(fit_words(drawn, tmp_path / "out"), capsys)
    assert "another run" in message
    assert "photographs" in message


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--method", "nope"], "no method 'nope'"),
        (["--host", "amn"], "cam sits on none; it goes with eps, fbr, ssc"),
        (["--backbone", "resnet5000"], "resnet5000"),
        (["--backbone=resnet5000"], "no backbone 'resnet5000'"),
        (["--backbone", "resnet18"], "--weights FILE"),
        (["--refine", "par,magic"], "'magic' is no refiner"),
        (["--segment.crf", "magic"], "--segment.crf magic came; expected none, or settings"),
        (["--masks.background", "1.5"], "--masks.background 1.5"),
        (["--network.batch", "1"], "--network.batch 1"),
        (["--train.batch", "3", "--devices", "2"], "--train.batch 3"),
        (["--split", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_options_that_no_run_can_have(drawn, tmp_path, capsys, more, expected):
    assert expected in refused(fit_words(drawn, tmp_path / "out", *more), capsys)


def test_commands_that_cannot_be(drawn, tmp_path, capsys):
    assert "no command 'segment'" in refused(["segment"], capsys)
    assert "--out" in refused(["fit", drawn / "photos", "--tags", drawn / "labels.csv"], capsys)
    assert "holds no run" in refused(["score", drawn], capsys)
    assert "holds no run" in refused(["predict", drawn, drawn, "--out", tmp_path], capsys)
    with pytest.raises(SystemExit) as left:
        main(["demo", "--nonsense"])
    assert left.value.code == 2


def test_predicting_new_photographs(drawn, tmp_path, capsys):
    run = tmp_path / "out"
    main(fit_words(drawn, run))
    new = tmp_path / "new"
    (new / "straße").mkdir(parents=True)
    Image.new("RGB", (1, 1)).save(new / "point.png")
    turned = Image.new("L", (40, 90))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(new / "straße" / "ü 1.jpg", exif=exif)
    main(["predict", str(run), str(new), "--out", str(tmp_path / "masks")])
    with Image.open(tmp_path / "masks" / "straße" / "ü 1.png") as mask:
        assert mask.size == (90, 40)
    with Image.open(tmp_path / "masks" / "point.png") as mask:
        assert mask.size == (1, 1)
    twins = ["predict", run, new / "point.png", new / "point.png", "--out", tmp_path / "m"]
    assert "same mask" in refused(twins, capsys)
    assert "nowhere.jpg" in refused(["predict", run, "nowhere.jpg", "--out", tmp_path], capsys)


def test_the_doctor_says_which_kernel_is_used(capsys, monkeypatch):
    from tag2mask.refine import native

    main(["doctor"])
    built = "compiled kernel" if native.available() else native.reason()
    assert built[:40] in capsys.readouterr().out
    monkeypatch.setattr(native, "_ENGINE", None)
    monkeypatch.setattr(native, "_REASON", "nothing compiles here")
    main(["doctor"])
    assert "PyTorch (nothing compiles here)" in capsys.readouterr().out


def test_help_fits_a_screen_and_shows_all_on_request(capsys):
    main(["fit", "--help"])
    short = capsys.readouterr().out
    assert len(short.splitlines()) <= 45
    for flag in ("--tags", "--truth", "--out", "--method", "--backbone", "--devices"):
        assert flag in short
    with pytest.raises(SystemExit) as left:
        main(["fit", "--help-all"])
    assert left.value.code in (0, None)
    everything = capsys.readouterr().out
    for flag in ("--par.stride", "--cam.rate", "--segment.architecture", "--localize.scales"):
        assert flag in everything


def test_every_option_is_explained():
    from dataclasses import fields, is_dataclass

    seen = [Experiment]
    for kind in seen:
        docs = field_docs(kind)
        for member in fields(kind):
            value = member.default_factory() if callable(member.default_factory) else None
            if is_dataclass(value):
                seen.append(type(value))
            elif member.name != "data":
                assert docs.get(member.name), f"{kind.__name__}.{member.name} has no docstring"


def test_an_experiment_survives_json(tmp_path):
    from dataclasses import replace

    from tag2mask.data import DataOptions

    for name, room in METHODS.items():
        saliency = tmp_path if Cue.SALIENCY in room.needs else None
        data = DataOptions(tmp_path, saliency=saliency)
        kept = replace(Experiment(data, method=room.Options()), seed=7, size=96)
        kept = replace(kept, refine="vote,crf", vote=VoteOptions(regions=tmp_path / "regions"))
        stored = {**to_json(kept), "method_name": method_name(kept.method)}
        assert stored["method_name"] == name
        assert from_json(stored) == kept


@pytest.fixture
def _heard():
    """What a process in the background ignores its children would ignore, too: an interrupt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heard")
@pytest.mark.parametrize(
    "stop", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_interrupted_from_outside_or_killed_it_ends_in_the_same_bytes(drawn, tmp_path, stop):
    steps = ("--train.steps", "40", "--train.checkpoint", "0.2", "--until", "masks")
    whole, out = (
        fit_words(drawn, tmp_path / name, *steps, "--backbone", "tf_efficientnet_lite0")
        for name in ("whole", "out")
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tag2mask", *out],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not (tmp_path / "out" / "classifier" / "checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(stop)
    _, text = process.communicate(timeout=60)
    if stop is signal.SIGINT:
        assert process.returncode == 130
        assert b"The same command goes on" in text
    assert not (tmp_path / "out" / "masks").exists()
    main(out)
    main(whole)
    for name in ("classifier/weights.safetensors", "classifier/log.jsonl", "masks/p001.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
