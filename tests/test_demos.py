from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.shapes import BACKBONE, draw_set
from PIL import Image

from tag2mask import demos
from tag2mask.cli import main
from tag2mask.data import DataOptions
from tag2mask.localize import LocalizeOptions
from tag2mask.report import sheet
from tag2mask.storage import read_json, read_labels
from tag2mask.train import TrainOptions


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """Drawn pictures in the place of solar cells: red ones defective, the others without a tag."""
    drawn = draw_set(tmp_path / "set", train=9, test=4)
    table = (drawn / "labels.csv").read_text(encoding="utf-8").replace("red blue", "red")
    table = table.replace("blue", "").replace("red", "defective")
    (drawn / "labels.csv").write_text(table, encoding="utf-8")
    (drawn / "classes.txt").write_text("defective\n", encoding="utf-8")
    data = DataOptions(
        drawn / "photos",
        drawn / "labels.csv",
        split=str(drawn / "train.txt"),
        test_split=str(drawn / "test.txt"),
    )
    real = demos.solar_experiment
    asked = []

    def small(data, quick, seed):
        return replace(
            real(data, quick, seed),
            backbone=BACKBONE,
            size=64,
            train=TrainOptions(steps=2, batch=4),
            network=TrainOptions(steps=2, batch=4),
            localize=LocalizeOptions(scales=(1.0,)),
            accelerator="cpu",
        )

    monkeypatch.setattr(demos, "write_solar", lambda *given: asked.append(given) or data)
    monkeypatch.setattr(demos, "solar_experiment", small)
    return asked


def test_photographs_without_a_tag_go_the_whole_way(cells, tmp_path, capsys):
    out = tmp_path / "solar"
    main(["demo", "solar", "--quick", "--seed", "3", "--out", str(out)])
    assert cells == [(out / "photographs", 400, 3)]
    run = out / "run"
    assert not read_labels(run / "masks" / "p001.png").any()
    assert {p.stem for p in (run / "predictions").glob("*.png")} >= {"p001", "p010", "p012"}
    assert read_json(run / "scores.json")["splits"] == {}
    assert (run / "report" / "index.html").is_file()
    told = " ".join(capsys.readouterr().out.split())
    assert "held out and tagged defective: something is marked in" in told
    assert "of 3" in told
    assert "mIoU" not in told
    for name in ("most", "least"):
        with Image.open(out / f"{name}-certain.jpg") as picture:
            assert picture.size == (6 * 206 + 6, 3 * 206 + 6)


def test_a_sheet_keeps_every_picture_in_its_place():
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 20, 40)
    blue = torch.tensor([0, 0, 255], dtype=torch.uint8)[:, None, None].expand(3, 10, 5)
    drawn = np.asarray(sheet([[red], [red, blue]], 20))
    assert drawn.shape == (2 * 26 + 6, 2 * 26 + 6, 3)
    assert drawn[16, 16].tolist() == [255, 0, 0]
    assert drawn[16, 42].tolist() == [255, 255, 255]
    assert drawn[42, 42].tolist() == [0, 0, 255]
    assert drawn[42, 34].tolist() == [255, 255, 255], "narrow pictures stand in the middle"
