"""COCO's JSON: tags, outlines painted, and what is wrong with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tag2mask.data.coco_truth import CocoTruth, Drawn, Instance, covers, paint
from tag2mask.data.collection import Collection
from tag2mask.data.open import open_data
from tag2mask.data.options import DataOptions
from tag2mask.errors import InputError
from tag2mask.nn.runs import unpack
from tag2mask.storage import write_labels

SIZE = (4, 6)
CATEGORIES = [  # not in the order of their ids, and with gaps, as in COCO
    {"supercategory": "kitchen", "id": 90, "name": "toothbrush"},
    {"supercategory": "person", "id": 1, "name": "person"},
    {"supercategory": "food", "id": 13, "name": "hot dog"},
]


def box(x: int, y: int, wide: int, high: int) -> list[list[float]]:
    """A polygon around whole pixels."""
    return [[x, y, x + wide, y, x + wide, y + high, x, y + high]]


def annotation(image: int, category: int, segmentation: Any, crowd: int = 0) -> dict[str, Any]:
    return {
        "segmentation": segmentation,
        "area": 1.0,
        "iscrowd": crowd,
        "image_id": image,
        "bbox": [0, 0, 1, 1],
        "category_id": category,
        "id": 100 + image,
    }


def write_json(path: Path, names: list[str], annotations: list[dict[str, Any]]) -> Path:
    images = [
        {"license": 4, "file_name": name, "height": SIZE[0], "width": SIZE[1], "id": number}
        for number, name in enumerate(names, 1)
    ]
    content = {
        "info": {"year": 2014},
        "images": images,
        "annotations": annotations,
        "categories": CATEGORIES,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode())


TRAIN = [f"COCO_train2014_00000000000{n}.jpg" for n in (9, 7, 5)]
VAL = ["COCO_val2014_000000000042.jpg"]
ANNOTATIONS = [
    annotation(1, 13, box(0, 0, 3, 4)),
    annotation(1, 1, box(1, 1, 1, 2)),
    annotation(1, 1, box(4, 0, 2, 2)),
    annotation(2, 90, {"size": [4, 6], "counts": [4, 4, 16]}, crowd=1),
]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Three photographs to train on, one without instances; one held out."""
    root = tmp_path / "coco"
    write_json(root / "annotations" / "instances_train2014.json", TRAIN, ANNOTATIONS)
    write_json(
        root / "annotations" / "instances_val2014.json", VAL, [annotation(1, 90, box(0, 0, 1, 1))]
    )
    touch(root / "train2014", *TRAIN, "not listed.jpg")
    touch(root / "val2014", *VAL)
    return root


def tags(collection: Collection | None) -> dict[str, tuple[int, ...]]:
    """Tags by the last digit of the id."""
    return {photo.id[-1]: photo.tags for photo in collection.photos} if collection else {}


def test_tags_are_the_categories_by_ascending_id(coco: Path) -> None:
    data = open_data(DataOptions(coco, test_split="val2014"))
    assert data.format == "coco"
    assert data.train.classes == ("person", "hot dog", "toothbrush")
    assert tags(data.train) == {"5": (), "7": (3,), "9": (1, 2)}
    assert tags(data.test) == {"2": (3,)}
    assert data.train.photos[0].id == TRAIN[2].removesuffix(".jpg")
    assert data.train.photos[0].path == coco / "train2014" / TRAIN[2]


@pytest.mark.parametrize("photos", [".", "train2014", "images"])
def test_where_the_photographs_may_lie(coco: Path, photos: str) -> None:
    file = coco / "annotations" / "instances_train2014.json"
    whole = open_data(DataOptions(coco, test_split="val2014"))
    if photos == "images":
        (coco / "images").mkdir()
        for split in ("train2014", "val2014"):
            (coco / split).rename(coco / "images" / split)
    data = open_data(DataOptions(coco / photos, file, test_split="val2014"))
    assert (tags(data.train), tags(data.test)) == (tags(whole.train), tags(whole.test))
    assert data.fingerprint == whole.fingerprint


