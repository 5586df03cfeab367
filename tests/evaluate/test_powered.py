import numpy as np
import pytest
import torch
from scipy import stats

from tag2mask.evaluate import powered_mean


def test_without_use_of_the_estimates_it_is_the_t_interval_of_the_few() -> None:
    truth = torch.rand(12, dtype=torch.float64)
    found = powered_mean(torch.zeros(1000, dtype=torch.float64), torch.arange(12), truth)
    low, high = stats.t.interval(0.95, 11, truth.mean(), stats.sem(truth.numpy()))
    shrunk = (1 - 12 / 1000) ** 0.5  # 12 of the 1000 are known
    assert found.weight == 0
    assert found.mean == pytest.approx(float(truth.mean()))
    assert found.high - found.low == pytest.approx((high - low) * shrunk)


def test_it_is_a_regression_asked_at_the_mean_of_the_whole_set() -> None:
    generator = np.random.default_rng(0)
    guesses = generator.normal(size=50)
    known = np.arange(9)
    truth = 0.3 * guesses[known] + generator.normal(size=9)
    line = stats.linregress(guesses[known], truth)
    found = powered_mean(torch.tensor(guesses), torch.tensor(known), torch.tensor(truth))
    assert found.weight == pytest.approx(line.slope)
    assert found.mean == pytest.approx(line.intercept + line.slope * guesses.mean())


def test_all_known_leaves_no_doubt_and_perfect_estimates_need_few() -> None:
    values = torch.rand(40, dtype=torch.float64)
    everything = powered_mean(torch.rand(40, dtype=torch.float64), torch.arange(40), values)
    assert everything.mean == pytest.approx(float(values.mean()))
    assert everything.high - everything.low == pytest.approx(0, abs=1e-12)
    few = powered_mean(100 - 7 * values.neg(), torch.arange(6), values[:6])
    assert few.mean == pytest.approx(float(values.mean()))
    assert few.high - few.low == pytest.approx(0, abs=1e-6)


def test_estimates_that_go_against_the_truth_are_not_believed() -> None:
    values = torch.rand(30, dtype=torch.float64)
    found = powered_mean(-values, torch.arange(20), values[:20])
    assert found.weight == 0
    assert (found.low, found.high) == (found.plain_low, found.plain_high)


@pytest.mark.parametrize("strength", [0.0, 0.6, 0.9])
def test_ninety_five_of_a_hundred_intervals_hold_the_mean(strength: float) -> None:
    """A skewed population of 400 in [0, 1], 20 drawn at random, 1,500 times."""
    generator = np.random.default_rng(1)
    base = generator.normal(size=400)
    noise = generator.normal(size=400)
    quality = 1 / (1 + np.exp(-1.2 * base - 1))
    ranks = stats.rankdata(strength * base + (1 - strength**2) ** 0.5 * noise) / 400
    truth, guesses = torch.tensor(quality), torch.tensor(ranks)
    held, narrower = 0, []
    for _ in range(1500):
        known = torch.tensor(generator.choice(400, 20, replace=False))
        found = powered_mean(guesses, known, truth[known])
        held += found.low <= float(truth.mean()) <= found.high
        narrower.append((found.high - found.low) / (found.plain_high - found.plain_low))
    assert 0.93 <= held / 1500 <= 0.97
    if strength == 0.9:
        assert np.mean(narrower) < 0.7


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="5 or more"):
        powered_mean(torch.rand(9).double(), torch.arange(4), torch.rand(4).double())
