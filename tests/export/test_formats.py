"""Every format is read back by another reader, and gives the labels that were written."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracles.exports import brush, cvat_mask, unpack
from PIL import Image
from pycocotools.coco import COCO

from tag2mask.errors import InputError
from tag2mask.export import (
    Labelled,
    pack_voc_server,
    write_coco_instances,
    write_coco_masks,
    write_cvat,
    write_label_studio,
    write_voc,
)
from tag2mask.export.cvat import mask_of
from tag2mask.export.label_studio import pack
from tag2mask.export.labelled import runs
from tag2mask.nn.runs import pack as pack_runs
from tag2mask.storage import read_labels, voc_palette
from tag2mask.types import Instances

CLASSES = ("cat", "Großes <Tier>", "dog")
BITS = arrays.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 40)))


def drawn(name: str, unknown: bool = True) -> Labelled:
    labels = np.zeros((30, 41), dtype=np.uint8)
    labels[2:9, 3:11], labels[20:30, 30:41], labels[0, 0] = 1, 3, 3
    if unknown:
        labels[12:14] = 255
    return Labelled(name, labels)


def everything() -> list[Labelled]:
    empty = Labelled("empty.png", np.zeros((5, 4), dtype=np.uint8))
    full = Labelled("full.jpg", np.full((4, 6), 2, dtype=np.uint8))
    return [drawn("day 1/a.b.jpg"), empty, full]


def known(one: Labelled) -> np.ndarray:
    return np.where(one.labels == 255, 0, one.labels)


@given(BITS)
def test_runs_are_the_row_again(mask: np.ndarray) -> None:
    lengths = runs(mask.ravel())
    values = np.arange(len(lengths)) % 2 == 1
    assert np.array_equal(np.repeat(values, lengths), mask.ravel())
    assert (lengths[1:] > 0).all()


def test_a_row_of_nothing_has_no_runs() -> None:
    assert runs(np.zeros(0, dtype=bool)).tolist() == []


@given(BITS)
def test_a_brush_unpacks_to_its_mask(mask: np.ndarray) -> None:
    assert np.array_equal(brush(pack(mask), *mask.shape), mask)


@pytest.mark.parametrize("pixels", [1, 2, 3, 4, 64, 65, 16384, 16385, 40000])
def test_runs_of_every_class_of_lengths(pixels: int) -> None:
    """Four bytes a pixel: 8, 16, 256 and 65536 are the longest runs of the classes."""
    mask = np.zeros((2, pixels + 1), dtype=bool)
    mask[0, :pixels] = True
    assert unpack(pack(mask)) == np.repeat(mask.ravel() * 255, 4).tolist()


def test_a_known_stream() -> None:
    """One set pixel: 4 bytes, words of 8 bits, classes of 3, 4, 8, 16 bits, one run of 4 × 255."""
    bits = f"{4:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "1" + "00" + f"{3:03b}{255:08b}"
    padded = bits + "0" * (-len(bits) % 8)
    expected = [int(padded[n : n + 8], 2) for n in range(0, len(padded), 8)]
    assert pack(np.ones((1, 1), dtype=bool)) == expected


@given(BITS.filter(np.any))
def test_a_cvat_mask_is_drawn_again(mask: np.ndarray) -> None:
    assert np.array_equal(cvat_mask(mask_of(mask), *mask.shape), mask)


def test_cvat(tmp_path: Path) -> None:
    path = tmp_path / "cvat.xml"
    assert write_cvat(path, CLASSES, everything()) == 3
    root = ElementTree.parse(path).getroot()
    assert (root.tag, root.findtext("version")) == ("annotations", "1.1")
    images = root.findall("image")
    assert [image.get("id") for image in images] == ["0", "1", "2"]
    for image, one in zip(images, everything(), strict=True):
        assert (image.get("name"), int(image.get("height", 0))) == (one.name, one.size[0])
        again = np.zeros(one.size, dtype=np.uint8)
        for mask in image:
            assert mask.tag == "mask"
            assert set(mask.attrib) >= {"label", "source", "occluded", "z_order"}
            again[cvat_mask(mask.attrib, *one.size)] = CLASSES.index(mask.get("label", "")) + 1
        assert np.array_equal(again, known(one))
    labels = json.loads((tmp_path / "cvat-labels.json").read_text(encoding="utf-8"))
    assert [(one["name"], one["type"]) for one in labels] == [(name, "mask") for name in CLASSES]


def test_label_studio(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    assert write_label_studio(path, CLASSES, everything(), "https://host/x/") == 3
    tasks = json.loads(path.read_text(encoding="utf-8"))
    assert tasks[0]["data"]["image"] == "https://host/x/day%201/a.b.jpg"
    view = ElementTree.parse(tmp_path / "tasks.xml").getroot()
    image, brushes = view.find("Image"), view.find("BrushLabels")
    assert image is not None
    assert brushes is not None
    assert [label.get("value") for label in brushes] == list(CLASSES)
    assert image.get("value") == "$image"
    for task, one in zip(tasks, everything(), strict=True):
        again = np.zeros(one.size, dtype=np.uint8)
        (prediction,) = task["predictions"]
        ids = [region["id"] for region in prediction["result"]]
        assert len(set(ids)) == len(ids)
        for region in prediction["result"]:
            assert region["from_name"] == brushes.get("name")
            assert region["to_name"] == image.get("name") == brushes.get("toName")
            assert region["type"] == "brushlabels"
            assert (region["original_height"], region["original_width"]) == one.size
            (name,) = region["value"]["brushlabels"]
            assert region["value"]["format"] == "rle"
            again[brush(region["value"]["rle"], *one.size)] = CLASSES.index(name) + 1
        assert np.array_equal(again, known(one))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_coco(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    assert write_coco_masks(path, CLASSES, everything()) == 3
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    for image, one in zip(coco.loadImgs(coco.getImgIds()), everything(), strict=True):
        assert (image["file_name"], image["height"], image["width"]) == (one.name, *one.size)
        again = np.zeros(one.size, dtype=np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"], iscrowd=False)):
            mask = coco.annToMask(annotation).astype(bool)
            again[mask] = annotation["category_id"]
            rows, columns = np.nonzero(mask)
            left, top, width, height = annotation["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
            assert annotation["area"] == mask.sum()
        assert np.array_equal(again, known(one))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_coco_instances(tmp_path: Path) -> None:
    """Two objects of a class stay apart, also where they overlap."""
    masks = np.zeros((3, 30, 41), dtype=bool)
    masks[0, 2:9, 3:11], masks[1, 5:12, 3:11], masks[2, 20:, 30:] = True, True, True
    scores = torch.tensor([0.75, 0.5, 0.25], dtype=torch.float64)
    packed = tuple(pack_runs(mask) for mask in masks)
    found = Instances("day 1/a.b", torch.tensor([1, 1, 3]), packed, scores, (30, 41))
    empty = Instances("b", torch.zeros(0, dtype=torch.int64), (), scores[:0], (5, 4))
    pairs = [("day 1/a.b.jpg", found), ("b.png", empty)]
    path = tmp_path / "instances.json"
    assert write_coco_instances(path, CLASSES, pairs) == 3
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(str(path))
        results = read.loadRes(json.loads(path.read_text(encoding="utf-8"))["annotations"])
    assert [image["file_name"] for image in read.dataset["images"]] == ["day 1/a.b.jpg", "b.png"]
    for one, mask, score in zip(read.dataset["annotations"], masks, scores, strict=True):
        np.testing.assert_array_equal(read.annToMask(one).astype(bool), mask)
        assert one["area"] == mask.sum()
        assert one["score"] == score
        assert one["image_id"] == 1
    assert [one["category_id"] for one in results.dataset["annotations"]] == [1, 1, 3]
    assert read.dataset["annotations"][0]["bbox"] == [3, 2, 8, 7]


def test_voc(tmp_path: Path) -> None:
    assert write_voc(tmp_path, CLASSES, everything(), "train") == 3
    listed = (tmp_path / "ImageSets" / "Segmentation" / "train.txt").read_text().splitlines()
    assert listed == ["day 1/a.b", "empty", "full"]
    for photo, one in zip(listed, everything(), strict=True):
        labels = read_labels(tmp_path / "SegmentationClass" / f"{photo}.png")
        assert np.array_equal(labels.numpy(), one.labels)
    lines = (tmp_path / "labelmap.txt").read_text(encoding="utf-8").splitlines()
    assert lines[1:3] == ["background:0,0,0::", "cat:128,0,0::"]


def test_voc_masks_that_are_there_are_left_alone(tmp_path: Path) -> None:
    write_voc(tmp_path, CLASSES, everything(), "train")
    paths = sorted((tmp_path / "SegmentationClass").rglob("*.png"))
    before = {path: path.stat().st_ino for path in paths}
    other = Labelled("full.jpg", np.full((4, 6), 1, dtype=np.uint8))
    write_voc(tmp_path, CLASSES, [*everything()[:2], other], "train")
    after = {path: path.stat().st_ino for path in paths}
    assert [path.name for path in paths if before[path] != after[path]] == ["full.png"]


def test_the_package_of_the_voc_server(tmp_path: Path) -> None:
    path, one = tmp_path / "results.tar.gz", drawn("2008_000006.jpg", unknown=False)
    assert pack_voc_server(path, [one]) == 1
    with tarfile.open(path) as archive:
        (entry,) = archive.getmembers()
        assert entry.name == "results/VOC2012/Segmentation/comp6_test_cls/2008_000006.png"
        content = archive.extractfile(entry)
        assert content is not None
        with Image.open(io.BytesIO(content.read())) as picture:
            assert picture.mode == "P"
            assert np.array_equal(np.asarray(picture), one.labels)
            assert picture.getpalette() == voc_palette().ravel().tolist()
    before = path.read_bytes()
    pack_voc_server(path, [one])
    assert path.read_bytes() == before


def test_the_voc_server_takes_no_unknown_pixels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown pixels"):
        pack_voc_server(tmp_path / "results.tar.gz", [drawn("a.jpg")])
    assert not list(tmp_path.iterdir())
