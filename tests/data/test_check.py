"""What `data check` finds, against photographs whose contents are known."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from tag2mask.data.check import PAIRS, CheckReport, SplitReport, check, render
from tag2mask.data.options import DataOptions
from tag2mask.errors import InputError
from tag2mask.storage import write_labels

TABLE = "id,tags\na,cat\nb,cat|dog\nc,cat|dog|emu\nd,\n"
SIZES = {"a": (8, 4), "b": (3, 3), "c": (5, 7), "d": (1, 30)}  # wide, high


@pytest.fixture
def options(tmp_path: Path) -> DataOptions:
    (tmp_path / "photos").mkdir()
    for name, size in SIZES.items():
        Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "photos" / f"{name}.jpg")
    (tmp_path / "tags.csv").write_text(TABLE)
    return DataOptions(tmp_path / "photos", tmp_path / "tags.csv")


def printed(report: CheckReport, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(render(report))
    return stream.getvalue()


def masks(folder: Path, *names: str, label: int = 1) -> Path:
    for name in names:
        wide, high = SIZES[name]
        write_labels(folder / f"{name}.png", torch.full((high, wide), label, dtype=torch.uint8))
    return folder


def test_what_is_there(options: DataOptions) -> None:
    assert check(options) == CheckReport(
        format="csv",
        classes=("cat", "dog", "emu"),
        splits=(
            SplitReport(
                name="train",
                images=4,
                counts=(3, 2, 1),
                tags_per_image={0: 1, 1: 1, 2: 1, 3: 1},
                together={(1, 2): 2, (1, 3): 1, (2, 3): 1},
                sizes=((3, 3), (7, 5)),
                with_truth=0,
            ),
        ),
        problems=(),
    )


def test_splits_stay_apart(options: DataOptions, tmp_path: Path) -> None:
    (tmp_path / "held out.txt").write_text("a\nb\n")
    report = check(replace(options, test_split=str(tmp_path / "held out.txt")))
    train, test = report.splits
    assert (train.name, train.images, train.counts) == ("train", 2, (1, 1, 1))
    assert (test.name, test.images, test.counts) == ("test", 2, (2, 1, 0))
    assert (test.together, test.sizes) == ({(1, 2): 1}, ((3, 3), (4, 8)))


def test_every_problem_is_listed(options: DataOptions, tmp_path: Path) -> None:
    photos = options.photos
    whole = (photos / "a.jpg").read_bytes()
    (photos / "a.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "e.jpg").write_bytes(b"")
    (photos / "no row.jpg").write_bytes(whole)
    (tmp_path / "tags.csv").write_text(TABLE + "e,cat\nrow,dog\n")
    write_labels(masks(tmp_path / "masks", "b") / "c.png", torch.zeros(2, 2, dtype=torch.uint8))
    masks(tmp_path / "masks", "d", label=9)
    report = check(replace(options, truth=tmp_path / "masks"))
    expected = [
        "row: It has a row",
        "no row: It is",
        "a.jpg",
        "e.jpg",
        "c.png is 2 pixels",
        "label 9",
    ]
    assert len(report.problems) == len(expected)
    for part in expected:
        assert sum(part in problem for problem in report.problems) == 1
    assert (report.splits[0].images, report.splits[0].with_truth) == (3, 1)
    text = printed(report, 400)
    assert "6 problems" in text
    assert all(problem in text for problem in report.problems)


def test_true_masks_are_counted(options: DataOptions, tmp_path: Path) -> None:
    report = check(replace(options, truth=masks(tmp_path / "masks", "b", "c")))
    assert (report.splits[0].with_truth, report.problems) == (2, ())


def test_what_cannot_be_opened_is_one_sentence(options: DataOptions, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\nemu\nfox\n")
    with pytest.raises(InputError, match="class 'fox' is empty"):
        check(options)


def test_the_table_says_it_all(options: DataOptions) -> None:
    text = printed(check(options))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "csv with 3 classes",
        "photographs 4",
        "tags per photograph 1 on 1, 2 on 1, 3 on 1",
        "without a tag 1",
        "smallest and largest 3 × 3 and 5 × 7 pixels",
        "with a true mask 0 of 4",
        "1 cat 3",
        "3 emu 1",
        "photographs of train with both tags",
        "1 cat – 2 1",
        "2 dog 2 – 1",
        "3 emu 1 1 –",
        "Every file can be used.",
    ):
        assert line in lines


def test_one_tag_per_photograph(options: DataOptions, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("id,tags\na,cat\nb,dog\nc,dog\nd,cat\n")
    assert "No two tags come together in train." in printed(check(options))


def test_many_classes_show_the_strongest_pairs() -> None:
    classes = tuple(f"class [{n}]" for n in range(30))  # not rich's markup
    pairs = list(itertools.islice(itertools.combinations(range(1, 31), 2), PAIRS + 3))
    together = {pair: number for number, pair in enumerate(pairs, 1)}
    split = SplitReport("train", 99, (9,) * 30, {2: 99}, together, ((1, 1), (2, 2)), 0)
    text = printed(CheckReport("csv", classes, (split,), ()))
    shown = [line.strip() for line in text.splitlines() if " and class" in line]
    first, second = pairs[-1]
    assert shown[0].split() == f"{classes[first - 1]} and {classes[second - 1]} 18".split()
    assert [int(line.split()[-1]) for line in shown] == list(range(18, 3, -1))
    assert "and 3 more pairs" in text


def test_coco_is_checked_too(options: DataOptions) -> None:
    names = {"a": 1, "b": 2}
    content = {
        "images": [
            {"id": n, "file_name": f"{name}.jpg", "width": SIZES[name][0], "height": 3}
            for name, n in names.items()
        ],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 7, "segmentation": [[0, 0, 2, 0, 2, 2]]}
            for n in names.values()
        ],
        "categories": [{"id": 7, "name": "cat"}],
    }
    path = options.photos / "instances.json"
    path.write_text(json.dumps(content))
    report = check(DataOptions(options.photos, path))
    assert (report.format, report.splits[0].counts, report.splits[0].with_truth) == (
        "coco",
        (2,),
        1,
    )
    assert len(report.problems) == 1  # a is 4 pixels high
    assert "'a' is 8 pixels wide and 4 high" in report.problems[0]
