"""Intervals of differences."""

from __future__ import annotations

import pytest
import torch

from tag2mask.evaluate import Resampled, paired_bootstrap, scores
from tag2mask.evaluate.bootstrap import mean_iou
from tag2mask.types import Confusion


def counts(runs: int, photographs: int, labels: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 50, (runs, photographs, labels, labels), generator=generator)


def test_the_difference_is_that_of_the_scores() -> None:
    ours, theirs = counts(2, 7, 4, 0), counts(2, 7, 4, 1)
    found = paired_bootstrap(ours, theirs, draws=10)
    expected = [
        scores(Confusion(a.sum(0))).miou - scores(Confusion(b.sum(0))).miou
        for a, b in zip(ours, theirs, strict=True)
    ]
    assert found.difference == pytest.approx(sum(expected) / 2)


def test_one_mean_iou_is_that_of_the_scores_with_labels_that_never_occur() -> None:
    few = counts(1, 3, 5, 2)[0]
    few[:, 2], few[:, :, 2] = 0, 0
    for one, found in zip(few, mean_iou(few.double()), strict=True):
        assert float(found) == pytest.approx(scores(Confusion(one)).miou)


def test_nothing_counted_is_zero() -> None:
    assert float(mean_iou(torch.zeros(1, 3, 3, dtype=torch.float64))[0]) == 0


def test_the_same_run_differs_by_nothing() -> None:
    ours = counts(1, 20, 3, 3)
    found = paired_bootstrap(ours, ours)
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_a_shift_of_every_photograph_is_sure_and_one_of_a_few_is_not() -> None:
    theirs = torch.tensor([[60, 40], [40, 60]]).repeat(1, 40, 1, 1)
    better = torch.tensor([[80, 20], [20, 80]])
    sure, unsure = theirs.clone(), theirs.clone()
    sure[:] = better
    unsure[:, :1] = better
    assert paired_bootstrap(sure, theirs).low > 0.1
    found = paired_bootstrap(unsure, theirs)
    assert found.difference > 0 == found.low


def test_pairs_are_kept() -> None:
    """Photographs differ widely, the two runs hardly: only a paired interval is narrow."""
    theirs = counts(1, 30, 3, 4) * 20
    ours = theirs + torch.eye(3, dtype=torch.int64)
    found = paired_bootstrap(ours, theirs)
    assert 0 < found.low <= found.difference <= found.high < 0.01


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Binary decisions drawn with a known difference of IoU; 200 sets of 60 photographs."""
    generator = torch.Generator().manual_seed(5)
    inside = 0
    for number in range(200):
        draws = torch.rand(2, 60, 40, generator=generator)
        hits = (draws < torch.tensor([0.7, 0.6])[:, None, None]).sum(2)
        tables = torch.zeros(2, 60, 2, 2, dtype=torch.int64)
        tables[:, :, 1, 1], tables[:, :, 1, 0], tables[:, :, 0, 0] = hits, 40 - hits, 100
        truth = float((0.7 + 100 / (100 + 12)) / 2 - (0.6 + 100 / (100 + 16)) / 2)
        found = paired_bootstrap(tables[:1], tables[1:], draws=300, seed=number)
        inside += found.low <= truth <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match="0 photographs"):
        paired_bootstrap(counts(1, 0, 2, 0), counts(1, 0, 2, 0))


def test_photographs_that_come_by_are_resampled_as_if_they_were_kept() -> None:
    photographs = counts(1, 150, 3, 4)[0]
    photographs[::2, 0, 1] *= 20
    found = Resampled(3, draws=4000)
    for one in photographs:
        found.add(one)
    generator = torch.Generator().manual_seed(9)
    drawn = [
        photographs[torch.randint(150, (150,), generator=generator)].sum(0) for _ in range(4000)
    ]
    exact = torch.quantile(
        mean_iou(torch.stack(drawn).double()), torch.tensor([0.025, 0.975]).double()
    )
    width = float(exact[1] - exact[0])
    assert found.interval() == pytest.approx(tuple(exact.tolist()), abs=0.1 * width)


def test_photographs_that_are_all_alike_leave_no_doubt() -> None:
    found = Resampled(2)
    for _ in range(30):
        found.add(torch.tensor([[30, 10], [5, 15]]))
    expected = scores(Confusion(torch.tensor([[30, 10], [5, 15]]))).miou
    assert found.interval() == pytest.approx((expected, expected))
