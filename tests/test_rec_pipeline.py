"""A method that segments by itself and stands on a classifier: stages, with and without tags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from oracles.shapes import draw_set, fit_words

from tag2mask.cli import main
from tag2mask.storage import read_labels, read_tensors

WORDS = ("--method", "rec", "--rec.width", "8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One class, red or none, as dog or no dog."""
    folder = draw_set(tmp_path_factory.mktemp("set"))
    table = (folder / "labels.csv").read_text(encoding="utf-8").replace("blue", "")
    (folder / "labels.csv").write_text(table, encoding="utf-8")
    (folder / "classes.txt").write_text("red\n", encoding="utf-8")
    out = folder / "run"
    main(fit_words(folder, out, *WORDS))
    return out


def test_the_classifier_is_trained_first_and_guides_unchanged(finished: Path) -> None:
    first = read_tensors(finished / "first" / "weights.safetensors")
    trained = read_tensors(finished / "classifier" / "weights.safetensors")
    for name, tensor in first.items():
        assert torch.equal(trained[f"guide.{name}"], tensor), name
    lines = (finished / "classifier" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(json.loads(lines[-1])["terms"]) == ["reconstruction", "size", "guidance"]


def test_photographs_without_tags_have_masks_of_background(finished: Path) -> None:
    assert not (finished / "network").exists()
    assert len(list((finished / "predictions").glob("*.png"))) == 14
    masks = sorted((finished / "masks").glob("*.png"))
    assert len(masks) == 10
    tagless = [mask for mask in masks if mask.stem in ("p001", "p004", "p007")]
    assert len(tagless) == 3
    assert not any(bool(read_labels(mask).any()) for mask in tagless)
    assert (finished / "report" / "index.html").is_file()


def test_a_second_network_comes_after_the_first_classifier(tmp_path: Path) -> None:
    out = tmp_path / "two"
    main(fit_words(draw_set(tmp_path / "set"), out, *WORDS, "--second-network", "masks"))
    for name in ("first", "classifier", "network"):
        assert (out / name / "stamp").is_file()


def test_the_first_classifier_has_its_own_rates(tmp_path: Path) -> None:
    out = tmp_path / "slow"
    words = (*WORDS, "--first.rate", "1e-7", "--until", "masks")
    main(fit_words(draw_set(tmp_path / "set"), out, *words))

    def rates(stage: str) -> list[float]:
        lines = (out / stage / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["lr"] for line in lines]

    assert 0 < max(rates("first")) <= 1e-6 < max(rates("classifier"))  # new layers at ten times it
