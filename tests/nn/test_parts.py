"""Parts of masks as objects; masks as run lengths."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracles.instances import large_parts as looped
from pycocotools import mask as coco_mask

from tag2mask.nn.parts import large_parts, numbered, numbered_instances, sure
from tag2mask.nn.runs import pack, unpack
from tag2mask.types import Instances

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(MASKS)
def test_run_lengths_are_the_mask_again(mask: np.ndarray) -> None:
    runs = pack(mask)
    np.testing.assert_array_equal(unpack(runs, (mask.shape[0], mask.shape[1])), mask)
    assert coco_mask.area({"size": list(mask.shape), "counts": runs}) == mask.sum()


@given(st.integers(0, 10_000))
def test_parts_of_single_labels_are_the_loop_s(seed: int) -> None:
    labels = np.random.default_rng(seed).choice(np.array([0, 1, 255], dtype=np.uint8), (7, 9))
    given_labels = torch.from_numpy(labels)
    ids = large_parts(given_labels, torch.zeros(7, 9, dtype=torch.int64), 0.05)
    expected = looped(labels, np.zeros((7, 9), dtype=int), 0.05)
    found = numbered_instances("a", given_labels, ids)
    assert found.classes.tolist() == [label for label, _ in expected]
    masks = [unpack(runs, found.size) for runs in found.runs]
    parts = [frozenset(zip(*np.nonzero(mask), strict=True)) for mask in masks]
    assert set(parts) == {frozenset(part) for _, part in expected}


SURENESS = st.sampled_from((0.2, 0.6, 0.9))


@given(st.lists(st.tuples(arrays.arrays(bool, (4, 5)), SURENESS), max_size=5))
def test_the_surest_object_lies_on_top(drawn: list[tuple[np.ndarray, float]]) -> None:
    scores = torch.tensor([score for _, score in drawn], dtype=torch.float64)
    labels = torch.arange(len(drawn)) + 7
    runs = tuple(pack(mask) for mask, _ in drawn)
    found = Instances("a", labels, runs, scores, (4, 5))
    ids, classes = numbered(found)
    for row in range(4):
        for column in range(5):
            over = [n for n, (mask, _) in enumerate(drawn) if mask[row, column]]
            top = max(over, key=lambda n: (drawn[n][1], -n), default=None)
            number = int(ids[row, column])
            assert (classes[number - 1] if number else None) == (None if top is None else top + 7)
    kept = sure(found, 0.6)
    assert kept.classes.tolist() == [n + 7 for n, (_, score) in enumerate(drawn) if score >= 0.6]
    assert kept.runs == tuple(runs[n] for n, (_, score) in enumerate(drawn) if score >= 0.6)


def test_more_objects_than_a_byte_numbers() -> None:
    runs = (pack(np.ones((1, 2), dtype=bool)),) * 300
    scores = torch.linspace(0, 1, 300, dtype=torch.float64)
    ids, classes = numbered(Instances("a", torch.arange(300), runs, scores, (1, 2)))
    assert ids.tolist() == [[1, 1]]
    assert classes == tuple(range(299, 45, -1))


def test_nothing_there() -> None:
    labels = torch.zeros(3, 4, dtype=torch.uint8)
    ids = large_parts(labels, torch.zeros(3, 4, dtype=torch.int64), 0.01)
    assert not ids.any()
    assert len(numbered_instances("a", labels, ids)) == 0
