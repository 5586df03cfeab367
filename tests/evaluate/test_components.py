"""Components of maps and of masks: the kernel against labelling, and against a flood fill."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.boxes import around, flooded

from tag2mask.evaluate import components as module
from tag2mask.evaluate import mask_boxes
from tag2mask.evaluate.components import Components, components

SIDES = st.tuples(st.integers(0, 13), st.integers(0, 13))
PHOTOGRAPHS = st.tuples(st.integers(1, 13), st.integers(1, 13))


def listed(found: Components) -> np.ndarray:
    level, place = found.by_level()
    parts = level[:, None], found.edges[place], found.areas[place, None], found.first[place, None]
    return np.concatenate(parts, axis=1)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), SIDES, st.integers(1, 9))
def test_the_kernel_finds_what_labelling_every_level_finds(
    seed: int, size: tuple[int, int], most: int
) -> None:
    if not module.is_compiled():
        pytest.skip("the kernel was not built")
    beaten = np.random.default_rng(seed).integers(0, most + 1, size, dtype=np.int32)
    found = components(beaten)
    assert np.array_equal(listed(found), listed(components(beaten, None)))
    rows = np.concatenate([found.edges, found.first[:, None], found.areas[:, None]], axis=1)
    assert len(np.unique(rows, axis=0)) == len(rows), "a component was written down twice"


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), SIDES)
def test_labelling_finds_what_a_flood_finds(seed: int, size: tuple[int, int]) -> None:
    beaten = np.random.default_rng(seed).integers(0, 4, size, dtype=np.int32)
    expected = []
    for level in range(3):
        for c in flooded(beaten > level):
            first = c[0][0] * size[1] + c[0][1]
            expected.append([level, *around(c), len(c), first])
    expected.sort(key=lambda row: (row[0], row[5], -row[6]))
    assert listed(components(beaten, None)).tolist() == expected


def test_a_slope_is_a_chain_and_two_peaks_meet() -> None:
    beaten = np.array([[3, 1, 2, 2, 0, 1]], dtype=np.int32)
    found = components(beaten)
    rows = zip(found.edges[:, [0, 2]].tolist(), found.low, found.high, strict=True)
    assert sorted((edges, low, high) for edges, low, high in rows) == [
        ([0, 1], 1, 3),
        ([0, 4], 0, 1),
        ([2, 4], 1, 2),
        ([5, 6], 0, 1),
    ]


def test_a_kernel_refuses_a_buffer_of_another_size() -> None:
    if not module.is_compiled():
        pytest.skip("the kernel was not built")
    for height, width in ((3, 2), (-1, -4), (1 << 20, 1 << 20)):
        with pytest.raises(ValueError, match="height x width"):
            module._KERNEL.join(np.zeros(4, dtype=np.int32), height, width)  # type: ignore


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), PHOTOGRAPHS, st.sampled_from([0.0, 0.05, 0.3, 1.0]))
def test_a_mask_has_a_box_for_every_component(
    seed: int, size: tuple[int, int], share: float
) -> None:
    labels = np.random.default_rng(seed).choice([0, 0, 0, 1, 2, 254, 255], size).astype(np.uint8)
    expected = []
    for label in (1, 2, 254):
        found = sorted(flooded(labels == label), key=lambda c: (-len(c), c[0]))
        total = sum(map(len, found))
        for place, c in enumerate(found):
            if place == 0 or len(c) >= share * labels.size:
                expected.append((label, around(c), len(c) / total))
    boxes = mask_boxes("a", torch.from_numpy(labels), share)
    rows = zip(boxes.classes.tolist(), boxes.edges.tolist(), boxes.scores.tolist(), strict=True)
    assert [(label, tuple(edges), score) for label, edges, score in rows] == expected
    assert (boxes.id, boxes.size) == ("a", size)


def test_unknown_pixels_part_what_lies_on_both_sides() -> None:
    labels = torch.ones(4, 9, dtype=torch.uint8)
    labels[:, 4] = 255
    assert mask_boxes("a", labels).edges.tolist() == [[0, 0, 4, 4], [5, 0, 9, 4]]
