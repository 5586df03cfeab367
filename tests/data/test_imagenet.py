"""ImageNet as it is distributed: folders of synsets, annotations, a list of synsets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tag2mask.data.collection import Collection
from tag2mask.data.open import detect_format, open_data
from tag2mask.data.options import DataOptions
from tag2mask.errors import InputError

TENCH, SHARK, CRANE = "n01440764", "n01484850", "n02012849"
MAPPING = f"{TENCH} tench, Tinca tinca\n{SHARK} great white shark, white shark\n{CRANE} crane\n"
OBJECT = """\t<object>
\t\t<name>{}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>{}</xmin>
\t\t\t<ymin>{}</ymin>
\t\t\t<xmax>{}</xmax>
\t\t\t<ymax>{}</ymax>
\t\t</bndbox>
\t</object>
"""
VAL = {
    "ILSVRC2012_val_00000001": ((SHARK, 10, 20, 110, 95), (SHARK, 0, 0, 50, 40)),
    "ILSVRC2012_val_00000002": ((TENCH, 5, 6, 400, 300), (CRANE, 1, 1, 9, 9)),
    "ILSVRC2012_val_00000003": ((CRANE, 1, 1, 9, 9),),
}
TRAIN = (f"{TENCH}_10026", f"{TENCH}_2", f"{SHARK}_7", f"{CRANE}_1")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def annotation(*objects: tuple[str, int, int, int, int]) -> str:
    size = "\t<size>\n\t\t<width>500</width>\n\t\t<height>375</height>\n\t</size>\n"
    return f"<annotation>\n{size}{''.join(OBJECT.format(*one) for one in objects)}</annotation>\n"


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """As Kaggle's archive unpacks; nobody decodes the photographs."""
    folder = tmp_path / "imagenet"
    write(folder / "LOC_synset_mapping.txt", MAPPING)
    data, notes = folder / "ILSVRC" / "Data" / "CLS-LOC", folder / "ILSVRC/Annotations/CLS-LOC"
    for name in TRAIN:
        synset = name.partition("_")[0]
        write(data / "train" / synset / f"{name}.JPEG", name)
    write(notes / "train" / TENCH / f"{TENCH}_2.xml", annotation((TENCH, 3, 4, 33, 44)))
    for name, objects in VAL.items():
        write(data / "val" / f"{name}.JPEG", name)
        write(notes / "val" / f"{name}.xml", annotation(*objects))
    return folder


@pytest.fixture
def chosen(tmp_path: Path) -> Path:
    return write(tmp_path / "chosen.txt", f"{SHARK}\n{TENCH} tench\n")


def tags(collection: Collection | None) -> dict[str, tuple[int, ...]]:
    return {photo.id: photo.tags for photo in collection.photos} if collection else {}


def test_folders_and_annotations_are_tags(imagenet: Path) -> None:
    assert detect_format(DataOptions(imagenet)) == "imagenet"
    data = open_data(DataOptions(imagenet, test_split="val"))
    assert (data.format, data.truth) == ("imagenet", None)
    assert data.train.classes == (
        f"{TENCH} tench",
        f"{SHARK} great white shark",
        f"{CRANE} crane",
    )
    assert tags(data.train) == {
        f"train/{TENCH}/{TENCH}_10026": (1,),
        f"train/{TENCH}/{TENCH}_2": (1,),
        f"train/{SHARK}/{SHARK}_7": (2,),
        f"train/{CRANE}/{CRANE}_1": (3,),
    }
    assert tags(data.test) == {
        "val/ILSVRC2012_val_00000001": (2,),
        "val/ILSVRC2012_val_00000002": (1, 3),
        "val/ILSVRC2012_val_00000003": (3,),
    }
    assert tags(open_data(DataOptions(imagenet / "ILSVRC")).train) == tags(data.train)


def test_boxes_of_annotations(imagenet: Path) -> None:
    boxes = open_data(DataOptions(imagenet, test_split="val")).boxes
    assert boxes is not None
    found = boxes.read("val/ILSVRC2012_val_00000001", (375, 500))
    assert found.classes.tolist() == [2, 2]
    assert found.edges.tolist() == [[10, 20, 110, 95], [0, 0, 50, 40]]
    assert f"train/{TENCH}/{TENCH}_2" in boxes
    assert f"train/{TENCH}/{TENCH}_10026" not in boxes
    assert boxes.read(f"train/{TENCH}/{TENCH}_2", (375, 500)).edges.tolist() == [[3, 4, 33, 44]]
    with pytest.raises(InputError, match=r"00000002.xml has .* expected a box inside"):
        boxes.read("val/ILSVRC2012_val_00000002", (3, 3))


def test_chosen_classes_leave_the_other_photographs_out(imagenet: Path, chosen: Path) -> None:
    data = open_data(DataOptions(imagenet, classes=chosen, test_split="val"))
    assert data.train.classes == (f"{SHARK} great white shark", f"{TENCH} tench")
    assert set(tags(data.train).values()) == {(1,), (2,)}
    assert tags(data.test) == {
        "val/ILSVRC2012_val_00000001": (1,),
        "val/ILSVRC2012_val_00000002": (2,),
    }
    assert data.boxes is not None
    assert data.boxes.read("val/ILSVRC2012_val_00000002", (375, 500)).classes.tolist() == [2]