def test_the_training_split_that_is_there(coco: Path) -> None:
    folder = coco / "annotations"
    for name in ("train2017", "mine"):
        (folder / "instances_train2014.json").rename(folder / f"instances_{name}.json")
        (folder / "instances_train2014.json").symlink_to(folder / f"instances_{name}.json")
        (folder / "instances_train2014.json").unlink()
        if name == "mine":
            with pytest.raises(InputError, match=r"no training split .*'mine', 'val2014'\)"):
                open_data(DataOptions(coco))
            (folder / "instances_val2014.json").unlink()
        (coco / "train2014").rename(coco / name)
        assert tags(open_data(DataOptions(coco)).train)["9"] == (1, 2)
        (coco / name).rename(coco / "train2014")
        (folder / f"instances_{name}.json").rename(folder / "instances_train2014.json")


def test_a_split_that_is_not_there(coco: Path) -> None:
    with pytest.raises(InputError, match=r"no split 'test'; expected .*instances_test\.json"):
        open_data(DataOptions(coco, test_split="test"))
    file = coco / "annotations" / "instances_train2014.json"
    with pytest.raises(InputError, match="are not those of the split 'val2014'"):
        open_data(DataOptions(coco, file, split="val2014"))


def test_lists_of_ids(coco: Path, tmp_path: Path) -> None:
    listed, rest = tmp_path / "list.txt", tmp_path / "rest.txt"
    listed.write_text(f"{TRAIN[0]}\n{TRAIN[1].removesuffix('.jpg')}\n")
    rest.write_text(f"{TRAIN[2]}\n")
    (coco / "train2014" / TRAIN[2]).unlink()  # nobody asks for it
    assert list(tags(open_data(DataOptions(coco, split=str(listed))).train)) == ["7", "9"]
    touch(coco / "train2014", TRAIN[2])
    data = open_data(DataOptions(coco, test_split=str(rest)))
    assert (list(tags(data.train)), list(tags(data.test))) == (["7", "9"], ["5"])
    listed.write_text(f"{TRAIN[0]}\n{TRAIN[1]}\nx\n")
    with pytest.raises(InputError, match=r"line 'x' of .*list\.txt has no photograph in .*json"):
        open_data(DataOptions(coco, split=str(listed)))
    listed.write_text("\n".join(TRAIN))
    with pytest.raises(InputError, match="are in both splits"):
        open_data(DataOptions(coco, split=str(listed), test_split=str(rest)))


def test_a_class_that_no_training_photograph_has(coco: Path, tmp_path: Path) -> None:
    write_json(coco / "annotations" / "instances_train2014.json", TRAIN, ANNOTATIONS[:3])
    with pytest.raises(InputError, match="class 'toothbrush' is empty"):
        open_data(DataOptions(coco))
    classes = tmp_path / "classes.txt"
    classes.write_text("hot dog\nperson\n")
    data = open_data(DataOptions(coco, classes=classes, test_split="val2014"))
    assert data.train.classes == ("hot dog", "person")
    assert tags(data.train) == {"5": (), "7": (), "9": (1, 2)}
    assert tags(data.test) == {"2": ()}  # of another class: background
    classes.write_text("hot dog\nemu\n")
    with pytest.raises(InputError, match=r"categories of .*differ: 'emu'"):
        open_data(DataOptions(coco, classes=classes))


def test_the_truth_is_painted_without_any_file(coco: Path) -> None:
    data = open_data(DataOptions(coco, test_split="val2014"))
    assert isinstance(data.truth, CocoTruth)
    by_digit = {p.id[-1]: p.id for p in (*data.train.photos, *(data.test or data.train).photos)}
    expected = {
        "9": [[2, 2, 2, 0, 1, 1], [2, 1, 2, 0, 1, 1], [2, 1, 2, 0, 0, 0], [2, 2, 2, 0, 0, 0]],
        "7": [[0, 3, 0, 0, 0, 0]] * 4,  # run lengths go down the columns
        "5": [[0] * 6] * 4,
        "2": [[3, 0, 0, 0, 0, 0]] + [[0] * 6] * 3,
    }
    for digit, labels in expected.items():
        assert data.truth.read(by_digit[digit], SIZE).truth.tolist() == labels
    with pytest.raises(InputError, match=r"6 pixels wide and 5 high, in .* 6 and 4; expected"):
        data.truth.read(by_digit["9"], (5, 6))
    with pytest.raises(InputError, match="'other' has no segmentation"):
        data.truth.read("other", SIZE)


