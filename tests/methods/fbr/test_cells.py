"""Which cells are asked, against a loop over cells."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import fbr as oracle
from torch import Tensor

from tag2mask.methods.fbr.cells import confident, uncertain
from tag2mask.nn.labels import cell_labels
from tag2mask.types import BACKGROUND, UNKNOWN


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    """Maps of three photographs with other tags each, the last one without; some cells padding."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(3, 4, 30, dtype=torch.float64, generator=generator) ** 3
    tags = torch.tensor([[1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]])
    inside = torch.rand(3, 30, generator=generator) < 0.9
    return maps * tags[..., None], inside


@given(
    st.integers(0, 300),
    st.sampled_from([0.1, 0.3]),
    st.sampled_from([0.0, 0.4, 0.6, 1.0]),
    st.sampled_from([0.1, 0.25, 0.8]),
)
def test_labels_and_queries_are_the_loops(
    seed: int, level: float, sure: float, clear: float
) -> None:
    maps, inside = drawn(seed)
    labels = cell_labels(maps, inside, level)
    asked = uncertain(maps, labels, level, sure, clear)
    for n in range(len(maps)):
        expected = oracle.cells(maps[n].numpy(), inside[n].numpy(), level, sure, clear)
        assert labels[n].tolist() == expected[0]
        assert asked[n].tolist() == expected[1]


def test_the_cut_stands_where_python_puts_it() -> None:
    """A product in single precision is floored; it must not land one place lower."""
    for sure in (0.4, 0.6):
        for count in range(1, 300):
            maps = torch.arange(1, count + 1)[None, None] / count
            found = confident(maps, torch.ones(1, count, dtype=torch.int64), sure)
            assert int((~found).sum()) == int(sure * count) + 1


def test_background_and_padding_are_never_asked() -> None:
    maps, inside = drawn(1)
    labels = cell_labels(maps, inside, 0.1)
    asked = uncertain(maps, labels, 0.1, 1.0, 0.0)
    assert bool(asked.any())
    assert not bool(asked[(labels == BACKGROUND) | (labels == UNKNOWN)].any())
    assert bool((labels[~inside] == UNKNOWN).all())
    assert bool((labels[2][inside[2]] == BACKGROUND).all())


def test_the_order_of_classes_does_not_matter() -> None:
    maps, inside = drawn(2)
    order = torch.tensor([2, 0, 3, 1])
    asked = [
        uncertain(one, cell_labels(one, inside, 0.1), 0.1, 0.6, 0.1)
        for one in (maps, maps[:, order])
    ]
    assert torch.equal(*asked)


def test_a_photograph_of_one_class_alone_and_one_of_padding_alone() -> None:
    maps = 0.5 + torch.rand(2, 1, 20) / 2
    inside = torch.tensor([True, False])[:, None].expand(2, 20)
    labels = cell_labels(maps, inside, 0.1)
    assert labels.tolist() == [[1] * 20, [UNKNOWN] * 20]
    asked = uncertain(maps, labels, 0.1, 0.6, 0.1)
    assert 0 < int(asked[0].sum()) < 20
    assert not bool(asked[1].any())