def test_validation_photographs_that_somebody_sorted(imagenet: Path) -> None:
    data = imagenet / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    for name, objects in VAL.items():
        (data / objects[0][0]).mkdir(exist_ok=True)
        (data / f"{name}.JPEG").rename(data / objects[0][0] / f"{name}.JPEG")
    opened = open_data(DataOptions(imagenet, test_split="val"))
    assert tags(opened.test) == {
        f"val/{SHARK}/ILSVRC2012_val_00000001": (2,),
        f"val/{TENCH}/ILSVRC2012_val_00000002": (1,),
        f"val/{CRANE}/ILSVRC2012_val_00000003": (3,),
    }
    assert opened.boxes is not None
    found = opened.boxes.read(f"val/{SHARK}/ILSVRC2012_val_00000001", (375, 500))
    assert found.edges.tolist() == [[10, 20, 110, 95], [0, 0, 50, 40]]


def test_lists_and_folders_without_a_mapping(imagenet: Path, tmp_path: Path) -> None:
    listed = write(
        tmp_path / "train_cls.txt",
        f"{TENCH}/{TENCH}_2 2\n{SHARK}/{SHARK}_7 3\n{CRANE}/{CRANE}_1 4\n",
    )
    data = open_data(DataOptions(imagenet, split=str(listed)))
    assert len(data.train.photos) == 3
    write(listed, f"{TENCH}/{TENCH}_2 1\n{TENCH}/{TENCH}_99 2\n")
    with pytest.raises(InputError, match=rf"'{TENCH}/{TENCH}_99' of .* has no photograph"):
        open_data(DataOptions(imagenet, split=str(listed)))
    (imagenet / "LOC_synset_mapping.txt").unlink()
    assert open_data(DataOptions(imagenet)).train.classes == (TENCH, SHARK, CRANE)


def test_more_classes_than_a_byte_holds(imagenet: Path) -> None:
    write(imagenet / "LOC_synset_mapping.txt", "".join(f"n{n:08} thing {n}\n" for n in range(1000)))
    with pytest.raises(InputError, match=r"1000 classes; at most 254 .*--classes FILE"):
        open_data(DataOptions(imagenet))


def test_changed_boxes_change_their_fingerprint_alone(imagenet: Path) -> None:
    before = open_data(DataOptions(imagenet, test_split="val"))
    assert before.boxes is not None
    hashed = before.boxes.fingerprint()
    notes = imagenet / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
    write(notes / "ILSVRC2012_val_00000003.xml", annotation((CRANE, 1, 1, 90, 90)))
    after = open_data(DataOptions(imagenet, test_split="val"))
    assert after.boxes is not None
    assert (after.fingerprint, after.boxes.fingerprint() != hashed) == (before.fingerprint, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<annotation>", r"00000001.xml cannot be read"),
        ("<annotation><object/></annotation>", r"00000001.xml has an object without a name"),
        (annotation((SHARK, 1, 2, 3, 4)).replace("<xmax>3", "<xmax>three"), r"00000001.xml has an"),
        (None, r"00000001.xml is not there"),
    ],
)
def test_broken_annotations_are_named(imagenet: Path, text: str | None, expected: str) -> None:
    path = imagenet / "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml"
    path.unlink() if text is None else write(path, text)
    with pytest.raises(InputError, match=expected):
        open_data(DataOptions(imagenet, test_split="val"))
    data = open_data(DataOptions(imagenet, test_split="val", skip_bad=True))
    assert data.test is not None
    assert [one.id for one in data.test.skipped] == ["val/ILSVRC2012_val_00000001"]


def test_what_is_missing(imagenet: Path, chosen: Path) -> None:
    with pytest.raises(InputError, match=r"no split 'test' of ImageNet; expected train, val"):
        open_data(DataOptions(imagenet, test_split="test"))
    write(chosen, "n99999999\n")
    with pytest.raises(InputError, match=r"chosen.txt names 'n99999999'; expected synsets of"):
        open_data(DataOptions(imagenet, classes=chosen))
    write(chosen, "tench\n")
    with pytest.raises(InputError, match=r"Line 1 of .*chosen.txt is 'tench'"):
        open_data(DataOptions(imagenet, classes=chosen))
    write(chosen, f"{TENCH}\n{TENCH}\n")
    with pytest.raises(InputError, match=r"Line 2 of .*chosen.txt"):
        open_data(DataOptions(imagenet, classes=chosen))
    folder = imagenet / "ILSVRC/Data/CLS-LOC/val"
    folder.rename(folder.with_name("away"))
    with pytest.raises(InputError, match=r"val is not there"):
        open_data(DataOptions(imagenet, test_split="val"))
