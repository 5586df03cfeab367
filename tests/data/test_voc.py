"""VOC as it is unpacked: lists, boxes, masks, and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tag2mask.data.collection import Collection
from tag2mask.data.open import open_data
from tag2mask.data.options import DataOptions
from tag2mask.data.voc import VOC_CLASSES
from tag2mask.errors import InputError
from tag2mask.storage import write_labels

TAGS = {
    "2007_000032": ("aeroplane", "person"),
    "2007_000033": ("aeroplane",),
    "2008_000002": ("tvmonitor",),
    "2011_003276": ("person", "person", "bottle"),
}
OBJECT = """\
	<object>
		<name>{name}</name>
		<pose>Frontal</pose>
		<truncated>0</truncated>
		<difficult>{difficult}</difficult>
		<bndbox>
			<xmin>104</xmin>
			<ymin>78</ymin>
			<xmax>375</xmax>
			<ymax>183</ymax>
		</bndbox>
		<part>
			<name>head</name>
			<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>
		</part>
	</object>
"""


def annotation(name: str, classes: tuple[str, ...], difficult: int = 0) -> str:
    objects = "".join(OBJECT.format(name=c, difficult=difficult) for c in classes)
    return (
        f"<annotation>\n\t<folder>VOC2012</folder>\n\t<filename>{name}.jpg</filename>\n"
        f"\t<size>\n\t\t<width>500</width>\n\t</size>\n{objects}</annotation>\n"
    )


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Four photographs, three classes; nobody decodes them."""
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    for name, classes in TAGS.items():
        write(folder / "JPEGImages" / f"{name}.jpg", name)
        write(folder / "Annotations" / f"{name}.xml", annotation(name, classes))
    sets = folder / "ImageSets" / "Segmentation"
    write(sets / "train.txt", "2007_000032\n2007_000033\n")
    write(sets / "val.txt", "2011_003276\n")
    write(folder / "ImageSets" / "Main" / "train.txt", "2008_000002\n")
    write(folder / "ImageSets" / "Main" / "trainval.txt", "2007_000032\n2008_000002\n")
    write(folder / "ImageSets" / "Main" / "cat_train.txt", "2007_000032 -1\n2007_000033  1\n")
    write_labels(folder / "SegmentationClass" / "2007_000032.png", torch.full((2, 3), 15).byte())
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write(tmp_path / "own.txt", "person\naeroplane\n")


def tags(collection: Collection | None) -> dict[str, tuple[int, ...]]:
    return {photo.id: photo.tags for photo in collection.photos} if collection else {}


def test_the_classes_stand_in_their_order() -> None:
    assert len(VOC_CLASSES) == 20
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)  # the official order is that of the letters


def test_tags_come_from_boxes(voc: Path, own: Path) -> None:
    data = open_data(DataOptions(voc, classes=own))
    assert data.format == "voc"
    assert tags(data.train) == {"2007_000032": (1, 2), "2007_000033": (2,)}
    assert data.train.photos[0].path == voc / "JPEGImages" / "2007_000032.jpg"
    assert data.test is None


def test_difficult_objects_count(voc: Path, own: Path) -> None:
    path = voc / "Annotations" / "2007_000033.xml"
    write(path, annotation("2007_000033", ("person",), difficult=1))
    assert tags(open_data(DataOptions(voc, classes=own)).train)["2007_000033"] == (1,)


def test_a_photograph_without_objects_has_no_tags(voc: Path, own: Path) -> None:
    write(voc / "Annotations" / "2007_000033.xml", annotation("2007_000033", ()))
    assert tags(open_data(DataOptions(voc, classes=own)).train)["2007_000033"] == ()


def test_all_twenty_classes(voc: Path) -> None:
    write(voc / "Annotations" / "2007_000033.xml", annotation("2007_000033", VOC_CLASSES))
    data = open_data(DataOptions(voc, test_split="val"))
    assert data.train.classes == VOC_CLASSES
    assert tags(data.train) == {"2007_000032": (1, 15), "2007_000033": tuple(range(1, 21))}
    assert tags(data.test) == {"2011_003276": (5, 15)}


