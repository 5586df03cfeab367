"""The contrasts, the class graph and the other two terms against loops; whom they move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import fbr as oracle
from torch import Tensor

from tag2mask.methods.fbr.contrast import class_graph, contrast_loss, numbered, pixels_elsewhere
from tag2mask.methods.fbr.heads import segmentation_loss, similarity_loss

PRECISE = {"rel": 1e-9}


def example(seed: int = 0, classes: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = {"dtype": torch.float64, "generator": generator}
    features = torch.randn(20, 5, **shape).relu()
    queries = torch.randint(-1, classes, (20,), generator=generator)
    return features, queries, torch.randn(classes, 5, **shape), torch.randn(classes, 6, 5, **shape)


@given(st.integers(0, 300), st.integers(1, 4), st.sampled_from([0.1, 0.5]))
def test_the_contrast_is_the_papers(seed: int, classes: int, temperature: float) -> None:
    given_values = example(seed, classes)
    found = float(contrast_loss(*given_values, temperature))
    features, queries, prototypes, negatives = given_values
    expected = oracle.contrast_loss(
        features.numpy(), queries.tolist(), prototypes.numpy(), negatives.numpy(), temperature
    )
    assert found == pytest.approx(expected, **PRECISE)


def test_the_gradient_runs_through_queries_alone() -> None:
    features, queries, prototypes, negatives = example()
    for tensor in (features, prototypes, negatives):
        tensor.requires_grad_()
    contrast_loss(features, queries, prototypes, negatives, 0.5).backward()
    assert features.grad is not None
    assert torch.equal(features.grad.any(dim=1), (queries >= 0) & features.any(dim=1))
    assert prototypes.grad is None
    assert negatives.grad is None


def test_a_step_brings_queries_nearer_to_their_class_and_away_from_the_rest() -> None:
    """Along features, not along keys: what the released code had the wrong way round."""
    z = torch.tensor([[1.0, 1.0, 0.0]], requires_grad=True)
    prototype, negative = torch.eye(3)[:1], torch.eye(3)[1:2][None]
    contrast_loss(z, torch.tensor([0]), prototype, negative, 0.5).backward()
    assert z.grad is not None
    assert z.grad[0, 0] < 0 < z.grad[0, 1]
    assert z.grad[0, 2] == 0


@pytest.mark.parametrize("lacking", ["queries", "negatives", "classes"])
def test_without_queries_negatives_or_classes_there_is_no_contrast(lacking: str) -> None:
    features, queries, prototypes, negatives = example()
    features.requires_grad_()
    if lacking == "queries":
        queries = torch.full_like(queries, -1)
    elif lacking == "negatives":
        negatives = negatives[:, :0]
    else:
        prototypes, negatives, queries = prototypes[:0], negatives[:0], torch.full_like(queries, -1)
    loss = contrast_loss(features, queries, prototypes, negatives, 0.5)
    loss.backward()
    assert float(loss.detach()) == 0
    assert features.grad is not None
    assert not bool(features.grad.any())


@given(st.integers(0, 300), st.integers(2, 6))
def test_the_graph_is_the_softmax_over_other_classes(seed: int, classes: int) -> None:
    prototypes = example(seed, classes)[2]
    found = class_graph(prototypes, 0.5)
    np.testing.assert_allclose(found, oracle.graph(prototypes.numpy(), 0.5), rtol=1e-9, atol=1e-12)


def test_negatives_are_cells_of_other_classes_as_often_as_the_graph_says() -> None:
    groups = torch.tensor([0, 0, 1, 2, 2, 2, -1, -1])
    features = torch.arange(8.0)[:, None].repeat(1, 5)
    prototypes = example()[2].float()
    drawn = pixels_elsewhere(features, groups, prototypes, 30_000, 0.5)[..., 0].long()
    expected = oracle.graph(prototypes.double().numpy(), 0.5)
    for c in range(3):
        sizes = groups[groups >= 0].bincount()
        for cell in range(8):
            k = int(groups[cell])
            chance = expected[c, k] / int(sizes[k]) if k >= 0 else 0.0
            assert float((drawn[c] == cell).double().mean()) == pytest.approx(chance, abs=0.015)


@pytest.mark.parametrize("classes", [0, 1])
def test_a_class_alone_has_no_others(classes: int) -> None:
    features, _, prototypes, _ = example()
    groups = torch.full((20,), classes - 1)
    assert pixels_elsewhere(features, groups, prototypes[:classes], 9, 0.5).shape == (classes, 0, 5)


def test_cells_are_numbered_among_the_classes_that_are_there() -> None:
    labels = torch.tensor([0, 2, 4, 4, 255, 2])
    present = torch.tensor([False, True, False, True])
    chosen = torch.tensor([False, True, True, False, False, True])
    assert numbered(labels, present, chosen).tolist() == [-1, 0, 1, -1, -1, 0]


def grids(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kind = {"dtype": torch.float64, "generator": generator}
    foreground, background = (torch.randn(2, 6, 3, 4, **kind).relu() for _ in range(2))
    logits, maps = torch.randn(2, 1, 3, 4, **kind), torch.rand(2, 2, 3, 4, **kind) ** 4
    return foreground, background, logits, maps, torch.rand(2, 3, 4, generator=generator) < 0.8


@given(st.integers(0, 300))
def test_similarity_and_segmentation_are_the_papers(seed: int) -> None:
    foreground, background, logits, maps, inside = grids(seed)
    foreground[0, :, 1, 1] = 0  # nothing is above zero
    alike = float(similarity_loss(foreground, background, inside))
    expected = oracle.similarity(foreground.numpy(), background.numpy(), inside.numpy())
    assert alike == pytest.approx(expected, **PRECISE)
    found = float(segmentation_loss(logits, maps, inside))
    expected = oracle.segmentation(logits.numpy(), maps.numpy(), inside.numpy())
    assert found == pytest.approx(expected, **PRECISE)


def test_padding_moves_nothing() -> None:
    foreground, background, logits, maps, inside = grids()
    for tensor in (foreground, background, logits):
        tensor.requires_grad_()
    total = similarity_loss(foreground, background, inside)
    (total + segmentation_loss(logits, maps, inside)).backward()
    for tensor in (foreground, background, logits):
        assert tensor.grad is not None
        assert not bool(tensor.grad.transpose(0, 1)[:, ~inside].any())
        assert bool(tensor.grad.transpose(0, 1)[:, inside].any())


def test_a_batch_of_padding_alone_is_no_error() -> None:
    foreground, background, logits, maps, inside = grids()
    nothing = torch.zeros_like(inside)
    assert float(similarity_loss(foreground, background, nothing)) == 0
    assert float(segmentation_loss(logits, maps, nothing)) == 0
