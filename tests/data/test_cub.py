"""CUB-200-2011 as it is unpacked, in a few lines of each list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tag2mask.data.collection import Collection
from tag2mask.data.open import detect_format, open_data
from tag2mask.data.options import DataOptions
from tag2mask.errors import InputError

ALBATROSS, AUKLET = "001.Black_footed_Albatross", "005.Crested_Auklet"
BIRDS = {  # number: file, class, training, box
    1: (f"{ALBATROSS}/Black_Footed_Albatross_0046_18.jpg", 1, 1, "60.0 27.0 325.0 304.0"),
    2: (f"{ALBATROSS}/Black_Footed_Albatross_0009_34.jpg", 1, 0, "139.0 30.0 153.0 264.0"),
    3: (f"{AUKLET}/Crested_Auklet_0001_794941.jpg", 2, 1, "14.0 112.0 388.0 186.0"),
    4: (f"{AUKLET}/Crested_Auklet_0002_1.jpg", 2, 1, "112.5 90.25 255.0 242.0"),
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    folder = tmp_path / "CUB_200_2011"
    for file, *_ in BIRDS.values():
        write(folder / "images" / file, "not decoded")
    lines = {
        "images.txt": [f"{n} {bird[0]}" for n, bird in BIRDS.items()],
        "image_class_labels.txt": [f"{n} {bird[1]}" for n, bird in BIRDS.items()],
        "train_test_split.txt": [f"{n} {bird[2]}" for n, bird in BIRDS.items()],
        "bounding_boxes.txt": [f"{n} {bird[3]}" for n, bird in BIRDS.items()],
        "classes.txt": [f"1 {ALBATROSS}", f"2 {AUKLET}"],
    }
    for name, rows in lines.items():
        write(folder / name, "\n".join(rows) + "\n")
    write(folder / "README", "Caltech-UCSD Birds-200-2011")
    return folder


def tags(collection: Collection | None) -> dict[str, tuple[int, ...]]:
    return (
        {photo.id.partition("/")[2]: photo.tags for photo in collection.photos}
        if collection
        else {}
    )


def test_classes_are_tags_and_the_split_is_theirs(cub: Path) -> None:
    assert detect_format(DataOptions(cub)) == "cub"
    data = open_data(DataOptions(cub, test_split="test"))
    assert (data.format, data.train.classes, data.truth) == ("cub", (ALBATROSS, AUKLET), None)
    assert tags(data.train) == {
        "Black_Footed_Albatross_0046_18": (1,),
        "Crested_Auklet_0001_794941": (2,),
        "Crested_Auklet_0002_1": (2,),
    }
    assert tags(data.test) == {"Black_Footed_Albatross_0009_34": (1,)}
    assert all(photo.path.is_file() for photo in data.train.photos)
    assert open_data(DataOptions(cub)).test is None


def test_boxes_are_edges(cub: Path) -> None:
    boxes = open_data(DataOptions(cub)).boxes
    assert boxes is not None
    photo = f"{AUKLET}/Crested_Auklet_0002_1"
    assert photo in boxes
    found = boxes.read(photo, (400, 500))
    assert (found.classes.tolist(), found.scores.tolist()) == ([2], [1.0])
    assert found.edges.tolist() == [[112.5, 90.25, 367.5, 332.25]]
    cut = boxes.read(photo, (300, 350))
    assert cut.edges.tolist() == [[112.5, 90.25, 350.0, 300.0]]
    with pytest.raises(InputError, match=r"bounding_boxes.*expected a box inside"):
        boxes.read(photo, (50, 60))
    with pytest.raises(InputError, match="'nobody' has no box"):
        boxes.read("nobody", (4, 4))


def test_changed_boxes_change_their_fingerprint_alone(cub: Path) -> None:
    before, path = open_data(DataOptions(cub)), cub / "bounding_boxes.txt"
    assert before.boxes is not None
    hashed = before.boxes.fingerprint()
    assert before.boxes.fingerprint() == hashed
    write(path, path.read_text().replace("60.0 27.0", "6.0 27.0"))
    after = open_data(DataOptions(cub))
    assert after.boxes is not None
    assert (after.fingerprint, after.boxes.fingerprint() != hashed) == (before.fingerprint, True)
    path.unlink()
    without = open_data(DataOptions(cub)).boxes
    assert without is not None
    assert f"{AUKLET}/Crested_Auklet_0002_1" not in without


def test_some_classes_and_lists_of_one_s_own(cub: Path, tmp_path: Path) -> None:
    own = write(tmp_path / "own.txt", f"{AUKLET}\n")
    data = open_data(DataOptions(cub, classes=own))
    assert tags(data.train) == {"Crested_Auklet_0001_794941": (1,), "Crested_Auklet_0002_1": (1,)}
    assert data.boxes is not None
    assert f"{ALBATROSS}/Black_Footed_Albatross_0046_18" not in data.boxes
    assert data.boxes.read(data.train.photos[0].id, (400, 500)).classes.tolist() == [1]
    listed = write(
        tmp_path / "list.txt",
        f"Crested_Auklet_0002_1\n{ALBATROSS}/Black_Footed_Albatross_0046_18.jpg\n",
    )
    few = open_data(DataOptions(cub, split=str(listed)))
    assert tags(few.train) == {
        "Crested_Auklet_0002_1": (2,),
        "Black_Footed_Albatross_0046_18": (1,),
    }


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("images.txt", "1 001.", "one 001.", r"Line 1 of .*images.txt"),
        ("images.txt", "2 001.", "1 001.", r"Line 2 of .*images.txt"),
        ("images.txt", "1 001.Black_footed", "1 ../001.Black_footed", r"Line 1 of .*images.txt"),
        ("image_class_labels.txt", "4 2", "4 3", r"image_class_labels.txt has the class 3"),
        ("image_class_labels.txt", "4 2", "5 2", r"do not list the same images.* 4"),
        ("train_test_split.txt", "2 0", "2 2", r"Line 2 of .*train_test_split.txt.*1 \(training\)"),
        ("train_test_split.txt", "2 0\n", "", r"do not list the same images"),
        ("bounding_boxes.txt", "264.0", "-264.0", r"Line 2 of .*bounding_boxes.txt.*width"),
        ("bounding_boxes.txt", "264.0", "nan", r"Line 2 of .*bounding_boxes.txt"),
        ("bounding_boxes.txt", "3 14.0 ", "3 ", r"Line 3 of .*bounding_boxes.txt"),
        ("classes.txt", "2 005", "1 005", r"Line 2 of .*classes.txt"),
    ],
)
def test_broken_lists_are_named(cub: Path, name: str, old: str, new: str, expected: str) -> None:
    text = (cub / name).read_text()
    assert old in text
    write(cub / name, text.replace(old, new, 1))
    with pytest.raises(InputError, match=expected):
        open_data(DataOptions(cub))


def test_what_is_missing(cub: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no split 'val' of CUB; expected train, test"):
        open_data(DataOptions(cub, test_split="val"))
    with pytest.raises(InputError, match=r"both splits"):
        open_data(DataOptions(cub, test_split="train"))
    own = write(tmp_path / "own.txt", "Albatross\n")
    with pytest.raises(InputError, match=r"own.txt names 'Albatross'"):
        open_data(DataOptions(cub, classes=own))
    (cub / "images" / BIRDS[3][0]).unlink()
    with pytest.raises(InputError, match=r"Crested_Auklet_0001_794941.jpg is not there"):
        open_data(DataOptions(cub))
    data = open_data(replace(DataOptions(cub), skip_bad=True))
    assert len(data.train.photos) == 2
    assert [one.id for one in data.train.skipped] == [f"{AUKLET}/Crested_Auklet_0001_794941"]
    (cub / "train_test_split.txt").unlink()
    with pytest.raises(InputError, match=r"train_test_split.txt is not there"):
        open_data(DataOptions(cub))