def test_its_instances_are_the_true_objects(coco: Path) -> None:
    objects = open_data(DataOptions(coco, test_split="val2014")).instances
    assert objects is not None
    assert objects.source == "COCO's instances"
    found = objects.read(TRAIN[0].removesuffix(".jpg"), SIZE)
    assert found.classes.tolist() == [2, 1, 1]
    assert [int(unpack(runs, SIZE).sum()) for runs in found.runs] == [12, 2, 4]
    assert objects.read(TRAIN[1].removesuffix(".jpg"), SIZE).crowds == (True,)
    assert VAL[0].removesuffix(".jpg") in objects


def test_the_truth_s_fingerprint_follows_the_json(coco: Path) -> None:
    seen = []
    for listed in (ANNOTATIONS, ANNOTATIONS, ANNOTATIONS * 2):
        if seen[1:]:
            write_json(coco / "annotations" / "instances_train2014.json", TRAIN, listed)
        truth = open_data(DataOptions(coco)).truth
        seen.append(truth.fingerprint() if truth else "")
    assert seen[0] == seen[1] != seen[2]


def test_masks_that_are_given_go_first(coco: Path, tmp_path: Path) -> None:
    labels = torch.full(SIZE, 2, dtype=torch.uint8)
    write_labels(tmp_path / "masks" / f"{Path(TRAIN[0]).stem}.png", labels)
    truth = open_data(DataOptions(coco, truth=tmp_path / "masks")).truth
    assert truth is not None
    assert torch.equal(truth.read(Path(TRAIN[0]).stem, SIZE).truth, labels)


def test_boxes_alone_are_no_truth(coco: Path) -> None:
    boxes = [{k: v for k, v in one.items() if k != "segmentation"} for one in ANNOTATIONS]
    path = coco / "annotations" / "instances_train2014.json"
    write_json(path, TRAIN, boxes)
    data = open_data(DataOptions(coco))
    assert (data.truth, tags(data.train)) == (None, {"5": (), "7": (3,), "9": (1, 2)})
    write_json(path, TRAIN, [*ANNOTATIONS[:3], boxes[3]])
    truth = open_data(DataOptions(coco)).truth
    assert truth is not None
    assert [Path(name).stem in truth for name in TRAIN] == [True, False, True]


def test_small_over_large_over_crowd() -> None:
    drawn = Drawn(
        SIZE,
        (
            Instance(1, False, box(0, 0, 2, 2)),  # the smallest, first in the file
            Instance(2, False, box(0, 0, 3, 3)),
            Instance(3, True, {"size": [4, 6], "counts": [0, 1, 23]}),  # smaller still, a crowd
            Instance(4, True, {"size": [4, 6], "counts": [0, 24]}),
        ),
    )
    expected = np.full(SIZE, 4)
    expected[0, 0] = 3
    expected[:3, :3] = 2
    expected[:2, :2] = 1
    assert np.array_equal(paint(drawn), expected)
    backwards = Drawn(SIZE, drawn.instances[::-1])
    assert np.array_equal(paint(backwards), expected)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    size = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.floats(0, 1))
    return np.random.default_rng(seed).random(size) < share


@given(masks())
def test_run_lengths_are_those_of_pycocotools(mask: np.ndarray) -> None:
    size = (mask.shape[0], mask.shape[1])
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    compressed = {"size": list(size), "counts": encoded["counts"].decode()}
    assert np.array_equal(covers(compressed, size), mask)
    flat = mask.flatten(order="F")
    turns = np.flatnonzero(np.diff(np.concatenate([[False], flat]))).tolist()
    counts = np.diff([0, *turns, flat.size]).tolist()
    assert np.array_equal(covers({"size": list(size), "counts": counts}, size), mask)


def test_long_runs_take_several_characters() -> None:
    mask = np.zeros((700, 900), dtype=np.uint8)
    mask[3:600, 5:7] = mask[10, 20] = mask[:, 800:] = 1
    encoded = coco_mask.encode(np.asfortranarray(mask))
    text = {"size": [700, 900], "counts": encoded["counts"].decode()}
    assert np.array_equal(covers(text, (700, 900)), mask.astype(bool))


