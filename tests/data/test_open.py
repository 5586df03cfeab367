"""From folders and tables to splits with tags, and the sentence for all that does not fit."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tag2mask.data.assemble import fingerprint
from tag2mask.data.collection import Collection, Photo
from tag2mask.data.open import detect_format, open_data
from tag2mask.data.options import DataOptions
from tag2mask.errors import InputError
from tag2mask.storage import write_labels

TABLE = "id,tags\na,cat\nb,dog cat\nc,dog\nd,\n"


def photographs(folder: Path, *names: str) -> Path:
    """Files that nobody opens: opening the data decodes nothing."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def options(tmp_path: Path) -> DataOptions:
    photos = photographs(tmp_path / "photos", "a.jpg", "b.JPG", "c.png", "d.jpeg")
    (tmp_path / "tags.csv").write_text(TABLE)
    return DataOptions(photos, tmp_path / "tags.csv")


def tags(collection: Collection) -> dict[str, tuple[int, ...]]:
    return {photo.id: photo.tags for photo in collection.photos}


def test_a_folder_with_a_table(options: DataOptions) -> None:
    data = open_data(options)
    assert data.format == "csv"
    assert data.train.classes == ("cat", "dog")
    assert tags(data.train) == {"a": (1,), "b": (1, 2), "c": (2,), "d": ()}
    assert data.train.tag_matrix().tolist() == [[1, 0], [1, 1], [0, 1], [0, 0]]
    assert (data.test, data.truth, data.train.skipped) == (None, None, ())


def test_a_folder_per_class(tmp_path: Path) -> None:
    photos = photographs(tmp_path, "dog/1.jpg", "cat/1.jpg", "none/x.jpg", "cat/.hidden.jpg")
    data = open_data(DataOptions(photos))
    assert data.format == "folders"
    assert data.train.classes == ("cat", "dog")
    assert tags(data.train) == {"cat/1": (1,), "dog/1": (2,), "none/x": ()}


@pytest.mark.parametrize("written", ["sub/cat 1", "sub/cat 1.jpg", "cat 1", "photos/sub/cat 1.jpg"])
def test_the_many_ways_to_write_a_photograph(tmp_path: Path, written: str) -> None:
    photos = photographs(tmp_path / "photos", "sub/cat 1.jpg", "sub/cat.2.jpg")
    (tmp_path / "t.csv").write_text(f"id,tags\n{written},cat\ncat.2,cat\n")
    data = open_data(DataOptions(photos, tmp_path / "t.csv"))
    assert tags(data.train) == {"sub/cat 1": (1,), "sub/cat.2": (1,)}


