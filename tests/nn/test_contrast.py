"""Contrast with prototypes against its loops; who learns; no prototype, no label, one label."""

from __future__ import annotations

import pytest
import torch
from oracles import equivariance as oracle
from torch import Tensor

from tag2mask.nn.contrast import contrast_loss, semi_hard, semi_hard_loss

Given = tuple[Tensor, Tensor, Tensor, Tensor]


def example(seed: int = 0, labels: int = 6, cells: int = 40) -> Given:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(cells, 5, dtype=torch.float64, generator=generator)
    shown = torch.randint(0, labels, (cells,), generator=generator)
    shown[::7] = 255
    prototypes = torch.randn(labels, 5, dtype=torch.float64, generator=generator)
    present = torch.ones(labels, dtype=torch.bool)
    present[2] = False
    return rows, shown, prototypes, present


def loop_values(given: Given) -> tuple[object, list[int], dict[int, object]]:
    rows, shown, prototypes, present = given
    known = {int(n): prototypes[n].numpy() for n in present.nonzero()[:, 0]}
    return rows.numpy(), shown.tolist(), known


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_contrast_is_its_equation(temperature: float) -> None:
    given = example()
    expected = oracle.contrast(*loop_values(given), temperature)  # type: ignore[arg-type]
    assert float(contrast_loss(*given, temperature)) == pytest.approx(expected, 1e-9)


@pytest.mark.parametrize("labels", [3, 6, 21])
def test_semi_hard_contrast_is_its_equation(labels: int) -> None:
    given = example(labels=labels, cells=150)
    _, shown, _, present = given
    torch.manual_seed(3)
    found = float(semi_hard_loss(*given, 0.1))
    torch.manual_seed(3)
    halves = {}
    for label in range(labels):
        count = int((shown == label).sum())
        if count and present[label]:
            halves[label] = torch.randperm(count)[: (count + 1) // 2].tolist()
    expected = oracle.semi_hard(*loop_values(given), 0.1, halves)  # type: ignore[arg-type]
    assert found == pytest.approx(expected, 1e-9)


def test_of_20_others_the_3rd_to_the_12th_are_semi_hard() -> None:
    assert list(range(20))[semi_hard(20)] == list(range(2, 12))
    assert [len(range(n)[semi_hard(n)]) for n in (0, 1, 2, 5, 10)] == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("loss", [contrast_loss, semi_hard_loss])
def test_cells_learn_and_prototypes_do_not(loss) -> None:  # type: ignore[no-untyped-def]
    rows, shown, prototypes, present = example()
    for tensor in (rows, prototypes):
        tensor.requires_grad_()
    loss(rows, shown, prototypes, present, 0.1).backward()
    assert prototypes.grad is None
    assert rows.grad is not None
    moved = (rows.grad != 0).any(dim=1)
    assert not bool(moved[(shown == 255) | (shown == 2)].any())
    if loss is contrast_loss:
        assert bool(moved[(shown != 255) & (shown != 2)].all())


def test_a_step_brings_cells_nearer_to_their_prototypes() -> None:
    rows, shown, prototypes, present = example()
    rows.requires_grad_()
    contrast_loss(rows, shown, prototypes, present, 0.1).backward()
    asked = (shown != 255) & (shown != 2)
    own = prototypes[shown[asked]]
    nearer = rows.detach() - 1.0 * rows.grad  # type: ignore[operator]
    before = torch.cosine_similarity(rows.detach()[asked], own).mean()
    assert float(torch.cosine_similarity(nearer[asked], own).mean()) > float(before)


@pytest.mark.parametrize("loss", [contrast_loss, semi_hard_loss])
@pytest.mark.parametrize("case", ["no prototype", "no label", "one label", "zero cells"])
def test_nothing_to_compare_is_zero_with_a_zero_gradient(loss, case: str) -> None:  # type: ignore[no-untyped-def]
    rows, shown, prototypes, present = example()
    if case == "no prototype":
        present = torch.zeros_like(present)
    elif case == "no label":
        shown = torch.full_like(shown, 255)
    elif case == "one label":
        present = torch.arange(6) == 4
    else:
        rows = torch.zeros_like(rows)  # every cosine is zero: nothing pulls anywhere finite
    rows.requires_grad_()
    value = loss(rows, shown, prototypes, present, 0.1)
    value.backward()
    assert rows.grad is not None
    assert bool(rows.grad.isfinite().all())
    if case != "zero cells":
        assert float(value.detach()) == 0
        assert bool((rows.grad == 0).all())


def test_half_precision_is_not_kept() -> None:
    rows, shown, prototypes, present = example()
    exact = contrast_loss(rows.float(), shown, prototypes.float(), present, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        found = contrast_loss(rows.float(), shown, prototypes.float(), present, 0.1)
    assert found.dtype is torch.float32
    assert torch.equal(found, exact)
