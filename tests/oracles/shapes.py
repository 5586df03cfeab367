"""A small set of drawn pictures: red squares and blue discs on noise, with exact masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment
from tag2mask.localize import LocalizeOptions
from tag2mask.nn.backbones import BackboneOptions
from tag2mask.segment import SegmentOptions
from tag2mask.train import TrainOptions

BACKBONE = BackboneOptions("test_resnet", "none")  # of half a million numbers
CLASSES = ("red", "blue")


def draw_set(folder: Path, train: int = 10, test: int = 4) -> Path:
    """photos/, labels.csv, truth/, classes.txt, train.txt and test.txt in a folder."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(train + test):
        height, width = ((64, 80), (72, 72), (80, 60))[number % 3]
        image = random.integers(90, 150, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), dtype=np.uint8)
        rows_, columns = np.mgrid[:height, :width]
        tags = [("red",), ("blue",), ("red", "blue")][number % 3]
        if "red" in tags:
            inside = (abs(rows_ - 20) < 12) & (abs(columns - 20) < 12)
            image[inside], mask[inside] = (220, 30, 30), 1
        if "blue" in tags:
            inside = (rows_ - 45) ** 2 + (columns - 42) ** 2 < 160
            image[inside], mask[inside] = (30, 30, 220), 2
        name = f"p{number:03d}" if number else "Größe 1"
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        (folder / "truth").mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "photos" / f"{name}.png")
        Image.fromarray(mask).save(folder / "truth" / f"{name}.png")
        rows.append((name, " ".join(tags)))
    table = "".join(f"{name},{tags}\n" for name, tags in rows)
    (folder / "labels.csv").write_text("id,tags\n" + table, encoding="utf-8")
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    ids = [name for name, _ in rows]
    (folder / "train.txt").write_text("\n".join(ids[:train]) + "\n", encoding="utf-8")
    (folder / "test.txt").write_text("\n".join(ids[train:]) + "\n", encoding="utf-8")
    return folder


def fit_words(folder: Path, out: Path, *more: str) -> list[str]:
    """`tag2mask fit` on such a set, small enough for a test: with the tiny backbone, or another."""
    if not {"--backbone", "--weights"} & set(more):
        more = ("--backbone", BACKBONE.name, "--weights", BACKBONE.weights, *more)
    return [
        *("fit", str(folder / "photos"), "--tags", str(folder / "labels.csv")),
        *("--classes", str(folder / "classes.txt"), "--split", str(folder / "train.txt")),
        *("--test-split", str(folder / "test.txt"), "--out", str(out), "--size", "64"),
        *("--train.steps", "3", "--train.batch", "4", "--network.steps", "3"),
        *("--network.batch", "4", "--localize.scales", "1.0", "--segment.scales", "1.0"),
        *("--accelerator", "cpu", *more),
    ]


def small_experiment(folder: Path, **changes: Any) -> Experiment:
    """The same from Python, on the training photographs alone."""
    options: dict[str, Any] = {
        "data": DataOptions(
            folder / "photos", folder / "labels.csv", split=str(folder / "train.txt")
        ),
        "backbone": BACKBONE,
        "size": 64,
        "train": TrainOptions(steps=3, batch=4),
        "localize": LocalizeOptions(scales=(1.0,)),
        "segment": SegmentOptions(scales=(1.0,)),
        "network": TrainOptions(steps=2, batch=4),
        "accelerator": "cpu",
    }
    return Experiment(**(options | changes))
