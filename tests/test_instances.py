"""Objects told apart as stages of a run: what they hold, what redoes them, how they are scored."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles.instances import voc
from oracles.interrupted import stopped
from oracles.shapes import CLASSES, draw_set, small_experiment
from PIL import Image
from pycocotools import mask as coco_mask

from tag2mask import cli, instances, pipeline
from tag2mask.affinity import InstanceOptions, IRNOptions
from tag2mask.data import DataOptions, image_size, read_image
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment, from_json, to_json
from tag2mask.mapping import read_refined
from tag2mask.nn.parts import numbered
from tag2mask.nn.runs import unpack
from tag2mask.report import object_colours, overlay
from tag2mask.segment import DetectorOptions
from tag2mask.storage import read_instances, read_json, read_labels, write_instances, write_picture
from tag2mask.train import TrainOptions
from tag2mask.types import Instances

OWN = ["instances", "instance-network", "instance-predictions"]
SAID = OWN  # by stages that only say that they would work, where `ran` notes them


def experiment(drawn: Path, **changes: Any) -> Experiment:
    options: dict[str, Any] = {
        "data": DataOptions(
            drawn / "photos",
            drawn / "labels.csv",
            split=str(drawn / "train.txt"),
            test_split=str(drawn / "test.txt"),
            truth=drawn / "truth",
        ),
        "refine": "par,irn",
        "irn": IRNOptions(width=32, radius=3),
        "affinity": TrainOptions(steps=3, batch=2),
        "instances": True,
        "detector": DetectorOptions(width=16),
        "instance_network": TrainOptions(steps=3, batch=2, checkpoint=0.0),
    }
    return small_experiment(drawn, **(options | changes))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("set"), train=6, test=2)


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    pipeline.fit(experiment(drawn), out, until="scores")
    return out


def ids(drawn: Path, split: str = "train") -> list[str]:
    return (drawn / f"{split}.txt").read_text(encoding="utf-8").splitlines()


def contents(run: Path) -> dict[str, bytes]:
    files = [path for name in OWN for path in sorted((run / name).rglob("*"))]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files if path.is_file()}


def test_instances_are_parts_of_the_masks(finished: Path, drawn: Path) -> None:
    table = read_json(finished / "instances" / "instances.json")
    assert [image["file_name"] for image in table["images"]] == [f"{n}.png" for n in ids(drawn)]
    assert [category["name"] for category in table["categories"]] == list(CLASSES)
    told = 0
    for image, name in zip(table["images"], ids(drawn), strict=True):
        labels = read_labels(finished / "masks" / f"{name}.png").numpy()
        numbers = read_labels(finished / "instances" / f"{name}.png").numpy()
        assert not ((numbers > 0) & (labels == 0)).any()
        assert set(np.unique(labels[numbers > 0])) == set(np.unique(labels)) - {0}
        own = [one for one in table["annotations"] if one["image_id"] == image["id"]]
        assert len(own) == numbers.max()
        cams = read_refined(finished / "refined", name)
        for number, one in enumerate(own, 1):
            packed = one["segmentation"]
            mask = unpack(packed["counts"].encode(), labels.shape)
            np.testing.assert_array_equal(mask, numbers == number)
            assert set(labels[mask]) == {one["category_id"]}
            values = cams.maps[cams.classes == one["category_id"]][None]
            wide = torch.nn.functional.interpolate(values, labels.shape, mode="bilinear")[0, 0]
            assert one["score"] == pytest.approx(float(wide[torch.from_numpy(mask)].max()))
        told += len(own)
    assert told > 0
    assert len(read_json(finished / "instances" / "displacement.json")["mean"]) == 2


def test_every_photograph_is_looked_at_by_the_network(finished: Path, drawn: Path) -> None:
    table = read_json(finished / "instance-predictions" / "instances.json")
    names = [*ids(drawn), *ids(drawn, "test")]
    assert [image["file_name"] for image in table["images"]] == [f"{name}.png" for name in names]
    folder = finished / "instance-predictions" / "objects"
    counts = [len(read_instances(folder / f"{name}.json")) for name in names]
    assert sum(counts) == len(table["annotations"])
    assert not (finished / "instance-network" / "checkpoint.safetensors").exists()


def test_scores_are_those_of_the_loop(finished: Path, drawn: Path) -> None:
    """The true objects are components: a square and a disc, one of each at most."""
    told = read_json(finished / "scores.json")["instances"]
    assert sorted(told) == ["test", "train"]
    assert told["train"]["truth"].startswith("connected components of the true masks")
    assert sorted(told["test"]) == ["network", "truth"]
    values = []
    for label in (1, 2):
        found, true = [], []
        for number, name in enumerate(ids(drawn)):
            labels = np.array(Image.open(drawn / "truth" / f"{name}.png"))
            true += [(number, labels == label)] if (labels == label).any() else []
        table = read_json(finished / "instances" / "instances.json")
        for one in table["annotations"]:
            if one["category_id"] == label:
                size = tuple(one["segmentation"]["size"])
                mask = unpack(one["segmentation"]["counts"].encode(), size)
                found.append((one["image_id"] - 1, one["score"], mask))
        values.append(voc(found, true, 0.25))
    assert told["train"]["masks"]["ap"]["0.25"] == pytest.approx(np.mean(values), abs=1e-6)
    assert told["train"]["masks"]["images"] == 6


def test_the_page_shows_objects_and_every_training(
    finished: Path, drawn: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "mine")
    pipeline.fit(experiment(drawn), tmp_path / "mine")
    page = (tmp_path / "mine" / "report" / "index.html").read_text(encoding="utf-8")
    charts = re.findall(r"Training, ([a-z -]+)", page)
    assert list(dict.fromkeys(charts)) == ["classifier", "irn", "network", "instance network"]
    stored = re.search(r'id="data"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert stored is not None
    for photo in json.loads(stored[1])["photos"]:
        found = {name: told["count"] for name, told in photo["objects"].items()}
        numbers = read_labels(drawn / "truth" / f"{photo['id']}.png")
        assert found.pop("truth") == len(set(numbers.unique().tolist()) - {0, 255})
        table = read_instances(finished / "instance-predictions/objects" / f"{photo['id']}.json")
        assert found.pop("network") == int((table.scores >= 0.5).sum())
        if photo["split"] == "train":
            parts = read_labels(finished / "instances" / f"{photo['id']}.png")
            assert found.pop("pseudo mask") == int(parts.max())
        assert found == {}


def test_nothing_is_done_again(finished: Path, drawn: Path, ran: list[str]) -> None:
    pipeline.fit(experiment(drawn), finished, until="scores")
    assert ran == []


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"instance": InstanceOptions(near=1.0)}, OWN),
        ({"detector": DetectorOptions(width=8)}, OWN[1:]),
        ({"instances": False}, []),
    ],
)
def test_an_option_redoes_what_it_decides(
    finished: Path,
    drawn: Path,
    tmp_path: Path,
    ran: list[str],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    redone: list[str],
) -> None:
    shutil.copytree(finished, tmp_path / "mine")
    scored: list[bool] = []
    monkeypatch.setattr("tag2mask.verdict.score_all", lambda *given, **named: scored.append(True))
    pipeline.fit(experiment(drawn, **change), tmp_path / "mine", until="scores")
    assert ran == [*redone, "scores"]
    assert scored == [True]


def test_objects_beside_the_masks_are_the_truth(
    finished: Path, drawn: Path, tmp_path: Path, ran: list[str]
) -> None:
    """The square is two objects there; only what is scored is done again."""
    shutil.copytree(finished, tmp_path / "mine")
    shutil.copytree(drawn, tmp_path / "set")
    annotations = []
    for number, name in enumerate(ids(drawn), 1):
        labels = np.array(Image.open(drawn / "truth" / f"{name}.png"))
        for half in (labels == 1) & (np.arange(labels.shape[1]) < 20), (labels == 1):
            packed = coco_mask.encode(np.asfortranarray(half.astype(np.uint8)))
            outline = {"size": list(half.shape), "counts": packed["counts"].decode()}
            about = {"image_id": number, "category_id": 1, "segmentation": outline}
            annotations += [about] if half.any() else []
    images = [
        {"id": n, "file_name": f"{name}.png", "height": h, "width": w}
        for n, name in enumerate(ids(drawn), 1)
        for h, w in [image_size(drawn / "photos" / f"{name}.png")]
    ]
    table = {"images": images, "categories": [{"id": 1, "name": "red"}]}
    path = tmp_path / "set" / "instances.json"
    path.write_text(json.dumps({**table, "annotations": annotations}), encoding="utf-8")
    here = experiment(drawn)
    moved = replace(here, data=replace(here.data, truth=tmp_path / "set" / "truth"))
    pipeline.fit(moved, tmp_path / "mine", until="scores")
    assert set(ran) <= {"data", "quality", "boxes", "scores"}
    told = read_json(tmp_path / "mine" / "scores.json")["instances"]
    assert told["train"]["truth"] == "instances.json beside the masks"
    assert told["train"]["masks"]["objects"] == 8
    assert "test" not in told
    assert "true objects: for scoring only" in read_json(tmp_path / "mine" / "supervision.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "after"),
    [
        ("tag2mask.instances.write_labels", 2),
        ("tag2mask.train.loop.save_checkpoint", 1),
        ("tag2mask.instances.write_instances", 3),
    ],
)
def test_a_kill_changes_no_byte(
    finished: Path, drawn: Path, tmp_path: Path, place: str, after: int
) -> None:
    out = tmp_path / "mine"
    shutil.copytree(finished, out)
    for stage in OWN:
        shutil.rmtree(out / stage)
    with stopped(place, after), pytest.raises(KeyboardInterrupt):
        pipeline.fit(experiment(drawn), out, until="scores")
    pipeline.fit(experiment(drawn), out, until="scores")
    assert contents(out) == contents(finished)


def test_masks_alone_are_divided_too(finished: Path, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    shutil.copytree(finished, out)
    for stage in OWN:
        shutil.rmtree(out / stage)
    pipeline.fit(experiment(drawn), out, until="masks")
    assert (out / "instances" / "stamp").is_file()
    assert not (out / "instance-network").exists()
    assert list(read_json(out / "scores.json")["instances"]["train"]) == ["truth", "masks"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"refine": "par,crf"}, "--instances came with --refine par,crf"),
        ({"teacher": "truth"}, "--instances came with --teacher truth"),
        ({"instance_network": TrainOptions(steps=0)}, "--instance-network.steps"),
    ],
)
def test_what_cannot_be(drawn: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        experiment(drawn, **change)


def test_irn_s_maps_are_those_before_it(drawn: Path) -> None:
    assert instances.taught_by(experiment(drawn)) == "refined-1-par"
    assert instances.taught_by(experiment(drawn, refine="irn,crf")) == "maps"


def test_options_go_to_json_and_back(drawn: Path) -> None:
    here = experiment(drawn)
    assert from_json({**to_json(here), "method_name": "cam"}) == here


def test_records_on_disk(tmp_path: Path) -> None:
    runs = (b"04L8", b"0L1")
    scores = torch.tensor([0.25, 0.125], dtype=torch.float64)
    found = Instances("a/b", torch.tensor([2, 1]), runs, scores, (3, 4))
    write_instances(tmp_path / "a.json", found)
    again = read_instances(tmp_path / "a.json")
    assert (again.id, again.runs, again.size) == ("a/b", runs, (3, 4))
    assert again.classes.tolist() == [2, 1]
    assert again.scores.tolist() == [0.25, 0.125]


def test_predict_writes_objects(finished: Path, drawn: Path, tmp_path: Path) -> None:
    words = ["predict", str(finished), str(drawn / "photos"), "--out", str(tmp_path / "out")]
    cli.main([*words, "--instances"])
    table = read_json(tmp_path / "out" / "instances.json")
    expected = read_json(finished / "instance-predictions" / "instances.json")

    def rows(told: dict[str, Any]) -> dict[str, list[Any]]:
        names = {image["id"]: image["file_name"] for image in told["images"]}
        found: dict[str, list[Any]] = {name: [] for name in names.values()}
        for one in told["annotations"]:
            found[names[one["image_id"]]].append((one["category_id"], one["segmentation"]))
        return found

    assert rows(table) == rows(expected)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "objects").glob("*.json")}
    assert len(before) == 8
    cli.main([*words, "--instances"])
    assert {p: p.stat().st_mtime_ns for p in before} == before
    (tmp_path / "out" / "objects" / "stamp").write_text("another")
    with pytest.raises(SystemExit):
        cli.main([*words, "--instances"])


def test_predict_draws_the_sure_objects(
    finished: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tag2mask.predicting.SURE", 0.0)
    name, out = ids(drawn)[0], tmp_path / "out"
    words = ["predict", str(finished), str(drawn / "photos"), "--out", str(out), "--overlay"]
    cli.main([*words, "--instances"])
    made = {path: path.stat().st_mtime_ns for path in (out / "object-overlays").iterdir()}
    assert len(made) == 8
    found = read_instances(out / "objects" / f"{name}.json")
    assert len(found) > 0
    numbers, classes = numbered(found)
    photo = read_image(drawn / "photos" / f"{name}.png")
    expected = overlay(photo, numbers, colours=object_colours(classes))
    write_picture(tmp_path / "expected.jpg", expected)
    shown = out / "object-overlays" / f"{name}.jpg"
    assert shown.read_bytes() == (tmp_path / "expected.jpg").read_bytes()
    shown.unlink()
    cli.main([*words, "--instances"])
    again = {path: path.stat().st_mtime_ns for path in (out / "object-overlays").iterdir()}
    assert {path.stem for path in made if made[path] != again[path]} == {name}


def test_predict_says_that_there_is_no_instance_network(
    finished: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "mine")
    shutil.rmtree(tmp_path / "mine" / "instance-network")
    words = ["predict", str(tmp_path / "mine"), str(drawn / "photos"), "--out"]
    with pytest.raises(SystemExit):
        cli.main([*words, str(tmp_path / "out"), "--instances"])
    assert "has no instance network" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
