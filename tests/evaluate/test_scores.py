from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.confusion import iou_by_sets
from sklearn.metrics import accuracy_score, jaccard_score, precision_score, recall_score

from tag2mask.evaluate import confusion, scores
from tag2mask.types import Confusion

SEEDS = st.integers(0, 2**32 - 1)


def counted(rows: list[list[int]]) -> Confusion:
    return Confusion(torch.tensor(rows, dtype=torch.int64))


@given(SEEDS)
def test_iou_is_intersection_over_union_of_sets_of_pixels(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.choice(np.array([0, 1, 2, 3, 255]), 4)  # often without some label
    truth, labels = (random.choice(values, (5, 6)).astype(np.uint8) for _ in range(2))
    result = scores(confusion(torch.from_numpy(truth), torch.from_numpy(labels), 3))
    expected = iou_by_sets(truth, labels, 3)
    assert list(result.iou) == pytest.approx(expected, abs=1e-12)
    occurring = [value for value in expected if value is not None]
    assert result.miou == pytest.approx(np.mean(occurring) if occurring else 0.0, abs=1e-12)


def test_scikit_learn_agrees() -> None:
    random = np.random.default_rng(5)
    truth, labels = (random.integers(0, 4, (40, 50), dtype=np.uint8) for _ in range(2))
    result = scores(confusion(torch.from_numpy(truth), torch.from_numpy(labels), 3))
    flat = truth.ravel(), labels.ravel()
    assert result.iou == pytest.approx(jaccard_score(*flat, average=None), abs=1e-12)
    assert result.precision == pytest.approx(precision_score(*flat, average=None), abs=1e-12)
    assert result.recall == pytest.approx(recall_score(*flat, average=None), abs=1e-12)
    assert result.miou == pytest.approx(jaccard_score(*flat, average="macro"), abs=1e-12)
    assert result.pixel_accuracy == pytest.approx(accuracy_score(*flat), abs=1e-12)


def test_a_worked_example() -> None:
    result = scores(counted([[6, 2], [1, 3]]))
    assert result.iou == pytest.approx((6 / 9, 3 / 6))
    assert result.precision == pytest.approx((6 / 7, 3 / 5))
    assert result.recall == pytest.approx((6 / 8, 3 / 4))
    assert result.over_activation == pytest.approx(2 / 6)
    assert result.under_activation == pytest.approx(1 / 6)
    assert result.pixel_accuracy == pytest.approx(9 / 12)


@given(SEEDS)
def test_hit_and_both_errors_share_out_every_foreground_union(seed: int) -> None:
    rows = np.random.default_rng(seed).integers(0, 3, (4, 4)).tolist()
    result = scores(counted(rows))
    foreground = [value for value in result.iou[1:] if value is not None]
    if foreground:
        whole = np.mean(foreground) + result.over_activation + result.under_activation
        assert whole == pytest.approx(1.0)


def test_a_label_that_never_occurs_is_left_out() -> None:
    result = scores(counted([[4, 0, 0], [0, 4, 0], [0, 0, 0]]))
    assert result.iou == (1.0, 1.0, None)
    assert result.miou == 1.0


def test_a_label_in_one_of_the_two_only_counts_as_missed() -> None:
    result = scores(counted([[4, 0, 1], [1, 0, 0], [0, 0, 0]]))
    assert result.iou == pytest.approx((4 / 6, 0.0, 0.0))
    assert result.precision[1:] == (None, 0.0)
    assert result.recall[1:] == (0.0, None)


@given(SEEDS, st.permutations([1, 2, 3]))
def test_relabelling_the_classes_permutes_the_scores(seed: int, order: list[int]) -> None:
    counts = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (4, 4)))
    places = torch.tensor([0, *order])
    before, after = scores(Confusion(counts)), scores(Confusion(counts[places][:, places]))
    assert after.iou == tuple(before.iou[k] for k in places.tolist())
    assert after.miou == pytest.approx(before.miou)


def test_nothing_counted_is_zero() -> None:
    result = scores(Confusion.zeros(3))
    assert result.iou == (None, None, None)
    assert (result.miou, result.pixel_accuracy, result.over_activation) == (0.0, 0.0, 0.0)


def test_json_names_every_label_and_survives_the_round_trip() -> None:
    result = scores(counted([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
    told = result.to_json(["background", "cat", "dog"])
    assert json.loads(json.dumps(told)) == told
    assert told["iou"] == {"background": result.iou[0], "cat": result.iou[1], "dog": None}
    assert set(told) == {
        "miou",
        "iou",
        "precision",
        "recall",
        "over_activation",
        "under_activation",
        "pixel_accuracy",
    }


def test_json_needs_a_name_for_every_label() -> None:
    with pytest.raises(ValueError, match="longer"):
        scores(Confusion.zeros(3)).to_json(["background", "cat"])