def test_several_polygons_are_one_instance() -> None:
    both = covers([*box(0, 0, 1, 1), *box(2, 2, 3, 1), [0.0, 0.0, 5.0, 0.0]], SIZE)
    assert np.argwhere(both).tolist() == [[0, 0], [2, 2], [2, 3], [2, 4]]
    assert not covers([], SIZE).any()
    assert not covers([[0, 0, 4, 0]], SIZE).any()


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        ({"size": [4, 6], "counts": [3, 2]}, "run lengths are of another size"),
        ({"size": [6, 4], "counts": [20, 4]}, "run lengths are of another size"),
        ({"size": [4, 6], "counts": [3, -2, 23]}, "run lengths are no list of counts"),
        ({"size": [4, 6], "counts": "3"}, "run lengths are of another size"),
        ({"size": [4, 6], "counts": "zzzz"}, "have the character 'z'"),
        ({"size": [4, 6], "counts": "P"}, "break off"),
        ({"size": [4, 6]}, "run lengths are no list of counts"),
        ([[0, 0, 1, 1, 2, 2, 3]], "no list of pairs"),
        ([[0, 0, 1, 1, 2, "x"]], "could not convert"),
        ([[0, 0, 1, 1, 2, 1e9]], "corner far outside"),
        ([[0, 0, 1, 1, 2, float("nan")]], "corner far outside"),
        ("0032", "it is str"),
    ],
)
def test_broken_segmentations_are_named(segmentation: Any, sentence: str) -> None:
    drawn = {"a": Drawn(SIZE, (Instance(1, False, segmentation),))}
    truth = CocoTruth(drawn, [Path("x.json")])
    with pytest.raises(InputError, match=rf"photograph 'a' in x\.json cannot be .*{sentence}"):
        truth.read("a", SIZE)


def test_what_does_not_fit_ends_it_or_is_skipped(coco: Path) -> None:
    (coco / "train2014" / TRAIN[2]).unlink()
    options = DataOptions(coco)
    with pytest.raises(InputError, match=rf"{TRAIN[2]} is not there\. .*--skip-bad"):
        open_data(options)
    train = open_data(replace(options, skip_bad=True)).train
    assert list(tags(train)) == ["7", "9"]
    assert [one.id for one in train.skipped] == [Path(TRAIN[2]).stem]
    path = coco / "annotations" / "instances_train2014.json"
    strange = [*ANNOTATIONS, annotation(77, 1, []), annotation(1, 2, [])]
    write_json(path, TRAIN[:2], strange)
    with pytest.raises(InputError, match=r"annotation 177 of .* is of the image 77, not listed"):
        open_data(options)
    skipped = open_data(replace(options, skip_bad=True)).train.skipped
    assert [one.id for one in skipped] == ["annotation 177", "annotation 101"]


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "a\\b.jpg", "a", "x/../../a.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(coco: Path, name: str) -> None:
    write_json(coco / "annotations" / "instances_train2014.json", [*TRAIN, name], ANNOTATIONS)
    with pytest.raises(InputError, match="is no file below the folder of photographs"):
        open_data(DataOptions(coco))


def test_two_images_of_one_name(coco: Path) -> None:
    names = [*TRAIN, TRAIN[0].replace("jpg", "png")]
    write_json(coco / "annotations" / "instances_train2014.json", names, ANNOTATIONS)
    with pytest.raises(InputError, match=r"png' of .* has the id or the name of another \('COCO"):
        open_data(DataOptions(coco))


def test_files_that_are_no_instances(coco: Path) -> None:
    path = coco / "annotations" / "instances_train2014.json"
    for text, sentence in {
        "[1, 2]": "has no list 'categories'",
        '{"categories": [{"id": "1", "name": "x"}]}': "Entry 0 of 'categories' .* no 'id' .* int",
        '{"categories": [], "images": [{"id": 1}]}': "Entry 0 of 'images' .* no 'file_name'",
        '{"categories": []': "is not JSON",
    }.items():
        path.write_text(text)
        with pytest.raises(InputError, match=sentence):
            open_data(DataOptions(coco))


def test_no_photograph_is_there(coco: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    file = coco / "annotations" / "instances_train2014.json"
    with pytest.raises(
        InputError, match=r"None of the 3 photographs of .* is there; expected such"
    ):
        open_data(DataOptions(tmp_path / "empty", file))


def test_other_categories_in_the_test_split(coco: Path) -> None:
    path = coco / "annotations" / "instances_val2014.json"
    path.write_text(path.read_text().replace("hot dog", "emu"))
    with pytest.raises(InputError, match=r"categories of .*val2014\.json differ: 'emu'"):
        open_data(DataOptions(coco, test_split="val2014"))
