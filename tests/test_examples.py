"""The examples run as they are printed."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from oracles.shapes import draw_set
from PIL import Image

from tag2mask.storage import read_labels

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, words: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    monkeypatch.syspath_prepend(str(EXAMPLES))  # as Python does for a script
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_a_method_is_trained_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn, out = draw_set(tmp_path / "set", train=6, test=0), tmp_path / "out"
    words = [drawn / "photos", drawn / "labels.csv", out, "--size", "64", "--steps", "2"]
    run("by_hand.py", [*words, "--method", "ssc"], monkeypatch)
    assert "tags" in capsys.readouterr().out
    for photo in (drawn / "photos").iterdir():
        labels = read_labels(out / f"{photo.stem}.png")
        assert labels.unique().tolist() != [0], photo.stem
        assert (out / f"{photo.stem}.jpg").is_file()


def test_kinds_of_background_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn, out = draw_set(tmp_path / "set", train=7, test=0), tmp_path / "out" / "kinds.png"
    words = [drawn / "photos", drawn / "labels.csv", out, "--size", "96", "--steps", "2"]
    run("kinds_of_background.py", words, monkeypatch)
    assert "against background" in capsys.readouterr().out
    with Image.open(out) as picture:
        assert picture.size == (10 * 132, 6 * 132 - 4)
        assert len(picture.getcolors(1 << 20) or []) > 1000
