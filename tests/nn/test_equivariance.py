"""SEAM's terms against their loops; which side learns; what is defined where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import equivariance as oracle
from torch import Tensor

from tag2mask.nn.equivariance import (
    cross_loss,
    equivariance_loss,
    lowest_loss,
    onto,
    smaller,
    spanned,
    strongest,
    with_tags,
)


def maps(seed: int, classes: int = 3, positive: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, classes, 5, 4, dtype=torch.float64, generator=generator)
    return values.abs() if positive else values


def test_a_spanned_map_reaches_from_0_to_1() -> None:
    given = maps(0, positive=False)
    found = spanned(given)
    for one, expected in zip(found.flatten(0, 1), given.flatten(0, 1), strict=True):
        np.testing.assert_allclose(
            one.flatten(), oracle.spanned(expected.flatten().numpy()), rtol=1e-9, atol=1e-12
        )
    assert bool((spanned(given + 3).amax(dim=(2, 3)) > 1 - 1e-4).all())


def test_a_map_without_contrast_is_zero_and_so_is_its_gradient() -> None:
    flat = torch.full((1, 2, 3, 3), 0.7, dtype=torch.float64)
    flat[:, 1] = 0
    flat.requires_grad_()
    found = spanned(flat)
    assert bool((found == 0).all())
    found.sum().backward()
    assert flat.grad is not None
    assert bool((flat.grad == 0).all())


def test_the_strongest_class_alone_remains_and_the_background_is_the_rest() -> None:
    given = maps(1).clamp(max=1)
    given[0, :, 0, 0] = 0
    found = strongest(given)
    for b, y, x in np.ndindex(2, 5, 4):
        np.testing.assert_allclose(
            found[b, :, y, x], oracle.strongest(given[b, :, y, x].numpy()), rtol=0, atol=0
        )
    assert found[0, 0, 0, 0] == 1


def test_terms_are_their_equations() -> None:
    one, other = maps(2), maps(3)
    pair = (one.flatten(2).numpy(), other.flatten(2).numpy())
    assert float(equivariance_loss(one, other)) == pytest.approx(oracle.equivariance(*pair), 1e-9)
    for share in (0.2, 0.8):
        expected = oracle.cross(*pair, share)
        assert float(cross_loss(one, other, share)) == pytest.approx(expected, 1e-9)
    signed = maps(4, positive=False)
    expected = oracle.lowest(signed.flatten(2).numpy())
    assert float(lowest_loss(signed)) == pytest.approx(expected, 1e-9)


def test_the_reference_does_not_learn_and_the_maps_do() -> None:
    one, other = maps(2).requires_grad_(), maps(3).requires_grad_()
    cross_loss(one, other, 0.2).backward()
    assert one.grad is None
    assert other.grad is not None
    moved = (other.grad != 0).flatten(1).sum(dim=1)
    assert moved.tolist() == [12, 12]  # a fifth of 3 × 5 × 4
    equivariance_loss(one, other).backward()
    assert one.grad is not None
    assert bool((one.grad != 0).all())


def test_the_lowest_quarter_alone_is_pulled_down() -> None:
    given = maps(5).requires_grad_()
    lowest_loss(given).backward()
    assert given.grad is not None
    assert (given.grad > 0).flatten(1).sum(dim=1).tolist() == [5, 5]


def test_a_photograph_without_tags_has_no_background_either() -> None:
    tags = torch.tensor([[True, False, False], [False, False, False]])
    found = with_tags(maps(6, classes=4) + 1, tags)
    assert (found != 0).any(dim=3).any(dim=2).tolist() == [
        [True, True, False, False],
        [False] * 4,
    ]


def test_one_cell_is_enough() -> None:
    one, other = torch.rand(2, 1, 3, 1, 1, dtype=torch.float64)
    for loss in (equivariance_loss(one, other), cross_loss(one, other, 0.2), lowest_loss(one)):
        assert bool(loss.isfinite())


def test_the_second_view_is_the_same_picture() -> None:
    ramp = torch.linspace(0, 200, 64).expand(1, 3, 32, 64)
    for scale, size in ((0.5, (16, 32)), (0.3, (10, 19)), (0.01, (1, 1))):
        view = smaller(ramp, scale)
        assert view.shape[2:] == size
        assert float(view.mean()) == pytest.approx(100, abs=1)


def test_a_grid_and_the_same_grid_again() -> None:
    given = maps(7)
    assert onto(given, (5, 4)) is given
    torch.testing.assert_close(onto(onto(given, (10, 8)).flip(3), (10, 8)).mean(), given.mean())
    coarse = onto(torch.arange(16.0).view(1, 1, 4, 4), (2, 2))
    assert coarse.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
