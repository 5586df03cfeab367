from __future__ import annotations

import json
import re

import numpy as np
import pytest
from oracles.shapes import CLASSES, draw_set
from PIL import Image

from tag2mask.cli import main
from tag2mask.data import DataOptions
from tag2mask.experiment import Experiment, method_name, to_json
from tag2mask.report.pair import write_pair
from tag2mask.storage import read_labels, write_json, write_labels


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("set"))


def run_of(drawn, folder, wrong):
    """A run's folder without a training: its masks are the truth but for some rows of pixels."""
    data = DataOptions(
        drawn / "photos", drawn / "labels.csv", classes=drawn / "classes.txt",
        split=str(drawn / "train.txt"), test_split=str(drawn / "test.txt"), truth=drawn / "truth",
    )  # fmt: skip
    e = Experiment(data, name=folder.name)
    write_json(folder / "experiment.json", {**to_json(e), "method_name": method_name(e.method)})
    write_json(folder / "classes.json", list(CLASSES))
    write_json(folder / "data" / "check.json", {"skipped": []})
    write_json(folder / "scores.json", {"splits": {}, "supervision": [f"tags of {folder.name}"]})
    for split, stages in (("train", ("masks", "predictions")), ("test", ("predictions",))):
        for photo in (drawn / f"{split}.txt").read_text(encoding="utf-8").splitlines():
            labels = read_labels(drawn / "truth" / f"{photo}.png")
            labels[:wrong] = 0
            for stage in stages:
                write_labels(folder / stage / f"{photo}.png", labels)
    return folder


@pytest.fixture(scope="module")
def page(drawn, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    one, other = run_of(drawn, runs / "poor", 30), run_of(drawn, runs / "good", 20)
    main(["compare", str(one), str(other), "--html", str(runs / "pair.html")])
    return (runs / "pair.html").read_text(encoding="utf-8")


def stored(page):
    return json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])


def test_every_photograph_stands_there_with_both_runs_and_truth(page, drawn):
    data = stored(page)
    assert len(data["photos"]) == 14
    kinds = [f"{what}, {run}" for what in ("pseudo mask", "network") for run in ("poor", "good")]
    assert data["columns"] == [*kinds, "truth"]
    train = [photo for photo in data["photos"] if photo["split"] == "train"]
    assert all(set(photo["labels"]) == {*kinds, "truth"} for photo in train)
    for photo in train:
        iou = photo["iou"]
        gap = iou["pseudo mask, good"] - iou["pseudo mask, poor"]
        assert photo["numbers"]["difference"] == pytest.approx(gap, abs=2e-4)
        assert gap >= 0


def test_the_table_is_a_recount(page, drawn):
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', page)
    told = {name: re.findall(r"<td>(?:<b>)?([-+.\d]+)", cells) for name, cells in rows}
    ids = (drawn / "test.txt").read_text(encoding="utf-8").splitlines()
    pairs = [np.array(Image.open(drawn / "truth" / f"{i}.png")) for i in ids]
    for column, wrong in ((0, 30), (1, 20)):
        shares = []
        for label in range(3):
            hit = joined = 0
            for truth in pairs:
                decided = truth.copy()
                decided[:wrong] = 0
                hit += int(((truth == label) & (decided == label)).sum())
                joined += int(((truth == label) | (decided == label)).sum())
            shares.append(hit / joined)
        assert told["network, test"][column] == f"{100 * np.mean(shares):.1f}"
    assert float(told["network, test"][2]) > 0
    assert "What touched both" in page


@pytest.mark.parametrize(
    ("second", "told"),
    [("tags", ["both: tags; truth"]), ("masks", ["a: tags; truth", "b: masks; truth"])],
)
def test_equal_supervision_is_told_once(page, tmp_path, second, told):
    touched = {"a": ["tags", "truth"], "b": [second, "truth"]}
    write_pair(tmp_path / "x.html", ("a", "b"), stored(page), [], touched)
    written = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert re.findall("What touched (.*?)[.]", written) == told


def test_what_cannot_be_compared_is_refused(drawn, tmp_path, capsys):
    one, other = run_of(drawn, tmp_path / "one", 0), run_of(drawn, tmp_path / "other", 0)
    with pytest.raises(SystemExit):
        main(["compare", str(one), "--html", str(tmp_path / "x.html")])
    assert "two" in capsys.readouterr().err
    stored = json.loads((other / "experiment.json").read_text())
    stored["data"]["split"], stored["data"]["test_split"] = str(drawn / "test.txt"), None
    write_json(other / "experiment.json", stored)
    with pytest.raises(SystemExit):
        main(["compare", str(one), str(other), "--html", str(tmp_path / "x.html")])
    assert "no photograph in common" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()