def test_numbers_with_leading_zeros_stay_apart(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", "007.jpg", "7.jpg")
    (tmp_path / "t.csv").write_text("id,tags\n7,cat\n007,dog\n")
    data = open_data(DataOptions(photos, tmp_path / "t.csv"))
    assert tags(data.train) == {"007": (2,), "7": (1,)}


def test_a_name_composed_otherwise_is_the_same(tmp_path: Path) -> None:
    composed = "Füchsin"
    photographs(tmp_path / "photos", unicodedata.normalize("NFD", composed) + ".jpg")
    (tmp_path / "t.csv").write_text(f"id,tags\n{composed},cat\n")
    data = open_data(DataOptions(tmp_path / "photos", tmp_path / "t.csv"))
    assert tags(data.train) == {composed: (1,)}


def test_a_name_that_may_mean_two_is_refused(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", "x/a.jpg", "y/a.jpg")
    (tmp_path / "t.csv").write_text("id,tags\na,cat\n")
    with pytest.raises(InputError, match=r"'a' may mean the photographs 'x/a', 'y/a'"):
        open_data(DataOptions(photos, tmp_path / "t.csv"))


def test_a_table_in_the_folder_is_found(tmp_path: Path) -> None:
    photographs(tmp_path / "images", "a.jpg")
    photographs(tmp_path / "masks", "a.png")
    (tmp_path / "labels.csv").write_text("id,tags\na,cat\n")
    data = open_data(DataOptions(tmp_path))
    assert (data.format, tags(data.train)) == ("csv", {"a": (1,)})


def test_the_order_of_the_classes(options: DataOptions, tmp_path: Path) -> None:
    assert open_data(options).train.classes == ("cat", "dog")  # sorted
    (tmp_path / "classes.txt").write_text("background\ndog\ncat\n")
    assert open_data(options).train.classes == ("dog", "cat")  # beside the table
    table = tmp_path / "tags.csv"
    table.write_text("id,dog,cat\na,0,1\nb,1,1\nc,1,0\nd,0,0\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert open_data(options).train.classes == ("dog", "cat")  # its columns
    own = tmp_path / "own.txt"
    own.write_text("cat\ndog\n")
    data = open_data(replace(options, classes=own))
    assert data.train.classes == ("cat", "dog")
    assert tags(data.train)["c"] == (2,)


def splits(folder: Path, **lists: str) -> None:
    (folder / "splits").mkdir(exist_ok=True)
    for name, ids in lists.items():
        (folder / "splits" / f"{name}.txt").write_text("\n".join(ids.split()))


def test_splits_by_name_and_by_path(options: DataOptions, tmp_path: Path) -> None:
    splits(tmp_path, train="a b.JPG", test="c")
    (tmp_path / "tags.csv").write_text(TABLE + "unused,cat\n")
    data = open_data(replace(options, split="train", test_split="test"))
    assert data.test is not None
    assert (list(tags(data.train)), list(tags(data.test))) == (["a", "b"], ["c"])
    path = str(tmp_path / "splits" / "train.txt")
    assert tags(open_data(replace(options, split=path)).train) == tags(data.train)


def test_what_is_held_out_is_not_trained_on(options: DataOptions, tmp_path: Path) -> None:
    splits(tmp_path, test="c")
    data = open_data(replace(options, test_split="test"))
    assert list(tags(data.train)) == ["a", "b", "d"]


def test_a_photograph_in_both_splits(options: DataOptions, tmp_path: Path) -> None:
    splits(tmp_path, train="a b", test="b.JPG c")
    with pytest.raises(InputError, match="'b' are in both splits"):
        open_data(replace(options, split="train", test_split="test"))


def test_a_split_that_is_not_there_or_fits_nothing(options: DataOptions, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no split 'val'; expected .*splits/val\.txt"):
        open_data(replace(options, split="val"))
    splits(tmp_path, val="x y")
    with pytest.raises(InputError, match=r"val\.txt names no photograph"):
        open_data(replace(options, split="val"))
    splits(tmp_path, val="a b x")
    with pytest.raises(InputError, match="no photograph for 'x'"):
        open_data(replace(options, split="val"))


def test_a_tag_for_a_missing_file(options: DataOptions, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text(TABLE + "e,cat\n")
    with pytest.raises(InputError, match=r"no photograph for 'e' in .*--skip-bad"):
        open_data(options)
    skipped = open_data(replace(options, skip_bad=True)).train.skipped
    assert [(one.id, one.reason) for one in skipped] == [("e", "It has a row and no photograph.")]


def test_a_file_without_a_row(options: DataOptions) -> None:
    photographs(options.photos, "e.jpg")
    with pytest.raises(InputError, match=r"'e' have no row in .*tags\.csv"):
        open_data(options)
    data = open_data(replace(options, skip_bad=True))
    assert [one.id for one in data.train.skipped] == ["e"]
    assert "e" not in tags(data.train)


def test_one_photograph_written_in_two_ways(options: DataOptions, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text(TABLE + "a.jpg,dog\n")
    with pytest.raises(InputError, match="'a' has two rows"):
        open_data(options)


def test_two_photographs_with_one_id(options: DataOptions) -> None:
    photographs(options.photos, "a.png")
    with pytest.raises(InputError, match=r"a\.jpg and .*a\.png have the same id 'a'"):
        open_data(options)


def test_an_empty_class(options: DataOptions, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\nemu\n")
    with pytest.raises(InputError, match="class 'emu' is empty: no training photograph"):
        open_data(options)
    splits(tmp_path, train="a d", test="c")
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(InputError, match="class 'dog' is empty"):
        open_data(replace(options, split="train", test_split="test"))


def test_no_tag_at_all(options: DataOptions, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("id,tags\na,\nb,\nc,\nd,\n")
    with pytest.raises(InputError, match="No photograph has a tag"):
        open_data(options)


def test_no_folder_an_empty_folder_and_a_folder_without_tags(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone is not there"):
        open_data(DataOptions(tmp_path / "gone"))
    with pytest.raises(InputError, match="holds no photograph"):
        open_data(DataOptions(tmp_path))
    photographs(tmp_path, "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg is not a folder"):
        open_data(DataOptions(tmp_path / "a.jpg"))
    with pytest.raises(InputError, match=r"have no tags.*--tags"):
        open_data(DataOptions(tmp_path))


def test_more_than_254_classes(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", *(f"{n}/a.jpg" for n in range(255)))
    with pytest.raises(InputError, match="255 classes; at most 254"):
        open_data(DataOptions(photos))
    (photos / "0" / "a.jpg").unlink()
    assert len(open_data(DataOptions(photos)).train.classes) == 254


def test_truth_is_for_known_photographs(options: DataOptions, tmp_path: Path) -> None:
    labels = torch.tensor([[0, 2]], dtype=torch.uint8)
    write_labels(tmp_path / "masks" / "z.png", labels)
    with pytest.raises(InputError, match=r"No mask .* belongs to a photograph; .*a\.png"):
        open_data(replace(options, truth=tmp_path / "masks"))
    write_labels(tmp_path / "masks" / "b.png", labels)
    truth = open_data(replace(options, truth=tmp_path / "masks")).truth
    assert truth is not None
    assert "b" in truth
    assert "a" not in truth
    assert torch.equal(truth.read("b", (1, 2)).truth, labels)


def test_formats_are_detected(tmp_path: Path) -> None:
    voc, coco = tmp_path / "voc", tmp_path / "coco"
    photographs(voc, "JPEGImages/a.jpg")
    (voc / "ImageSets").mkdir()
    photographs(coco, "train/a.jpg", "annotations/instances_train.json")
    assert detect_format(DataOptions(voc)) == "voc"
    assert detect_format(DataOptions(voc, voc / "cls_labels.npy")) == "voc"
    assert detect_format(DataOptions(voc / "JPEGImages", voc / "tags.csv")) == "csv"
    assert detect_format(DataOptions(coco)) == "coco"
    assert detect_format(DataOptions(coco / "train", coco / "x.json")) == "coco"
    assert detect_format(DataOptions(coco / "train", coco / "x.csv")) == "csv"


def test_the_fingerprint_changes_with_what_it_covers(tmp_path: Path) -> None:
    photographs(tmp_path, "a.jpg", "b.jpg")
    a, b = (Photo(name, tmp_path / f"{name}.jpg", (1,)) for name in "ab")
    one = Collection(("x", "y"), (a, b))
    seen = {
        fingerprint([one, None]),
        fingerprint([one, None], Path("masks")),
        fingerprint([Collection(("y", "x"), (a, b)), None]),
        fingerprint([Collection(("x", "y"), (a,)), None]),
        fingerprint([Collection(("x", "y"), (a,)), Collection(("x", "y"), (b,))]),
        fingerprint([Collection(("x", "y"), (a, replace(b, tags=(1, 2)))), None]),
        fingerprint([Collection(("x", "y"), (a, replace(b, id="c"))), None]),
    }
    assert len(seen) == 7
    assert fingerprint([Collection(("x", "y"), (b, a)), None]) == fingerprint([one, None])
    (tmp_path / "b.jpg").write_bytes(b"longer than before")
    assert fingerprint([one, None]) not in seen


def test_links_are_followed_once(tmp_path: Path) -> None:
    elsewhere = photographs(tmp_path / "elsewhere", "1.jpg")
    photos = photographs(tmp_path / "photos", "dog/1.jpg")
    (photos / "cat").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "up").symlink_to(photos, target_is_directory=True)
    assert tags(open_data(DataOptions(photos)).train) == {"cat/1": (1,), "dog/1": (2,)}


def test_a_file_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    try:
        Path(bad).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(InputError, match=r"caf.*is not UTF-8. Rename the file"):
        open_data(DataOptions(tmp_path))
