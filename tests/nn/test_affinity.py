"""Pixel correlation against its loop, and what sharing evidence may not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import equivariance as oracle
from torch import Tensor

from tag2mask.nn.affinity import Correlation, affinity, spread


def example(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, 3, 3, 4, dtype=torch.float64, generator=generator)
    return maps, torch.randn(2, 5, 3, 4, dtype=torch.float64, generator=generator)


def test_a_cell_hears_others_by_rectified_cosine() -> None:
    maps, embedding = example()
    embedding[1, :, 0, 2] = 0
    found = spread(maps, affinity(embedding))
    for given_maps, vectors, heard in zip(maps, embedding, found, strict=True):
        expected = oracle.heard(given_maps.flatten(1).numpy(), vectors.flatten(1).numpy())
        np.testing.assert_allclose(heard.flatten(1), expected, rtol=1e-9, atol=1e-12)


@given(st.integers(0, 100))
def test_nothing_is_louder_than_what_is_said(seed: int) -> None:
    maps, embedding = example(seed)
    heard = spread(maps, affinity(embedding))
    assert bool((heard <= maps.amax(dim=(2, 3), keepdim=True) + 1e-12).all())
    assert bool((heard >= maps.amin(dim=(2, 3), keepdim=True) - 1e-12).all())


def test_two_kinds_of_cells_that_are_strangers_hear_their_own_mean() -> None:
    kinds = torch.tensor([0, 0, 1, 1, 1, 0]).view(2, 3)
    embedding = torch.stack([kinds == 0, kinds == 1])[None].double() * 7
    maps = torch.arange(6.0, dtype=torch.float64).view(1, 1, 2, 3)
    means = torch.tensor([6 / 3, 9 / 3], dtype=torch.float64)
    expected = means[kinds][None, None]
    torch.testing.assert_close(spread(maps, affinity(embedding)), expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_the_equation() -> None:
    maps, embedding = example()
    maps, embedding = maps[:, :, :2, :2], embedding[:, :, :2, :2]
    assert torch.autograd.gradcheck(
        lambda m, e: spread(m, affinity(e)), (maps.requires_grad_(), embedding.requires_grad_())
    )


def test_a_cell_without_an_embedding_has_a_finite_gradient() -> None:
    embedding = torch.zeros(1, 4, 2, 2, requires_grad=True)
    spread(torch.rand(1, 2, 2, 2), affinity(embedding)).sum().backward()
    assert embedding.grad is not None
    assert bool((embedding.grad == 0).all())


def test_half_precision_is_not_kept() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        shares = affinity(torch.randn(1, 8, 4, 4).bfloat16())
        heard = spread(torch.ones(1, 1, 4, 4), shares)
    torch.testing.assert_close(heard, torch.ones(1, 1, 4, 4), rtol=1e-6, atol=0)


@pytest.mark.parametrize("colours", [True, False])
def test_correlation_embeds_its_inputs_side_by_side(colours: bool) -> None:
    torch.manual_seed(0)
    block = Correlation([6, 8], [3, 2], 7, colours).double()
    assert block.mix.weight.shape == (7, 5 + 3 * colours, 1, 1)
    images = torch.rand(2, 3, 12, 16, dtype=torch.float64)
    inner = [
        torch.randn(2, d, *size, dtype=torch.float64) for d, size in ((6, (6, 8)), (8, (3, 4)))
    ]
    parts = [images.unflatten(3, (4, 4)).unflatten(2, (3, 4)).mean(dim=(3, 5))] if colours else []
    one, two = (layer.weight[:, :, 0, 0] for layer in block.reduce)
    reduced = torch.einsum("ed,bdhw->behw", one, inner[0]).relu()
    parts += [reduced.unflatten(3, (4, 2)).unflatten(2, (3, 2)).mean(dim=(3, 5))]
    parts += [torch.einsum("ed,bdhw->behw", two, inner[1]).relu()]
    mixed = torch.einsum("ed,bdhw->behw", block.mix.weight[:, :, 0, 0], torch.cat(parts, dim=1))
    torch.testing.assert_close(block(images, inner, (3, 4)), affinity(mixed), rtol=1e-9, atol=1e-12)
    assert bool(block(images + 100, inner, (3, 4)).equal(block(images, inner, (3, 4)))) != colours
