"""Learning from seeds, against a loop; what is left of it where labels are missing."""

from __future__ import annotations

import pytest
import torch
from oracles import seeds as oracle
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.nn.seeds import SeedOptions, balanced_loss, on_cells

LABELS = {
    "all kinds": [0, 0, 1, 2, 3, 255],
    "no foreground": [0, 0, 0, 255],
    "no background": [1, 3, 255],
    "one kind of cell": [2],
}


def drawn(values: list[int], classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, classes + 1, 4, 5, generator=generator, dtype=torch.float64)
    places = torch.randint(len(values), (2, 4, 5), generator=generator)
    return logits, torch.tensor(values)[places]


@pytest.mark.parametrize("smoothing", [0.0, 0.4])
@pytest.mark.parametrize("kind", LABELS)
def test_the_loss_is_its_formula(kind: str, smoothing: float) -> None:
    logits, labels = drawn(LABELS[kind])
    found = balanced_loss(logits, labels, smoothing)
    assert float(found) == pytest.approx(oracle.balanced_loss(logits, labels, smoothing), rel=1e-9)


def test_without_smoothing_and_balance_it_is_cross_entropy() -> None:
    logits, labels = drawn([1, 2, 255])
    expected = functional.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(balanced_loss(logits, labels, 0.0), expected / 2)


def test_one_class_is_enough() -> None:
    logits, labels = drawn([0, 1, 255], classes=1)
    found = balanced_loss(logits, labels, 0.4)
    assert float(found) == pytest.approx(oracle.balanced_loss(logits, labels, 0.4), rel=1e-9)


def test_what_is_believed_of_a_cell_adds_up_to_one() -> None:
    """The gradient is p − q, and both add up to one; where p is even, q can be read from it."""
    _, labels = drawn([0, 1, 2, 3])
    logits = torch.zeros(2, 4, 4, 5, dtype=torch.float64, requires_grad=True)
    balanced_loss(logits, labels, 0.4).backward()
    background = labels == 0
    counts = torch.where(background, background.sum(), (~background).sum())
    believed = 1 / 4 - 2 * logits.grad * counts[:, None]  # type: ignore[operator]
    torch.testing.assert_close(believed.sum(dim=1), torch.ones(2, 4, 5, dtype=torch.float64))
    expected = functional.one_hot(labels, 4).movedim(-1, 1).double() * (0.6 - 0.4 / 3) + 0.4 / 3
    torch.testing.assert_close(believed, expected)


def test_its_gradient() -> None:
    logits, labels = drawn(LABELS["all kinds"])
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: balanced_loss(z, labels, 0.4), (logits,))


def test_unknown_cells_teach_nothing() -> None:
    logits, labels = drawn(LABELS["all kinds"])
    logits.requires_grad_()
    balanced_loss(logits, labels, 0.4).backward()
    assert logits.grad is not None
    taught = logits.grad.abs().sum(dim=1) > 0
    assert torch.equal(taught, labels != 255)


def test_nothing_known_is_a_loss_of_zero_with_a_gradient_of_zero() -> None:
    logits = torch.randn(2, 4, 3, 3, requires_grad=True)
    loss = balanced_loss(logits, torch.full((2, 3, 3), 255), 0.4)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert float(logits.grad.abs().sum()) == 0


def test_background_and_foreground_weigh_the_same_however_many() -> None:
    logits, _ = drawn([0])
    logits[...] = logits[:1, :, :1, :1]  # the same everywhere
    few, many = torch.zeros(2, 4, 5, dtype=torch.int64), torch.zeros(2, 4, 5, dtype=torch.int64)
    few[0, 0, 0], many[:, :, :4] = 2, 2
    torch.testing.assert_close(balanced_loss(logits, few, 0.4), balanced_loss(logits, many, 0.4))


def test_half_precision_is_left_before_the_logarithm() -> None:
    logits, labels = drawn(LABELS["all kinds"])
    found = balanced_loss(logits.to(torch.bfloat16), labels, 0.4)
    assert found.dtype == torch.float32


def test_cells_take_the_label_in_their_middle() -> None:
    labels = torch.arange(2 * 6 * 9).view(2, 6, 9) % 7
    labels[labels == 5] = 255
    assert torch.equal(on_cells(labels, (2, 3)), labels[:, 1::3, 1::3])
    assert torch.equal(on_cells(labels, (6, 9)), labels)


@pytest.mark.parametrize("levels", [(0.3, 0.4), (1.0, 0.1), (0.3, 0.0)])
def test_levels_that_cannot_be_are_refused(levels: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="the first not above the second"):
        SeedOptions(*levels)
