from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.interrupted import stopped
from oracles.shapes import draw_set, fit_words
from PIL import Image
from safetensors.torch import load_file

from tag2mask import mapping, stages
from tag2mask.cli import main
from tag2mask.data import read_image
from tag2mask.masks import blind_level, threshold
from tag2mask.refine import CRF, CRFOptions, refine_labels
from tag2mask.storage import read_labels, voc_palette

WRITTEN = ("masks", "predictions", "classifier", "network", "report", "refined", "maps")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def finished(drawn, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mine"
    main(fit_words(drawn, out, "--truth", str(drawn / "truth")))
    return out


def contents(run: Path) -> dict[str, bytes]:
    files = [p for name in WRITTEN for p in sorted((run / name).rglob("*")) if p.is_file()]
    files += [run / "scores.json", run / "supervision.json", run / "experiment.json"]
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in files}


def test_everything_that_was_promised_is_there(finished):
    ids = ["Größe 1", *(f"p{n:03d}" for n in range(1, 14))]
    assert sorted(p.stem for p in (finished / "masks").glob("*.png")) == sorted(ids[:10])
    assert sorted(p.stem for p in (finished / "predictions").glob("*.png")) == sorted(ids)
    with Image.open(finished / "masks" / "p001.png") as mask:
        assert mask.mode == "P"
        assert mask.size == (72, 72)
        palette = np.array(mask.getpalette()).reshape(-1, 3)
    assert np.array_equal(palette, voc_palette()[: len(palette)])
    assert (finished / "network" / "weights.safetensors").is_file()
    assert not (finished / "network" / "checkpoint.safetensors").exists()
    page = (finished / "report" / "index.html").read_text(encoding="utf-8")
    assert "Größe 1" in page or "p001" in page
    told = json.loads((finished / "supervision.json").read_text())
    assert told[0] == "image tags of 10 photographs"
    assert "background level chosen blind, from the maps alone" in told


@pytest.mark.parametrize(
    ("stage", "split"), [("masks", "train"), ("predictions", "train"), ("predictions", "test")]
)
def test_scores_are_those_of_a_recount(finished, drawn, stage, split):
    ids = (drawn / f"{split}.txt").read_text(encoding="utf-8").split("\n")[:-1]
    pairs = [
        (np.array(Image.open(drawn / "truth" / f"{i}.png")), np.array(Image.open(path)))
        for i in ids
        for path in [finished / stage / f"{i}.png"]
    ]
    ious = []
    for label in range(3):
        hit = sum(int(((t == label) & (d == label)).sum()) for t, d in pairs)
        joined = sum(int(((t == label) | (d == label)).sum()) for t, d in pairs)
        ious.append(hit / joined)
    scores = json.loads((finished / "scores.json").read_text())["splits"][split]
    name = "network" if stage == "predictions" else stage
    assert scores[name]["miou"] == pytest.approx(float(np.mean(ious)), abs=1e-12)


def test_the_same_command_does_nothing_again(finished, drawn, monkeypatch):
    before = contents(finished)

    def never(*_):
        raise AssertionError("a stage ran again")

    for name in ("check_photographs", "train_method", "train_network", "predict_all"):
        monkeypatch.setattr(stages, name, never)
    for name in ("find_maps", "refine_maps", "decide_masks"):
        monkeypatch.setattr(mapping, name, never)
    main(fit_words(drawn, finished, "--truth", str(drawn / "truth")))
    assert contents(finished) == before


def test_a_run_can_stop_early_and_go_on(finished, drawn, tmp_path):
    run = tmp_path / "mine"
    shutil.copytree(finished, run)
    for name in ("network", "predictions", "report"):
        shutil.rmtree(run / name)
    words = fit_words(drawn, run, "--truth", str(drawn / "truth"))
    main([*words, "--until", "masks"])
    assert not (run / "network").exists()
    early, whole = (json.loads((r / "scores.json").read_text()) for r in (run, finished))
    assert list(early["splits"]) == ["train"]
    assert "network" not in early["splits"]["train"]
    assert early["splits"]["train"]["masks"] == whole["splits"]["train"]["masks"]
    main([*words, "--until", "scores"])
    assert not (run / "report").exists()
    main(words)
    assert contents(run) == contents(finished)
    with pytest.raises(SystemExit):
        main([*words, "--until", "tomorrow"])


