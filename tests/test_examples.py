"""The examples run as they are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from oracles.shapes import draw_set
from PIL import Image

from tag2mask.storage import read_labels

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_method_is_trained_by_hand(tmp_path: Path) -> None:
    drawn, out = draw_set(tmp_path / "set", train=6, test=0), tmp_path / "out"
    words = [drawn / "photos", drawn / "labels.csv", out, "--size", "64", "--steps", "2"]
    command = [sys.executable, EXAMPLES / "by_hand.py", *words, "--method", "ssc"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "tags" in done.stdout
    for photo in (drawn / "photos").iterdir():
        labels = read_labels(out / f"{photo.stem}.png")
        assert labels.unique().tolist() != [0], photo.stem
        assert (out / f"{photo.stem}.jpg").is_file()


def test_kinds_of_background_are_drawn(tmp_path: Path) -> None:
    drawn, out = draw_set(tmp_path / "set", train=7, test=0), tmp_path / "out" / "kinds.png"
    words = [drawn / "photos", drawn / "labels.csv", out, "--size", "96", "--steps", "2"]
    command = [sys.executable, EXAMPLES / "kinds_of_background.py", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "against background" in done.stdout
    with Image.open(out) as picture:
        assert picture.size == (10 * 132, 6 * 132 - 4)
        assert len(picture.getcolors(1 << 20) or []) > 1000
