"""k-means against scikit-learn and against every division, and what holds for every row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.fbr import best_centres
from sklearn.cluster import KMeans
from torch import Tensor

from tag2mask.nn.clusters import cluster_centres, first_centres


def blobs(seed: int, count: int = 4, each: int = 12, width: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    middles = 20 * torch.randn(count, 1, width, dtype=torch.float64, generator=generator)
    spread = 0.1 * torch.randn(count, each, width, dtype=torch.float64, generator=generator)
    order = torch.randperm(count * each, generator=generator)
    return (middles + spread).reshape(-1, width)[order]


def in_order(centres: Tensor) -> Tensor:
    return centres[centres[:, 0].argsort()]


def test_separated_blobs_are_found_as_scikit_learn_finds_them() -> None:
    points = torch.stack([blobs(seed) for seed in range(3)])
    centres, there = cluster_centres(points, torch.ones(3, 48, dtype=torch.bool), 4)
    assert bool(there.all())
    for row, found in zip(points, centres, strict=True):
        fitted = KMeans(4, n_init=10, random_state=0).fit(row.numpy()).cluster_centers_
        expected = in_order(torch.from_numpy(fitted))
        torch.testing.assert_close(in_order(found), expected, rtol=1e-9, atol=1e-9)


def spread(points: Tensor, centres: Tensor) -> float:
    return float(torch.cdist(points, centres).amin(dim=1).square().sum())


def test_on_a_line_it_comes_near_the_best_of_all_divisions() -> None:
    torch.manual_seed(2)
    points = torch.rand(64, 9, 1, dtype=torch.float64)
    centres, _ = cluster_centres(points, torch.ones(64, 9, dtype=torch.bool), 3)
    shares = [
        spread(row, found) / best_centres(row.numpy(), 3)
        for row, found in zip(points, centres, strict=True)
    ]
    assert min(shares) == pytest.approx(1.0, rel=1e-9)  # never below the best
    assert np.median(shares) < 1.1


def test_a_centre_is_the_mean_of_its_points() -> None:
    points = torch.randn(2, 40, 5, dtype=torch.float64)
    selected = torch.rand(2, 40) < 0.7
    centres, there = cluster_centres(points, selected, 2)
    for row, chosen, found, filled in zip(points, selected, centres, there, strict=True):
        assert bool(filled.all())
        nearest = torch.cdist(row[chosen], found).argmin(dim=1)
        means = torch.stack([row[chosen][nearest == n].mean(dim=0) for n in range(2)])
        torch.testing.assert_close(found, means, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 200), st.integers(0, 12))
def test_what_is_not_selected_does_not_matter(seed: int, count: int) -> None:
    torch.manual_seed(seed)
    points = torch.randn(1, 12, 3, dtype=torch.float64)
    selected = torch.randperm(12)[None] < count
    elsewhere = torch.where(selected[..., None], points, 1e3)
    found = []
    for given_points in (points, elsewhere):
        torch.manual_seed(seed)
        centres, there = cluster_centres(given_points, selected, 4)
        found.append(centres[there])
    assert torch.equal(*found)
    assert len(found[0]) == min(4, count)


def test_few_points_are_their_own_centres() -> None:
    points = torch.randn(3, 7, 2, dtype=torch.float64)
    selected = torch.zeros(3, 7, dtype=torch.bool)
    selected[0, [2, 5]] = True
    selected[1, :4] = True
    centres, there = cluster_centres(points, selected, 4)
    assert there.tolist() == [[True, True, False, False], [True] * 4, [False] * 4]
    assert torch.equal(centres[0, :2], points[0, [2, 5]])
    assert torch.equal(centres[1], points[1, :4])


def test_more_clusters_than_cells_are_no_error() -> None:
    centres, there = cluster_centres(torch.randn(1, 3, 2), torch.ones(1, 3, dtype=torch.bool), 8)
    assert centres.shape == (1, 8, 2)
    assert there.sum() == 3


def test_duplicates_make_fewer_clusters() -> None:
    points = torch.tensor([1.0, 5.0]).repeat_interleave(6).view(1, 12, 1)
    centres, there = cluster_centres(points, torch.ones(1, 12, dtype=torch.bool), 4)
    assert sorted(centres[there].flatten().tolist()) == [1.0, 5.0]


def test_first_centres_are_drawn_by_squared_distance() -> None:
    points = torch.tensor([0.0, 1.0, 3.0]).view(1, 3, 1).repeat(20_000, 1, 1)
    selected = torch.ones(20_000, 3, dtype=torch.bool)
    first, second = first_centres(points, selected, 2)[..., 0].T
    for value in (0.0, 1.0, 3.0):
        assert float((first == value).double().mean()) == pytest.approx(1 / 3, abs=0.02)
    after_zero = second[first == 0]
    assert float((after_zero == 3).double().mean()) == pytest.approx(9 / 10, abs=0.02)
    assert not bool((after_zero == 0).any())


def test_the_same_seed_draws_the_same() -> None:
    points, selected = torch.randn(2, 30, 4), torch.ones(2, 30, dtype=torch.bool)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(cluster_centres(points, selected, 5)[0])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_no_gradient_runs_through_the_centres() -> None:
    points = torch.randn(1, 9, 2, requires_grad=True)
    centres, _ = cluster_centres(points, torch.ones(1, 9, dtype=torch.bool), 3)
    assert not centres.requires_grad
