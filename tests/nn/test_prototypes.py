"""Prototypes and cell labels against their loops, and what the tags keep out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import equivariance as oracle
from torch import Tensor

from tag2mask.nn.labels import cell_labels
from tag2mask.nn.prototypes import label_prototypes, top_prototypes


def example(seed: int = 0, photographs: int = 3, labels: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(photographs, 5, 4, 6, dtype=torch.float64, generator=generator)
    maps = torch.rand(photographs, labels, 4, 6, dtype=torch.float64, generator=generator)
    return features, maps


@pytest.mark.parametrize("one_in", [1, 4, 8, 100])
def test_a_prototype_is_the_weighted_mean_of_the_strongest_cells(one_in: int) -> None:
    features, maps = example()
    found, present = top_prototypes(features, maps, one_in)
    assert bool(present.all())
    for c, vector in enumerate(found.numpy()):
        expected = oracle.prototype(
            features.flatten(2).numpy(), maps[:, c].flatten(1).numpy(), one_in
        )
        np.testing.assert_allclose(vector, expected, rtol=1e-9, atol=1e-12)


def test_photographs_without_the_tag_do_not_matter() -> None:
    features, maps = example()
    maps[1:, 2] = 0  # the first photograph alone carries it
    elsewhere = features.clone()
    elsewhere[1:] = 1e6
    one, other = (top_prototypes(given, maps, 1)[0][2] for given in (features, elsewhere))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_fewer_cells_than_asked_for_are_all_there_is() -> None:
    features, maps = example()
    maps[:, 0] = 0
    maps[2, 0, 1, 3] = 0.7
    found, present = top_prototypes(features, maps, 2)
    assert bool(present[0])
    torch.testing.assert_close(found[0], features[2, :, 1, 3], rtol=1e-12, atol=0)


def test_a_class_without_evidence_has_none() -> None:
    features, maps = example()
    maps[:, 1] = 0
    found, present = top_prototypes(features, maps, 4)
    assert present.tolist() == [True, False, True, True]
    assert bool((found[1] == 0).all())


def test_flat_cells_are_the_same_cells() -> None:
    features, maps = example()
    for given in ((features.flatten(2), maps), (features, maps.flatten(2))):
        assert torch.equal(top_prototypes(*given, 4)[0], top_prototypes(features, maps, 4)[0])


def test_no_gradient_runs_through_prototypes_and_they_are_not_rounded() -> None:
    features, maps = example()
    vectors, _ = top_prototypes(features.half().requires_grad_(), maps.half(), 4)
    assert not vectors.requires_grad
    assert vectors.dtype is torch.float32


def test_labels_are_the_likeliest_with_a_constant_background() -> None:
    _, maps = example(photographs=2, labels=3)
    maps = maps**3
    inside = torch.ones(2, 4, 6, dtype=torch.bool)
    inside[0, 0] = False
    found = cell_labels(maps, inside, 0.3)
    assert bool((found[0, 0] == 255).all())
    assert set(found.unique().tolist()) == {0, 1, 2, 3, 255}
    for b, y, x in np.argwhere(inside.numpy()):
        assert int(found[b, y, x]) == oracle.label(maps[b, :, y, x].numpy(), 0.3)


def test_background_looks_like_the_cells_that_show_least_of_any_class() -> None:
    features, maps = example(labels=3)
    maps = maps**3
    inside = torch.ones(3, 4, 6, dtype=torch.bool)
    inside[:, :, 4:] = False
    labels = cell_labels(maps, inside, 0.3)
    found, present = label_prototypes(features, maps, labels, 4)
    assert bool(present.all())
    rows, flat = maps.flatten(2).numpy(), labels.flatten(1).numpy()
    left = [[oracle.background(rows[b, :, i], flat[b, i]) for i in range(24)] for b in range(3)]
    evidence = [np.asarray(left), *np.moveaxis(rows * (flat != 255)[:, None], 1, 0)]
    for vector, given in zip(found, evidence, strict=True):
        expected = oracle.prototype(features.flatten(2).numpy(), given, 4)
        np.testing.assert_allclose(vector, expected, rtol=1e-9, atol=1e-12)


def test_padding_is_in_no_prototype() -> None:
    features, maps = example(labels=3)
    unknown = torch.full((3, 4, 6), 255)
    vectors, present = label_prototypes(features, maps, unknown, 4)
    assert not bool(present.any())
    assert bool((vectors == 0).all())
