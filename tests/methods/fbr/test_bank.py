"""The bank: first in, first out, the same after saving and in every process."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.two_banks import fill, pushes
from torch import Tensor, multiprocessing

from tag2mask.methods.fbr.bank import Bank, background_kinds
from tag2mask.storage import read_tensors, write_tensors


def rows(start: int, count: int) -> Tensor:
    return torch.arange(start, start + count).float()[:, None].repeat(1, 3)


def kept(bank: Bank) -> list[float]:
    """Oldest first."""
    count, cursor = int(bank.count), int(bank.cursor)
    full = count == len(bank.vectors)
    vectors = bank.vectors.roll(-cursor, 0) if full else bank.vectors[:count]
    return vectors[:, 0].tolist()


@given(st.lists(st.integers(0, 12), max_size=8))
def test_the_last_ones_are_kept_in_order(counts: list[int]) -> None:
    bank, expected, start = Bank(7, 3), deque[float](maxlen=7), 0
    for count in counts:
        bank.push(rows(start, count))
        expected.extend(float(n) for n in range(start, start + count))
        start += count
    assert kept(bank) == list(expected)


def test_what_is_drawn_is_in_the_bank_each_alike() -> None:
    bank = Bank(10, 3)
    bank.push(rows(1, 4))
    drawn = bank.draw(2, 20_000)[..., 0]
    for value in range(1, 5):
        assert float((drawn == value).double().mean()) == pytest.approx(0.25, abs=0.015)
    assert set(drawn.flatten().tolist()) == {1.0, 2.0, 3.0, 4.0}


def test_an_empty_bank_gives_none() -> None:
    assert Bank(10, 3).draw(2, 5).shape == (2, 0, 3)


@pytest.mark.parametrize("counts", [(), (3,), (5, 4), (7,), (4, 9)])
def test_a_saved_bank_goes_on_as_it_was(counts: tuple[int, ...], tmp_path: Path) -> None:
    bank, other = Bank(7, 3), Bank(7, 3)
    other.push(rows(50, 6))
    for number, count in enumerate(counts):
        bank.push(rows(10 * number, count))
    write_tensors(tmp_path / "bank.safetensors", dict(bank.state_dict()))
    other.load_state_dict(read_tensors(tmp_path / "bank.safetensors"))
    for one in (bank, other):
        one.push(rows(90, 2))
    assert kept(other) == kept(bank)
    for one, same in zip(bank.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, same)


def test_empty_places_are_not_saved() -> None:
    bank = Bank(50, 3)
    bank.push(rows(0, 4))
    assert bank.state_dict()["vectors"].shape == (4, 3)


def test_no_gradient_enters_the_bank() -> None:
    bank = Bank(5, 3)
    bank.push(rows(0, 2).requires_grad_())
    assert not bank.draw(1, 2).requires_grad


def test_kinds_are_of_the_background_alone() -> None:
    features = torch.randn(3, 20, 4)
    background = torch.zeros(3, 20, dtype=torch.bool)
    background[0, :3] = True
    background[1] = True
    found = background_kinds(features, background, 8)
    assert len(found) == 3 + 8
    assert torch.equal(found[:3], features[0, :3])
    torch.testing.assert_close(found[3:].amax(), features[1].amax(), rtol=1.0, atol=0)
    assert len(background_kinds(features, torch.zeros_like(background), 8)) == 0


@pytest.mark.slow
def test_two_processes_have_one_bank(tmp_path: Path) -> None:
    multiprocessing.spawn(fill, (tmp_path,), nprocs=2)
    banks = [Bank(5, 2), *(read_tensors(tmp_path / f"{rank}.safetensors") for rank in (0, 1))]
    alone, first, second = banks
    for step in range(3):
        alone.push(torch.cat([pushes(rank, step) for rank in (0, 1)]))
    for name, tensor in alone.state_dict().items():
        assert torch.equal(first[name], tensor), name
        assert torch.equal(second[name], tensor), name