def test_a_class_that_no_training_photograph_has(voc: Path) -> None:
    with pytest.raises(InputError, match=r"classes 'bicycle', .* are empty"):
        open_data(DataOptions(voc))


@pytest.mark.parametrize("name", ["train_aug", "trainaug"])
@pytest.mark.parametrize("place", ["Segmentation", "SegmentationAug", "Main"])
def test_sbd_s_list_is_taken_where_it_is(voc: Path, own: Path, name: str, place: str) -> None:
    lines = [f"/JPEGImages/{i}.jpg /SegmentationClassAug/{i}.png\n" for i in list(TAGS)[:2]]
    write(voc / "ImageSets" / "Segmentation" / "train.txt", "2007_000033\n")
    write(voc / "ImageSets" / place / f"{name}.txt", "".join(lines))
    train = open_data(DataOptions(voc, classes=own)).train
    assert tags(train) == {"2007_000032": (1, 2), "2007_000033": (2,)}


def test_splits_by_name_and_by_path(voc: Path, tmp_path: Path) -> None:
    classes = write(tmp_path / "c.txt", "aeroplane\nperson\ntvmonitor\n")
    by_name = open_data(DataOptions(voc, classes=classes, split="trainval"))
    assert list(tags(by_name.train)) == ["2007_000032", "2008_000002"]
    path = write(tmp_path / "my list.txt", "\n2008_000002.jpg\n\n2007_000032\n2007_000032\n")
    by_path = open_data(DataOptions(voc, classes=classes, split=str(path)))
    assert tags(by_path.train) == tags(by_name.train)
    assert by_path.fingerprint == by_name.fingerprint


def test_names_of_one_s_own(voc: Path, own: Path, tmp_path: Path) -> None:
    name = "Füchse 1"
    write(voc / "JPEGImages" / f"{name}.JPEG", name)
    write(voc / "Annotations" / f"{name}.xml", annotation(name, ("person", "aeroplane")))
    path = write(tmp_path / "l.txt", f"JPEGImages/{name}.JPEG  SegmentationClass/{name}.png\n")
    data = open_data(DataOptions(voc, classes=own, split=str(path)))
    assert tags(data.train) == {name: (1, 2)}


def npy(path: Path, content: dict[Any, Any]) -> Path:
    np.save(path, content, allow_pickle=True)  # type: ignore[arg-type]
    return path


def test_tags_from_cls_labels(voc: Path, own: Path, tmp_path: Path) -> None:
    vectors = {"2007_000032": np.float32([1, 0]), "2007_000033": np.float32([0, 1])}
    options = DataOptions(voc, npy(tmp_path / "cls_labels.npy", vectors), classes=own)
    assert tags(open_data(options).train) == {"2007_000032": (1,), "2007_000033": (2,)}
    with pytest.raises(InputError, match=r"'2011_003276' has no tags in .*cls_labels\.npy"):
        open_data(replace(options, test_split="val"))
    npy(tmp_path / "cls_labels.npy", {int("2007000032"): [1, 1], 2007000033: [0, 0]})
    assert tags(open_data(options).train) == {"2007_000032": (1, 2), "2007_000033": ()}


def test_other_tags_are_refused(voc: Path, own: Path) -> None:
    with pytest.raises(InputError, match=r"tags\.csv are no cls_labels\.npy; .*JPEGImages"):
        open_data(DataOptions(voc, Path("tags.csv"), "voc", classes=own))