def test_refiners_work_in_turn_and_the_crf_gets_a_blind_level(finished, drawn, tmp_path, ran):
    run = tmp_path / "mine"
    shutil.copytree(finished, run)
    words = fit_words(drawn, run, "--truth", str(drawn / "truth"), "--refine", "par,vote,crf")
    main(words)
    assert ran[:4] == ["refined-1-par", "refined-2-vote", "refined", "masks"]
    ids = (drawn / "train.txt").read_text(encoding="utf-8").splitlines()
    before = [mapping.read_refined(run / "refined-2-vote", name) for name in ids]
    level = blind_level(mapping.peaks(before))
    found = set()
    for photo, own in zip(ids, before, strict=True):
        image = read_image(drawn / "photos" / f"{photo}.png")
        by_hand = threshold(CRF(CRFOptions(background=level))(image, own), 0.5).labels
        decided = read_labels(run / "masks" / f"{photo}.png")
        assert (by_hand != decided).double().mean() < 0.01  # the maps between are kept as bytes
        found |= set(decided.unique().tolist())
    assert len(found) > 1
    assert json.loads((run / "masks" / "level.json").read_text())["level"] == 0.5
    main(words)
    assert len(ran) == 9


def test_a_crf_behind_the_network_trains_nothing(finished, drawn, tmp_path, ran):
    run = tmp_path / "mine"
    shutil.copytree(finished, run)
    words = fit_words(drawn, run, "--truth", str(drawn / "truth"), "--segment.crf", "irn")
    main(words)
    assert ran == ["predictions", "quality", "scores", "report"]
    for photo in ("p001", "p011"):
        image = read_image(drawn / "photos" / f"{photo}.png")
        plain = read_labels(finished / "predictions" / f"{photo}.png")
        decided = read_labels(run / "predictions" / f"{photo}.png")
        assert torch.equal(decided, refine_labels(image, plain, 3))  # irn: of the decision alone
    photos, out = drawn / "photos", tmp_path / "new"
    main(["predict", str(run), str(photos / "p001.png"), "--out", str(out)])
    assert torch.equal(read_labels(out / "p001.png"), read_labels(run / "predictions" / "p001.png"))
    with pytest.raises(SystemExit):
        main(["predict", str(finished), str(photos / "p001.png"), "--out", str(out)])


def test_a_new_level_redoes_masks_and_what_follows(finished, drawn, tmp_path, ran):
    run = tmp_path / "mine"
    shutil.copytree(finished, run)
    words = fit_words(drawn, run, "--truth", str(drawn / "truth"), "--background", "0.9")
    main(words)
    assert ran == ["masks", "network", "predictions", "quality", "scores", "report"]
    told = json.loads((run / "supervision.json").read_text())
    assert any("given by the user" in phrase for phrase in told)


def test_truth_never_reaches_the_training(finished, drawn, tmp_path):
    main(fit_words(drawn, tmp_path / "blind"))
    for name in ("masks", "predictions", "classifier", "network", "quality"):
        for path in sorted((finished / name).rglob("*.*")):
            twin = tmp_path / "blind" / path.relative_to(finished)
            assert twin.read_bytes() == path.read_bytes(), path
    for name in ("quality.json", "classes.json"):
        assert (tmp_path / "blind" / name).read_bytes() == (finished / name).read_bytes()
    assert json.loads((tmp_path / "blind" / "scores.json").read_text())["splits"] == {}
    assert (tmp_path / "blind" / "report" / "index.html").is_file()


STOPS = [
    pytest.param("tag2mask.stages.write_tensors", 0, marks=pytest.mark.slow),
    pytest.param("tag2mask.mapping.write_tensors", 2, marks=pytest.mark.slow),
    ("tag2mask.mapping.write_tensors", 13),
    pytest.param("tag2mask.mapping.write_labels", 4, marks=pytest.mark.slow),
    ("tag2mask.stages.write_labels", 7),
    ("tag2mask.pipeline._do", 4),
    pytest.param("tag2mask.pages.write_page", 0, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("place", "after"), STOPS)
def test_a_kill_at_any_moment_changes_no_byte(finished, drawn, tmp_path, place, after):
    words = fit_words(drawn, tmp_path / "mine", "--truth", str(drawn / "truth"))
    with stopped(place, after), pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 130
    main(words)
    assert contents(tmp_path / "mine") == contents(finished)


def test_the_upper_bound_says_so(drawn, tmp_path):
    words = fit_words(drawn, tmp_path / "top", "--truth", str(drawn / "truth"))
    main([*words, "--teacher", "truth"])
    told = json.loads((tmp_path / "top" / "supervision.json").read_text())
    assert told[0].startswith("TRUE MASKS of 10 photographs")
    mask = np.array(Image.open(tmp_path / "top" / "masks" / "p001.png"))
    assert np.array_equal(mask, np.array(Image.open(drawn / "truth" / "p001.png")))
    assert not (tmp_path / "top" / "classifier").exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(finished, drawn, tmp_path):
    main(fit_words(drawn, tmp_path / "two", "--truth", str(drawn / "truth"), "--devices", "2"))
    one = load_file(finished / "classifier" / "weights.safetensors")
    two = load_file(tmp_path / "two" / "classifier" / "weights.safetensors")
    for name, tensor in one.items():
        assert torch.allclose(tensor.double(), two[name].double(), atol=1e-4), name
    assert (tmp_path / "two" / "report" / "index.html").is_file()
