"""Boxes on the whole way: in the scores of a run, and for new photographs."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles.shapes import draw_set, fit_words
from PIL import Image
from pycocotools.coco import COCO

from tag2mask.cli import main
from tag2mask.data import read_image
from tag2mask.evaluate import mask_boxes
from tag2mask.experiment import from_json
from tag2mask.nn.views import resize, scaled_size
from tag2mask.runs import Run
from tag2mask.stages import load_method
from tag2mask.storage import read_json, read_labels, read_tensors, write_labels


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("set"), train=6, test=3)


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    main(fit_words(drawn, out, "--truth", str(drawn / "truth")))
    return out


def iou(one: list[float], other: list[float]) -> float:
    across = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    down = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return across * down / (areas - across * down)


def test_scores_of_boxes_are_those_of_a_recount(
    finished: Path, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = json.loads((finished / "scores.json").read_text())["boxes"]
    assert set(boxes) == {"train", "test"}
    assert set(boxes["test"]) == {"images", "drawn", "network"}
    for split in boxes:
        hits = objects = 0
        for photo in (drawn / f"{split}.txt").read_text(encoding="utf-8").split("\n")[:-1]:
            true = mask_boxes(photo, read_labels(drawn / "truth" / f"{photo}.png"))
            labels = read_labels(finished / "predictions" / f"{photo}.png")
            found = mask_boxes(photo, labels, share=1.0)  # the largest of each class
            for label in set(true.classes.tolist()):
                objects += 1
                ours = found.edges[found.classes == label].tolist()
                theirs = true.edges[true.classes == label].tolist()
                hits += any(iou(one, other) >= 0.5 for one in ours for other in theirs)
        assert boxes[split]["network"]["objects"] == objects > 0
        assert boxes[split]["network"]["accuracy"] == pytest.approx(hits / objects)
    level = json.loads((finished / "masks" / "level.json").read_text())
    for name in ("maps", "refined"):
        entry = boxes["train"][name]
        assert (entry["level"], entry["level_source"]) == (level["level"], "blind")
        assert entry["oracle"]["by_iou"]["0.3"] >= entry["oracle"]["by_iou"]["0.7"]
        assert entry["oracle"]["max_box_acc_v2"] == pytest.approx(
            np.mean(list(entry["oracle"]["by_iou"].values()))
        )
    main(["score", str(finished)])
    printed = " ".join(capsys.readouterr().out.split())
    assert "train, boxes of 6 images" in printed
    assert "MaxBoxAccV2" in printed


def test_top_one_asks_the_classifier_too(finished: Path, drawn: Path, tmp_path: Path) -> None:
    """Two classes: one alone has to be the better one, two together are both found."""
    boxes = json.loads((finished / "scores.json").read_text())["boxes"]
    experiment = from_json(read_json(finished / "experiment.json"))
    method = load_method(experiment, Run(finished), 2, "classifier")
    for split in boxes:
        hits = objects = 0
        for photo in (drawn / f"{split}.txt").read_text(encoding="utf-8").split("\n")[:-1]:
            true = mask_boxes(photo, read_labels(drawn / "truth" / f"{photo}.png"))
            image = read_image(drawn / "photos" / f"{photo}.png")
            size = scaled_size((image.shape[1], image.shape[2]), 64.0, experiment.backbone.stride)
            with torch.no_grad():
                logits = method.classify(resize(image, size)[None].float())[0]
            kept = read_tensors(finished / "recognised" / f"{photo}.safetensors")["logits"]
            assert torch.allclose(kept, logits, atol=1e-5)
            labels = read_labels(finished / "predictions" / f"{photo}.png")
            found = mask_boxes(photo, labels, share=1.0)
            for label in set(true.classes.tolist()):
                objects += 1
                first = len(set(true.classes.tolist())) == 2 or label == int(kept.argmax()) + 1
                ours = found.edges[found.classes == label].tolist()
                theirs = true.edges[true.classes == label].tolist()
                right = any(iou(one, other) >= 0.5 for one in ours for other in theirs)
                hits += first and right
        assert boxes[split]["network"]["top1"] == pytest.approx(hits / objects)
        assert boxes[split]["network"]["top5"] == boxes[split]["network"]["accuracy"]
    train = boxes["train"]["refined"]
    assert train["top1"] <= train["top5"] == train["accuracy"]
    assert train["oracle"]["top5"] == train["oracle"]["max_box_acc"]
    page = (finished / "report" / "index.html").read_text(encoding="utf-8")
    assert "boxes of 6 images" in page


def predicted(run: Path, photos: Path, out: Path, *more: str) -> dict[str, Any]:
    main(["predict", str(run), str(photos), "--out", str(out), "--boxes", *more])
    content: dict[str, Any] = json.loads((out / "boxes.json").read_text(encoding="utf-8"))
    return content


def test_boxes_of_new_photographs_are_coco(finished: Path, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    content = predicted(finished, drawn / "photos", out)
    names = {image["id"]: image["file_name"] for image in content["images"]}
    assert sorted(names.values()) == sorted(p.name for p in (drawn / "photos").iterdir())
    assert [one["name"] for one in content["categories"]] == ["red", "blue"]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(out / "boxes.json"))
        again = coco.loadRes(content["annotations"])
    assert len(again.getAnnIds()) == len(content["annotations"]) == len(coco.getAnnIds())
    for image in coco.loadImgs(coco.getImgIds()):
        labels = read_labels(out / f"{Path(image['file_name']).stem}.png")
        assert tuple(labels.shape) == (image["height"], image["width"])
        rows = [
            (a["category_id"], a["bbox"], a["score"])
            for a in coco.loadAnns(coco.getAnnIds(image["id"]))
        ]
        true = mask_boxes("", labels)
        expected = [
            (label, [x0, y0, x1 - x0, y1 - y0], score)
            for label, (x0, y0, x1, y1), score in zip(
                true.classes.tolist(), true.edges.tolist(), true.scores.tolist(), strict=True
            )
        ]
        assert rows == expected


def test_boxes_are_of_the_masks_that_are_there(finished: Path, drawn: Path, tmp_path: Path) -> None:
    """A second call leaves masks alone, and boxes them; a component may be too small."""
    new, out = tmp_path / "new", tmp_path / "masks"
    (new / "inner").mkdir(parents=True)
    with Image.open(drawn / "photos" / "p001.png") as picture:
        picture.save(new / "inner" / "one.png")
        height, width = picture.size[1], picture.size[0]
    labels = torch.zeros(height, width, dtype=torch.uint8)
    labels[3:20, 5:30], labels[40, 50], labels[60:63, 1:5] = 2, 2, 1
    predicted(finished, new, out)
    write_labels(out / "inner" / "one.png", labels)
    for share, expected in (
        ("0.01", [(1, [1, 60, 4, 3]), (2, [5, 3, 25, 17])]),
        ("0", [(1, [1, 60, 4, 3]), (2, [5, 3, 25, 17]), (2, [50, 40, 1, 1])]),
    ):
        content = predicted(finished, new, out, "--box-share", share)
        assert content["images"][0]["file_name"] == "inner/one.png"
        found = [(a["category_id"], a["bbox"]) for a in content["annotations"]]
        assert found == expected
    assert content["annotations"][1]["score"] == pytest.approx(425 / 426)
    assert torch.equal(read_labels(out / "inner" / "one.png"), labels)
    assert not list(out.rglob(".*.tmp"))


def test_a_share_that_is_none(
    finished: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        predicted(finished, drawn / "photos", tmp_path, "--box-share", "1.5")
    assert left.value.code == 2
    assert "--box-share 1.5 came" in capsys.readouterr().err


def test_drawn_boxes_are_scored_without_masks(tmp_path: Path) -> None:
    """CUB's layout: boxes and no masks. The run says that it saw them."""
    made = draw_set(tmp_path / "drawn", train=4, test=2)
    folder = tmp_path / "CUB_200_2011"
    rows: dict[str, list[str]] = {name: [] for name in ("images", "image_class_labels")}
    rows |= {"train_test_split": [], "bounding_boxes": []}
    for number, path in enumerate(sorted((made / "photos").glob("p*.png")), 1):
        label = 1 + number % 2
        (folder / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        (folder / "images" / str(label) / path.name).write_bytes(path.read_bytes())
        rows["images"].append(f"{number} {label}/{path.name}")
        rows["image_class_labels"].append(f"{number} {label}")
        rows["train_test_split"].append(f"{number} {int(number < 5)}")
        rows["bounding_boxes"].append(f"{number} 8.0 8.0 24.0 24.0")
    for name, lines in rows.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "classes.txt").write_text("1 1\n2 2\n", encoding="utf-8")
    out = tmp_path / "run"
    words = fit_words(made, out)
    kept = words[8:]  # without the photographs, the table, the classes and the split
    main(["fit", str(folder), "--test-split", "test", *kept[kept.index("--out") :]])
    scores = json.loads((out / "scores.json").read_text())
    assert scores["splits"] == {}
    train = scores["boxes"]["train"]
    assert (train["images"], train["drawn"], train["maps"]["objects"]) == (4, 4, 4)
    assert scores["boxes"]["test"]["drawn"] == 1
    assert any("true boxes" in phrase for phrase in scores["supervision"])