def test_truth_of_the_longer_list_goes_first(voc: Path, own: Path, tmp_path: Path) -> None:
    truth = open_data(DataOptions(voc, classes=own)).truth
    assert truth is not None
    with pytest.raises(InputError, match="has the label 15"):  # two classes only
        truth.read("2007_000032", (2, 3))
    one = torch.ones(2, 3, dtype=torch.uint8)
    for place, label in ((voc / "SegmentationClassAug", 1), (tmp_path / "masks", 2)):
        write_labels(place / "2007_000033.png", one * label)
    truth = open_data(DataOptions(voc, classes=own)).truth
    assert truth is not None
    assert torch.equal(truth.read("2007_000033", (2, 3)).truth, one)
    truth = open_data(DataOptions(voc, classes=own, truth=tmp_path / "masks")).truth
    assert truth is not None
    assert torch.equal(truth.read("2007_000033", (2, 3)).truth, one * 2)


def test_masks_of_other_photographs_are_no_truth(voc: Path, own: Path, tmp_path: Path) -> None:
    (voc / "SegmentationClass" / "2007_000032.png").rename(voc / "SegmentationClass" / "z.png")
    assert open_data(DataOptions(voc, classes=own)).truth is None
    with pytest.raises(InputError, match=r"No mask in .* belongs to a photograph"):
        open_data(DataOptions(voc, classes=own, truth=voc / "SegmentationClass"))


def test_no_masks_are_needed(voc: Path, own: Path) -> None:
    (voc / "SegmentationClass" / "2007_000032.png").unlink()
    (voc / "SegmentationClass").rmdir()
    assert open_data(DataOptions(voc, classes=own)).truth is None


def test_a_split_that_is_not_there(voc: Path, own: Path) -> None:
    with pytest.raises(InputError, match=r"no split 'test' in .*Segmentation/test\.txt"):
        open_data(DataOptions(voc, classes=own, test_split="test"))


def test_the_list_of_a_single_class_is_refused(voc: Path, own: Path) -> None:
    with pytest.raises(InputError, match=r"Line 1 of .*cat_train\.txt is '2007_000032 -1'"):
        open_data(DataOptions(voc, classes=own, split="cat_train"))


def test_a_photograph_in_both_splits(voc: Path, own: Path) -> None:
    with pytest.raises(InputError, match="'2007_000032' are in both splits"):
        open_data(DataOptions(voc, classes=own, test_split="trainval", skip_bad=True))


def broken_tree(voc: Path) -> dict[str, str]:
    """One file broken in every way, and the sentence for each."""
    for name in ("gone", "none", "torn", "other", "nameless"):
        if name != "gone":
            write(voc / "JPEGImages" / f"{name}.jpg", name)
    write(voc / "Annotations" / "torn.xml", annotation("torn", ("person",))[:150])
    write(voc / "Annotations" / "other.xml", annotation("other", ("person", "emu")))
    write(voc / "Annotations" / "nameless.xml", "<annotation><object/></annotation>")
    return {
        "gone": r"The line 'gone' of .*train\.txt has no photograph in JPEGImages\.",
        "none": r"'none' has no annotation .*none\.xml; expected one, or --tags cls_labels\.npy",
        "torn": r"torn\.xml cannot be read \(",
        "other": r"other\.xml has an object 'emu', which is no class; .*--classes",
        "nameless": r"nameless\.xml has an object without a name",
    }


def test_what_does_not_fit_ends_it_or_is_skipped(voc: Path, own: Path) -> None:
    sentences = broken_tree(voc)
    path = voc / "ImageSets" / "Segmentation" / "train.txt"
    for name, sentence in sentences.items():
        write(path, f"2007_000032\n{name}\n")
        with pytest.raises(InputError, match=sentence + r".*--skip-bad\.$"):
            open_data(DataOptions(voc, classes=own))
    write(path, "\n".join(["2007_000032", *sentences]))
    with pytest.raises(InputError, match="4 more cannot be used"):
        open_data(DataOptions(voc, classes=own))
    train = open_data(DataOptions(voc, classes=own, skip_bad=True)).train
    assert list(tags(train)) == ["2007_000032"]
    assert {one.id for one in train.skipped} == sentences.keys()
    assert all(np.char.endswith([one.reason for one in train.skipped], "."))
