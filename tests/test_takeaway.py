"""`tag2mask export` on a finished run: whose masks, which files, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnxruntime
import pytest
from oracles.exports import brush
from oracles.shapes import draw_set, fit_words

from tag2mask.cli import main
from tag2mask.storage import read_labels, write_json

TRAIN, TEST = 6, 3


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("set"), train=TRAIN, test=TEST)


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    main(fit_words(drawn, out))
    return out


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("what", "folder", "count"),
    [
        ("masks", "masks", TRAIN),
        ("predictions", "predictions", TRAIN + TEST),
        ("test", "predictions", TEST),
    ],
)
def test_every_format_has_the_masks_that_are_asked_for(
    finished: Path, drawn: Path, tmp_path: Path, what: str, folder: str, count: int
) -> None:
    formats = ["--coco", "--voc", "--label-studio", "--cvat"]
    main(["export", str(finished), *formats, "--what", what, "--out", str(tmp_path)])
    listed = tmp_path / f"voc-{what}" / "ImageSets" / "Segmentation" / f"{what}.txt"
    ids = listed.read_text(encoding="utf-8").splitlines()
    split = (drawn / "test.txt").read_text(encoding="utf-8").splitlines()
    assert len(ids) == count
    assert set(split) & set(ids) == (set() if what == "masks" else set(split))
    names = [f"{photo}.png" for photo in ids]
    coco = json.loads((tmp_path / f"coco-{what}.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in coco["images"]] == names
    cvat = ElementTree.parse(tmp_path / f"cvat-{what}.xml").getroot().findall("image")
    assert [image.get("name") for image in cvat] == names
    tasks = json.loads((tmp_path / f"label-studio-{what}.json").read_text(encoding="utf-8"))
    assert len(tasks) == count
    for photo, task in zip(ids, tasks, strict=True):
        labels = read_labels(finished / folder / f"{photo}.png").numpy()
        copied = read_labels(tmp_path / f"voc-{what}" / "SegmentationClass" / f"{photo}.png")
        assert np.array_equal(copied.numpy(), labels)
        for region in task["predictions"][0]["result"]:
            label = 1 + ("red", "blue").index(region["value"]["brushlabels"][0])
            assert np.array_equal(brush(region["value"]["rle"], *labels.shape), labels == label)


def test_the_network_lands_in_the_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", str(finished), "--onnx"])
    assert "network.onnx" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(finished / "export" / "network.onnx")
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == ["background", "red", "blue"]
    assert about["long_side"] == "64"


def test_what_cannot_be_exported(
    finished: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(finished)
    assert "nothing to export; give one or more of --onnx, --coco" in refused(
        ["export", run], capsys
    )
    assert "needs one run" in refused(["export", "--coco"], capsys)
    assert "holds no run" in refused(["export", str(drawn), "--coco"], capsys)
    said = refused(["export", run, "--voc-server", "--coco", "--out", str(tmp_path)], capsys)
    assert "VOC's 20 classes" in said
    assert not list(tmp_path.iterdir())
    half = tmp_path / "half"
    for name in ("experiment.json", "classes.json"):
        (half / "network").mkdir(parents=True, exist_ok=True)
        shutil.copy(finished / name, half / name)
    assert "no finished masks" in refused(
        ["export", str(half), "--coco", "--what", "masks"], capsys
    )
    assert "no finished network" in refused(["export", str(half), "--onnx"], capsys)


def test_a_run_without_held_out_photographs(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    for name in ("data", "predictions"):
        shutil.copytree(finished / name, run / name)
    options = json.loads((finished / "experiment.json").read_text(encoding="utf-8"))
    options["data"]["test_split"] = None
    write_json(run / "experiment.json", options)
    assert "no held-out" in refused(["export", str(run), "--coco", "--what", "test"], capsys)
