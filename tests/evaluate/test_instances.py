"""Average precision against loops, by both definitions; crowds; components of masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import instances as oracle

from tag2mask.evaluate import InstanceScores, component_instances
from tag2mask.evaluate.instances import IOUS, average_precision, iou
from tag2mask.nn.runs import pack, unpack
from tag2mask.types import Instances

SIZE = (20, 24)


def made(photo: str, rows: list[tuple[int, float, np.ndarray]], *crowds: bool) -> Instances:
    return Instances(
        photo,
        torch.tensor([label for label, _, _ in rows], dtype=torch.int64),
        tuple(pack(mask) for _, _, mask in rows),
        torch.tensor([score for _, score, _ in rows], dtype=torch.float64),
        SIZE,
        crowds,
    )


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def drawn(draw: np.random.Generator, most: int) -> list[tuple[int, float, np.ndarray]]:
    rows = []
    for _ in range(int(draw.integers(0, most + 1))):
        top, left = int(draw.integers(0, 10)), int(draw.integers(0, 12))
        height, width = draw.integers(4, 11, 2).tolist()
        mask = box(top, left, top + height, left + width) & (draw.random(SIZE) < 0.95)
        rows.append((int(draw.integers(1, 4)), float(draw.random()), mask))
    return rows


def near(draw: np.random.Generator, rows: list[tuple[int, float, np.ndarray]]) -> list:
    """Some of the true ones moved a little, and others."""
    moved = [
        (label, float(draw.random()), np.roll(mask, draw.integers(-1, 2, 2), (0, 1)))
        for label, _, mask in rows
        for _ in range(int(draw.integers(0, 3)))
    ]
    return moved + drawn(draw, 3)


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_both_are_the_loops(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scored = InstanceScores(3)
    true: dict[int, list] = {1: [], 2: [], 3: []}
    found: dict[int, list] = {1: [], 2: [], 3: []}
    for number in range(4):
        theirs = drawn(draw, 4)
        ours = near(draw, theirs)
        scored.add(made(str(number), ours), made(str(number), theirs))
        for label, _, mask in theirs:
            true[label].append((number, mask))
        for label, score, mask in ours:
            found[label].append((number, score, mask))
    table = scored.voc()
    there = [label for label in true if true[label]]
    for label in true:
        for column, least in enumerate(IOUS):
            value = table[label - 1, column]
            if label in there:
                expected = oracle.voc(found[label], true[label], least)
                assert value == pytest.approx(expected, abs=1e-9)
            else:
                assert math.isnan(value)
    if not there:
        assert scored.coco() == (None, None, None)
        return
    levels = [0.5 + 0.05 * k for k in range(10)]
    by_level = np.array([[oracle.coco(found[c], true[c], x) for x in levels] for c in there])
    ap, half, strict = scored.coco()
    assert ap == pytest.approx(by_level.mean(), abs=1e-6)
    assert half == pytest.approx(by_level[:, 0].mean(), abs=1e-6)
    assert strict == pytest.approx(by_level[:, 5].mean(), abs=1e-6)


def test_by_hand() -> None:
    """Right, wrong, right of two: precision 1 and 2/3."""
    hits = np.array([[True], [False], [True]])
    assert average_precision(hits, 2).tolist() == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])
    assert average_precision(hits, 4).tolist() == pytest.approx([0.25 * 1 + 0.25 * 2 / 3])


def test_an_object_is_found_once() -> None:
    mask = box(2, 2, 12, 12)
    scored = InstanceScores(1)
    scored.add(made("a", [(1, 0.9, mask), (1, 0.8, mask)]), made("a", [(1, 1.0, mask)]))
    assert scored.voc().tolist() == [[1.0] * len(IOUS)]
    told = scored.to_json(["cat"])
    assert told["objects"] == 1
    assert told["ap"] == {"0.25": 1.0, "0.5": 1.0, "0.7": 1.0, "0.75": 1.0}
    assert told["ap50_by_class"] == {"cat": 1.0}
    assert told["coco"]["ap"] == pytest.approx(1.0)


def test_objects_of_other_photographs_and_classes_are_not_taken() -> None:
    mask = box(2, 2, 12, 12)
    scored = InstanceScores(2)
    scored.add(made("a", [(1, 0.9, mask)]), made("a", [(2, 1.0, mask)]))
    scored.add(made("b", []), made("b", [(1, 1.0, mask)]))
    assert scored.voc().tolist() == [[0.0] * len(IOUS)] * 2
    assert scored.to_json(["cat", "dog"])["coco"] == {"ap": 0.0, "ap50": 0.0, "ap75": 0.0}


def test_crowds_are_no_objects() -> None:
    whole, part = box(0, 0, 10, 20), box(0, 0, 10, 6)
    scored = InstanceScores(1)
    truth = made("a", [(1, 1.0, whole), (1, 1.0, box(12, 2, 18, 8))], True, False)
    scored.add(made("a", [(1, 0.9, part), (1, 0.8, box(12, 2, 18, 8))]), truth)
    assert scored.to_json(["cat"])["objects"] == 1
    assert scored.voc()[0].tolist() == pytest.approx([0.5] * len(IOUS))
    assert scored.coco()[0] == pytest.approx(1.0)  # what lies in a crowd counts nothing


def test_nothing_to_score() -> None:
    told = InstanceScores(2).to_json(["cat", "dog"])
    assert told["ap"] == dict.fromkeys(("0.25", "0.5", "0.7", "0.75"))
    assert told["ap50_by_class"] == {"cat": None, "dog": None}


def test_other_photographs_are_refused() -> None:
    with pytest.raises(ValueError, match="is not 'b'"):
        InstanceScores(1).add(made("a", []), made("b", []))


def test_overlaps() -> None:
    first, second = box(0, 0, 10, 10), box(5, 0, 15, 10)
    found = iou(made("a", [(1, 0.5, first)]), made("a", [(1, 1.0, first), (2, 1.0, second)]))
    assert found.tolist() == [[1.0, pytest.approx(1 / 3)]]


def test_components_of_a_mask() -> None:
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    labels[1:5, 1:5], labels[5:9, 5:9] = 1, 1  # touch at a corner
    labels[12:18, 2:8], labels[12:18, 10:16], labels[0, 20] = 2, 2, 2
    labels[0, 10] = 3
    found = component_instances("a", labels)
    kinds = [(int(c), int(unpack(found.runs[n], SIZE).sum())) for n, c in enumerate(found.classes)]
    assert sorted(kinds) == [(1, 32), (2, 36), (2, 36), (3, 1)]
    assert found.scores.tolist() == [1.0] * 4
