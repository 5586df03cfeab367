"""True objects: painted by VOC, outlined by COCO, beside the masks of composed pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tag2mask.data.coco_truth import CocoTruth, Drawn, Instance
from tag2mask.data.collection import TrueInstances
from tag2mask.data.open import open_data
from tag2mask.data.options import DataOptions
from tag2mask.data.true_instances import CocoInstances, VocInstances
from tag2mask.errors import InputError
from tag2mask.nn.runs import pack, unpack
from tag2mask.storage import write_labels
from tag2mask.types import Instances

SIZE = (8, 10)


def painted(*boxes: tuple[slice, slice, int]) -> torch.Tensor:
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    for rows, columns, value in boxes:
        labels[rows, columns] = value
    return labels


LEFT, RIGHT = (slice(1, 5), slice(0, 4)), (slice(1, 5), slice(5, 9))
EDGE = (slice(1, 5), slice(4, 5))


def masks_of(found: Instances) -> list[np.ndarray]:
    return [unpack(runs, found.size) for runs in found.runs]


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two touching objects of class 2, 255 between them, and a number where no class is."""
    write_labels(tmp_path / "masks" / "a.png", painted((*LEFT, 2), (*EDGE, 255), (*RIGHT, 2)))
    stray = (slice(7, 8), slice(0, 2), 7)
    numbers = painted((*LEFT, 1), (*EDGE, 255), (*RIGHT, 5), stray)
    write_labels(tmp_path / "SegmentationObject" / "a.png", numbers)
    return tmp_path


def test_voc_paints_a_number_for_each(voc: Path) -> None:
    truth = VocInstances(voc / "masks", voc / "SegmentationObject", 3)
    assert isinstance(truth, TrueInstances)
    assert "a" in truth
    assert "b" not in truth
    found = truth.read("a", SIZE)
    assert found.classes.tolist() == [2, 2]
    assert found.scores.tolist() == [1.0, 1.0]
    for mask, (rows, columns) in zip(masks_of(found), (LEFT, RIGHT), strict=True):
        expected = np.zeros(SIZE, dtype=bool)
        expected[rows, columns] = True
        np.testing.assert_array_equal(mask, expected)
    before = truth.fingerprint()
    write_labels(voc / "SegmentationObject" / "b.png", painted())
    assert VocInstances(voc / "masks", voc / "SegmentationObject", 3).fingerprint() != before


def test_a_mask_of_objects_has_the_photograph_s_size(voc: Path) -> None:
    write_labels(voc / "SegmentationObject" / "a.png", torch.zeros(3, 4, dtype=torch.uint8))
    truth = VocInstances(voc / "masks", voc / "SegmentationObject", 3)
    with pytest.raises(InputError, match="4 pixels wide and 3 high, its photograph 10 and 8"):
        truth.read("a", SIZE)


def test_coco_keeps_what_overlaps_and_marks_crowds() -> None:
    back, front = np.zeros(SIZE, dtype=bool), np.zeros(SIZE, dtype=bool)
    back[1:7, 1:8], front[3:5, 3:6] = True, True
    packed = [{"size": list(SIZE), "counts": pack(mask).decode()} for mask in (back, front)]
    empty = [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    drawn = (
        Instance(1, False, packed[0]),
        Instance(1, True, packed[1]),
        Instance(2, False, empty),
    )
    truth = CocoInstances(CocoTruth({"a": Drawn(SIZE, drawn)}, []))
    found = truth.read("a", SIZE)
    assert found.classes.tolist() == [1, 1]
    assert found.crowds == (False, True)
    np.testing.assert_array_equal(masks_of(found), [back, front])
    with pytest.raises(InputError, match="expected the same size"):
        truth.read("a", (4, 4))


@pytest.fixture
def table(tmp_path: Path) -> DataOptions:
    """Photographs with a table, and masks beside which objects may be."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    (tmp_path / "images" / "b.jpg").write_bytes(b"b")
    (tmp_path / "labels.csv").write_text("id,tags\na,dog\nb,cat dog\n", encoding="utf-8")
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n", encoding="utf-8")
    write_labels(tmp_path / "masks" / "a.png", painted((*LEFT, 2), (*RIGHT, 2)))
    return DataOptions(tmp_path / "images", tmp_path / "labels.csv", truth=tmp_path / "masks")


def test_masks_alone_tell_no_objects_apart(table: DataOptions) -> None:
    assert open_data(table).instances is None


def test_objects_painted_beside_the_masks(table: DataOptions) -> None:
    folder = table.photos.parent / "SegmentationObject"
    write_labels(folder / "a.png", painted((*LEFT, 1), (*RIGHT, 2)))
    truth = open_data(table).instances
    assert truth is not None
    assert truth.source == "VOC's SegmentationObject"
    assert len(truth.read("a", SIZE)) == 2


def test_objects_outlined_beside_the_masks(table: DataOptions) -> None:
    """By the names of classes; those that the run does not know are left out."""
    square = [[0, 1, 4, 1, 4, 5, 0, 5]]
    content = {
        "images": [{"id": 4, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}],
        "categories": [{"id": 7, "name": "dog"}, {"id": 9, "name": "fish"}],
        "annotations": [
            {"id": n, "image_id": 4, "category_id": category, "segmentation": square}
            for n, category in enumerate((7, 9, 7), 1)
        ],
    }
    path = table.photos.parent / "instances.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    truth = open_data(table).instances
    assert truth is not None
    assert truth.source == "instances.json beside the masks"
    assert "b" not in truth
    found = truth.read("a", SIZE)
    assert found.classes.tolist() == [2, 2]
    assert all(int(mask.sum()) == 16 for mask in masks_of(found))
