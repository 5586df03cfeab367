"""Means over regions against a loop over regions."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tag2mask.nn.regions import region_mean


def by_loop(maps: Tensor, regions: Tensor) -> Tensor:
    found = maps.clone()
    for image, numbers in enumerate(regions):
        for channel in range(maps.shape[1]):
            for number in numbers.unique().tolist():
                cells = numbers == number
                if number >= 0:
                    found[image, channel, cells] = maps[image, channel, cells].sum() / cells.sum()
    return found


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(3, 2, 40, dtype=torch.float64, generator=generator)
    return maps, torch.randint(-1, 7, (3, 40), generator=generator)


@given(st.integers(0, 1000))
def test_every_cell_has_the_mean_of_its_region(seed: int) -> None:
    maps, regions = drawn(seed)
    torch.testing.assert_close(
        region_mean(maps, regions, 9), by_loop(maps, regions), rtol=1e-9, atol=1e-12
    )


@given(st.integers(0, 1000))
def test_it_is_a_projection_that_keeps_sums(seed: int) -> None:
    maps, regions = drawn(seed)
    once = region_mean(maps, regions, 7)
    torch.testing.assert_close(region_mean(once, regions, 7), once, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(once.sum(2), maps.sum(2), rtol=1e-9, atol=1e-12)


def test_cells_of_their_own_and_cells_of_none_keep_their_values() -> None:
    maps, _ = drawn(0)
    alone = torch.arange(40).repeat(3, 1)
    assert torch.equal(region_mean(maps, alone, 40), maps)
    assert torch.equal(region_mean(maps, torch.full_like(alone, -1), 1), maps)


def test_its_gradient_is_that_of_a_mean() -> None:
    maps, regions = drawn(1)
    maps.requires_grad_()
    assert torch.autograd.gradcheck(lambda m: region_mean(m, regions, 7), (maps,))
