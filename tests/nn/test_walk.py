"""The random walk against the power of its dense matrix, and what every walk must keep."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.walk import near_pairs, transition_matrix, walk_by_matrix
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.nn.walk import chebyshev_coefficients, half_disc, off_edges, walk


def affinity(size: tuple[int, int], radius: int = 5) -> Tensor:
    """Random, and a wall through the middle with little affinity."""
    pairs = torch.rand(len(near_pairs(radius)), *size, dtype=torch.float64).sqrt()
    pairs[:, size[0] // 2] *= 0.3
    return pairs


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 10])
def test_the_half_disc_is_one_of_each_pair(radius: int) -> None:
    assert half_disc(radius) == tuple(near_pairs(radius))


def test_radius_five_has_34_pairs() -> None:
    assert len(half_disc(5)) == 34


@pytest.mark.parametrize("size", [(7, 9), (1, 1), (1, 12), (13, 2), (16, 18)])
@pytest.mark.parametrize("steps", [1, 2, 7, 64, 255, 256])
def test_the_walk_is_the_power_of_the_matrix(size: tuple[int, int], steps: int) -> None:
    maps, pairs = torch.rand(2, *size, dtype=torch.float64), affinity(size)
    matrix = transition_matrix(pairs.numpy(), near_pairs(5), beta=10.0)
    expected = torch.from_numpy(walk_by_matrix(maps.numpy(), matrix, steps))
    torch.testing.assert_close(walk(maps, pairs, 10.0, steps), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("beta", [0.0, 1.0, 8.0])
def test_other_radii_and_powers(radius: int, beta: float) -> None:
    maps, pairs = torch.rand(1, 6, 7, dtype=torch.float64), affinity((6, 7), radius)
    matrix = transition_matrix(pairs.numpy(), near_pairs(radius), beta)
    expected = torch.from_numpy(walk_by_matrix(maps.numpy(), matrix, 5))
    found = walk(maps, pairs, beta, 5, radius=radius)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_single_precision_decides_the_same() -> None:
    maps, pairs = torch.rand(3, 24, 32), affinity((24, 32))
    matrix = transition_matrix(pairs.numpy(), near_pairs(5), beta=10.0)
    expected = torch.from_numpy(walk_by_matrix(maps.double().numpy(), matrix, 256))
    found = walk(maps, pairs.float(), 10.0, 256)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    assert torch.equal(found.argmax(0), expected.argmax(0))


def test_zero_steps_stay() -> None:
    maps = torch.rand(2, 5, 6)
    assert torch.equal(walk(maps, affinity((5, 6)).float(), steps=0), maps)


def test_every_cell_hands_on_all_it_has() -> None:
    """Weighted by how much a cell is connected, evidence is neither made nor lost."""
    maps, pairs = torch.rand(2, 9, 8, dtype=torch.float64), affinity((9, 8))
    degrees = np.zeros((9, 8))
    for number, (down, right) in enumerate(near_pairs(5)):
        for row in range(9):
            for column in range(8):
                if 0 <= row + down < 9 and 0 <= column + right < 8:
                    value = float(pairs[number, row, column]) ** 10
                    degrees[row, column] += value
                    degrees[row + down, column + right] += value
    weights = torch.from_numpy(degrees + 1)
    before, after = ((weights * m).sum((1, 2)) for m in (maps, walk(maps, pairs, steps=100)))
    torch.testing.assert_close(after, before, rtol=1e-12, atol=0)


def test_a_constant_map_stays_constant() -> None:
    maps = torch.full((1, 12, 9), 0.7, dtype=torch.float64)
    torch.testing.assert_close(walk(maps, affinity((12, 9))), maps, rtol=0, atol=1e-12)


def test_cells_without_neighbours_keep_their_value() -> None:
    maps = torch.rand(2, 6, 7, dtype=torch.float64)
    alone = torch.zeros(34, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(walk(maps, alone), maps, rtol=0, atol=1e-12)


def test_nothing_crosses_a_wall() -> None:
    """No pair between the left and the right half; the left is full, the right is empty."""
    pairs = torch.ones(34, 8, 12, dtype=torch.float64)
    for number, (_, right) in enumerate(half_disc()):
        columns = torch.arange(12)
        pairs[number, :, (columns < 6) != (columns + right < 6)] = 0
    maps = (torch.arange(12) < 6).double().expand(1, 8, 12).contiguous()
    torch.testing.assert_close(walk(maps, pairs), maps, rtol=0, atol=1e-12)


def test_pairs_beyond_the_border_do_not_exist() -> None:
    maps, pairs = torch.rand(1, 5, 6), affinity((5, 6)).float()
    changed = pairs.clone()
    for number, (down, right) in enumerate(half_disc()):
        for row in range(5):
            for column in range(6):
                if row + down > 4 or not 0 <= column + right < 6:
                    changed[number, row, column] = 1e6
    assert torch.equal(walk(maps, changed), walk(maps, pairs))


def test_inputs_stay_as_they_are() -> None:
    maps, pairs = torch.rand(2, 5, 6), affinity((5, 6)).float()
    before = maps.clone(), pairs.clone()
    walk(maps, pairs, steps=9)
    assert torch.equal(maps, before[0])
    assert torch.equal(pairs, before[1])


def test_no_maps() -> None:
    assert walk(torch.zeros(0, 5, 6), affinity((5, 6)).float()).shape == (0, 5, 6)


def test_maps_off_edges() -> None:
    edges = torch.tensor([[0.0, 0.25, 1.0]])
    expected = torch.tensor([[[0.8, 0.6, 0.0]]] * 2)
    torch.testing.assert_close(off_edges(torch.full((2, 1, 3), 0.8), edges), expected)


@given(st.integers(0, 60))
def test_all_coefficients_are_the_power(power: int) -> None:
    """x^n by its Chebyshev polynomials, T_k(cos a) = cos(k·a)."""
    coefficients = chebyshev_coefficients(power, tolerance=0.0)
    assert math.fsum(coefficients) == pytest.approx(1, abs=1e-12)
    for angle in np.linspace(0, math.pi, 17):
        value = sum(c * math.cos(k * angle) for k, c in enumerate(coefficients))
        assert value == pytest.approx(math.cos(angle) ** power, abs=1e-12)


@given(st.integers(1, 400), st.sampled_from([1e-4, 1e-7, 1e-15]))
def test_what_is_left_out_is_below_the_tolerance(power: int, tolerance: float) -> None:
    kept = len(chebyshev_coefficients(power, tolerance))
    pairs = (math.comb(power, (power - k) // 2) for k in range(power, kept - 1, -2))
    assert Fraction(2 * sum(pairs), 2**power) < tolerance


def test_256_steps_take_85_applications_in_single_precision() -> None:
    assert len(chebyshev_coefficients(256, torch.finfo(torch.float32).eps)) == 85


@pytest.mark.parametrize(
    ("pairs", "steps", "words"),
    [
        (torch.rand(12, 5, 6), 4, r"shape \(12, 5, 6\); expected \(34, 5, 6\)"),
        (torch.rand(34, 5, 6), -1, "walk of -1 steps"),
        (-torch.rand(34, 5, 6), 4, "negative value or NaN"),
        (torch.full((34, 5, 6), math.nan), 4, "negative value or NaN"),
    ],
)
def test_what_cannot_be_walked(pairs: Tensor, steps: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        walk(torch.rand(1, 5, 6), pairs, steps=steps)
