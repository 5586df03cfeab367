"""Pairs of cells against loops over them, one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import affinity as oracle
from torch import Tensor

from tag2mask.affinity.pairs import (
    GROUP,
    affinity_costs,
    feature_affinity,
    line,
    on_full_grid,
    over_steps,
    path_affinity,
    relations,
    seen_from,
)
from tag2mask.nn.walk import half_disc
from tag2mask.types import UNKNOWN

SIZES = [(9, 7), (1, 1), (1, 12), (12, 1), (3, 4)]


def first_cells(size: tuple[int, int], step: tuple[int, int]) -> list[tuple[int, int]]:
    """First cells of the pairs at a step, row by row."""
    return [
        (y, x)
        for y in range(size[0])
        for x in range(size[1])
        if y + step[0] < size[0] and 0 <= x + step[1] < size[1]
    ]


@given(st.integers(0, 14), st.integers(-14, 14))
def test_the_line_is_the_discrete_one(down: int, right: int) -> None:
    assert list(line((down, right))) == oracle.between((0, 0), (down, right))


@given(st.integers(0, 14), st.integers(-14, 14))
def test_a_line_stays_in_the_box_of_its_ends(down: int, right: int) -> None:
    cells = line((down, right))
    assert (cells[0], cells[-1]) == ((0, 0), (down, right))
    assert all(0 <= y <= down and min(0, right) <= x <= max(0, right) for y, x in cells)


@pytest.mark.parametrize("size", SIZES)
def test_path_affinity_is_one_minus_the_strongest_edge_on_the_line(size: tuple[int, int]) -> None:
    edges = torch.rand(2, *size, dtype=torch.float64)
    for step in half_disc(7):
        found = path_affinity(edges, step).flatten(1)
        expected = [
            [oracle.by_edges(e.numpy(), (y, x), (y + step[0], x + step[1])) for y, x in cells]
            for cells in [first_cells(size, step)]
            for e in edges
        ]
        assert found.tolist() == expected


@pytest.mark.parametrize("size", SIZES)
def test_feature_affinity_is_what_features_have_in_common(size: tuple[int, int]) -> None:
    features = torch.randn(2, 5, *size, dtype=torch.float64)
    for step in half_disc(4):
        found = feature_affinity(features, step).flatten(1)
        expected = [
            [oracle.by_features(f.numpy(), (y, x), (y + step[0], x + step[1])) for y, x in cells]
            for cells in [first_cells(size, step)]
            for f in features
        ]
        np.testing.assert_allclose(found.numpy(), np.array(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_relations_are_those_of_the_labels(size: tuple[int, int]) -> None:
    labels = torch.tensor([0, 1, 2, UNKNOWN], dtype=torch.uint8)[torch.randint(0, 4, (2, *size))]
    for step in half_disc(4):
        found = relations(labels, step)
        assert not (found.sum(dim=0) > 1).any()
        for number, picture in enumerate(labels):
            for place, (y, x) in enumerate(first_cells(size, step)):
                kind = oracle.relation(picture.numpy(), (y, x), (y + step[0], x + step[1]))
                told = found[:, number].flatten(1)[:, place]
                assert told.tolist() == [kind == 0, kind == 1, kind == 2]


def test_unknown_and_unknown_is_no_pair() -> None:
    labels = torch.full((1, 4, 4), UNKNOWN, dtype=torch.uint8)
    assert not any(relations(labels, step).any() for step in half_disc(3))


def test_on_the_full_grid_values_stand_at_their_first_cell() -> None:
    values = torch.rand(6, 7)
    for step in half_disc(5):
        (here,) = seen_from(values, step, ((0, 0),))
        full = on_full_grid(here, step, (6, 7))
        cells = first_cells((6, 7), step)
        expected = [[float(values[y, x]) * ((y, x) in cells) for x in range(7)] for y in range(6)]
        torch.testing.assert_close(full, torch.tensor(expected), rtol=0, atol=0)


def test_costs_of_certain_pairs_are_nothing_and_of_wrong_ones_are_bounded() -> None:
    related = torch.tensor([[[[True, False]]], [[[False, False]]], [[[False, True]]]])
    right = affinity_costs(torch.tensor([[[1.0, 0.0]]]), related)
    wrong = affinity_costs(torch.tensor([[[0.0, 1.0]]]), related)
    torch.testing.assert_close(right, torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(wrong, torch.tensor([11.5129, 0.0, 11.5129]), rtol=0, atol=1e-3)


def test_groups_add_up_and_so_do_their_gradients() -> None:
    values = torch.rand(1, 8, 9, dtype=torch.float64, requires_grad=True)

    def measure(step: tuple[int, int]) -> Tensor:
        return (path_affinity(values, step).square().sum() * (1 + step[0]))[None]

    steps = half_disc(8)
    assert len(steps) > 2 * GROUP
    (grouped,) = torch.autograd.grad(over_steps(measure, steps).sum(), values)
    (plain,) = torch.autograd.grad(torch.stack([measure(step) for step in steps]).sum(), values)
    torch.testing.assert_close(grouped, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("step", [(0, 3), (2, -3), (3, 1)])
def test_gradients(step: tuple[int, int]) -> None:
    edges = torch.rand(1, 5, 6, dtype=torch.float64, requires_grad=True)
    features = torch.rand(1, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e: path_affinity(e, step), (edges,))
    assert torch.autograd.gradcheck(lambda f: feature_affinity(f, step), (features,))
