from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.confusion import confusion_by_pixel
from sklearn.metrics import confusion_matrix
from torch import Tensor

from tag2mask.evaluate import confusion
from tag2mask.types import Confusion

CLASSES = 3
SEEDS = st.integers(0, 2**32 - 1)


def picture(random: np.random.Generator, size: tuple[int, int] = (7, 9)) -> Tensor:
    values = np.array([0, 1, 2, 3, 255], dtype=np.uint8)
    return torch.from_numpy(random.choice(values, size))


@given(SEEDS)
def test_counting_pixel_by_pixel_agrees(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, labels = picture(random), picture(random)
    expected = confusion_by_pixel(truth.numpy(), labels.numpy(), CLASSES)
    assert confusion(truth, labels, CLASSES).counts.tolist() == expected


def test_scikit_learn_agrees() -> None:
    random = np.random.default_rng(3)
    truth, labels = picture(random, (60, 80)), picture(random, (60, 80))
    known = truth.numpy() != 255
    decided = np.where(labels.numpy() == 255, 0, labels.numpy())
    expected = confusion_matrix(truth.numpy()[known], decided[known], labels=range(CLASSES + 1))
    assert np.array_equal(confusion(truth, labels, CLASSES).counts.numpy(), expected)


@given(SEEDS, st.integers(0, 9))
def test_shards_add_up(seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    truth, labels = picture(random), picture(random)
    total = Confusion.zeros(CLASSES + 1)
    for part in (slice(0, cut), slice(cut, None)):
        total += confusion(truth[:, part], labels[:, part], CLASSES)
    assert torch.equal(total.counts, confusion(truth, labels, CLASSES).counts)


@given(SEEDS, st.permutations([1, 2, 3]))
def test_relabelling_the_classes_permutes_the_counts(seed: int, order: list[int]) -> None:
    random = np.random.default_rng(seed)
    truth, labels = picture(random), picture(random)
    renamed = torch.full((256,), 255, dtype=torch.uint8)
    renamed[:4] = torch.tensor([0, *order])
    before = confusion(truth, labels, CLASSES).counts
    after = confusion(renamed[truth.long()], renamed[labels.long()], CLASSES).counts
    places = torch.tensor([0, *order])
    assert torch.equal(after[places][:, places], before)


def test_unknown_truth_counts_nothing_and_an_unknown_decision_is_background() -> None:
    truth = torch.tensor([[255, 255, 1, 0]], dtype=torch.uint8)
    labels = torch.tensor([[0, 1, 255, 255]], dtype=torch.uint8)
    assert confusion(truth, labels, 1).counts.tolist() == [[1, 0], [1, 0]]


def test_the_most_classes_that_fit_into_a_byte() -> None:
    truth = torch.arange(256, dtype=torch.uint8)[None]
    assert torch.equal(confusion(truth, truth, 254).counts, torch.eye(255, dtype=torch.int64))


def test_nothing_is_changed_in_place() -> None:
    truth = picture(np.random.default_rng(0))
    labels = truth.clone()
    confusion(truth, labels, CLASSES)
    assert torch.equal(truth, labels)


def test_two_sizes_are_refused_with_both() -> None:
    truth, labels = (torch.zeros(size, dtype=torch.uint8) for size in ((4, 6), (6, 4)))
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(6, 4\)"):
        confusion(truth, labels, CLASSES)


@pytest.mark.parametrize("which", ["truth", "labels"])
def test_a_label_beyond_the_classes_never_lands_in_another_cell(which: str) -> None:
    pair = {"truth": torch.zeros(2, 2, dtype=torch.uint8)}
    pair["labels"] = pair["truth"].clone()
    pair[which][0, 0] = 3
    with pytest.raises(ValueError, match="label 3 where labels end at 2"):
        confusion(**pair, classes=2)
