from __future__ import annotations

import base64

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from tag2mask.nn.runs import pack
from tag2mask.report import object_colours
from tag2mask.report.gallery import MAPS, GalleryItem, examples, gallery_data, runs, shrink_map
from tag2mask.types import Instances


def unrun(packed: bytes) -> list[int]:
    """The runs written out, from the format's description."""
    values, place = [], 0
    while place < len(packed):
        label, count, shift = packed[place], 0, 0
        place += 1
        while True:
            count |= (packed[place] & 127) << shift
            shift += 7
            place += 1
            if packed[place - 1] < 128:
                break
        values += [label] * count
    return values


@given(
    some.lists(
        some.tuples(some.integers(0, 255), some.sampled_from((1, 127, 128, 300, 16_400))),
        max_size=3,
    )
)
def test_runs_hold_the_labels(pieces: list[tuple[int, int]]) -> None:
    labels = torch.tensor([v for v, n in pieces for _ in range(n)], dtype=torch.uint8)
    assert unrun(runs(labels[None])) == labels.tolist()


def test_maps_are_shrunk_to_their_means() -> None:
    evidence = torch.tensor([[0.0, 0.2, 1.0, 1.0], [0.4, 0.64, 1.0, 1.0]])
    assert shrink_map(evidence, 2).tolist() == [[79, 255]]  # 0.31 · 255 = 79.05
    assert shrink_map(evidence, 9).shape == (2, 4)


def entry(name: str, **numbers: float) -> GalleryItem:
    image = torch.zeros(3, 30, 40, dtype=torch.uint8)
    maps = tuple((label, torch.full((3, 4), label / 10)) for label in range(1, 8))
    return GalleryItem(name, "train", tuple(range(1, 8)), image, maps, numbers=numbers)


def test_the_strongest_maps_are_kept_in_the_order_of_their_labels() -> None:
    data = gallery_data([entry("one")], 1, ["x"] * 7, [], {})
    packed = data["photos"][0]["maps"]
    assert packed["classes"] == [4, 5, 6, 7]
    assert len(packed["classes"]) == MAPS
    cells = base64.b64decode(packed["values"])
    assert list(cells[::12]) == [102, 128, 153, 178]


def test_photographs_without_maps_or_decisions_have_none() -> None:
    image = torch.zeros(3, 30, 40, dtype=torch.uint8)
    data = gallery_data([GalleryItem("bare", "test", (), image)], 1, ["x"], ["network"], {"a": "A"})
    assert data["columns"] == data["numbers"] == []
    assert data["photos"][0]["maps"] is None
    assert data["photos"][0]["size"] == [30, 40]


def test_objects_keep_their_number_and_colour() -> None:
    image = torch.zeros(3, 4, 6, dtype=torch.uint8)
    masks = np.zeros((2, 4, 6), dtype=bool)
    masks[0, :2], masks[1, 1:] = True, True
    scores = torch.tensor([0.5, 0.75], dtype=torch.float64)
    found = Instances(
        "one", torch.tensor([3, 3]), tuple(pack(mask) for mask in masks), scores, (4, 6)
    )
    item = GalleryItem("one", "train", (3,), image, objects={"truth": found})
    packed = gallery_data([item], 1, ["x"] * 3, ["truth"], {})["photos"][0]["objects"]["truth"]
    assert packed["count"] == 2
    assert packed["colours"] == object_colours([3, 3]).tolist()
    assert unrun(base64.b64decode(packed["runs"])) == [2] * 6 + [1] * 18


def test_items_are_asked_for_one_by_one() -> None:
    alive: list[int] = []

    def items():
        for number in range(3):
            alive.append(number)
            yield entry(str(number))

    assert len(gallery_data(items(), 3, ["x"] * 7, [], {})["photos"]) == 3
    assert alive == [0, 1, 2]


@pytest.mark.parametrize(
    ("key", "best", "worst"),
    [
        ("score", "among the best", "among the worst"),
        ("estimate", "judged good", "judged bad"),
    ],
)
def test_examples_are_of_the_best_the_middle_and_the_worst(key: str, best: str, worst: str) -> None:
    photos = [{"numbers": {key: value / 100}} for value in range(40)]
    middle = "in the middle"
    found = [(e["photo"], e["why"]) for e in examples(photos)]
    assert found == [(37, best), (36, best), (20, middle), (19, middle), (3, worst), (2, worst)]


def test_truth_for_a_few_picks_no_examples() -> None:
    few = {0: {"score": 0.9}, 1: {"score": 0.1}}
    photos = [{"numbers": {"estimate": n / 9} | few.get(n, {})} for n in range(9)]
    assert {e["why"] for e in examples(photos)} == {"judged good", "in the middle", "judged bad"}


@pytest.mark.parametrize("numbers", [{"score": 0.4}, {}])
def test_few_photographs_are_all_examples(numbers: dict[str, float]) -> None:
    photos = [{"numbers": numbers} for _ in range(4)]
    assert {e["photo"] for e in examples(photos)} == {0, 1, 2, 3}
