"""Displacements to objects: drawn fields with known middles, and the same as loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import instances as oracle
from torch import Tensor

from tag2mask.affinity import IRN, AffinityWalk, InstanceOptions, IRNOptions, ObjectWalk
from tag2mask.affinity.instances import (
    STEPS,
    foreground_mean,
    objects,
    peaks,
    settled,
    strongest,
    told_apart,
)
from tag2mask.errors import InputError
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.parts import numbered_instances
from tag2mask.types import UNKNOWN, CamSet


def drawn(middles: list[tuple[float, float]], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A field in which every cell points to the nearest middle, and which one that is."""
    cells = torch.stack(
        torch.meshgrid(*(torch.arange(float(e)) for e in size), indexing="ij"), dim=-1
    )
    targets = torch.tensor(middles)
    nearest = torch.cdist(cells.flatten(0, 1), targets).argmin(dim=1).view(size)
    return (targets[nearest] - cells).permute(2, 0, 1).contiguous(), nearest


def same_division(found: Tensor, expected: Tensor) -> bool:
    pairs = set(zip(found.flatten().tolist(), expected.flatten().tolist(), strict=True))
    return len(pairs) == len(found.unique()) == len(expected.unique())


def test_every_cell_settles_in_its_middle() -> None:
    field, nearest = drawn([(5.0, 4.0), (5.0, 15.0), (16.0, 9.0)], (22, 20))
    found = objects(field, 2.5)
    assert same_division(found, nearest)
    places = settled(field)
    torch.testing.assert_close(places[:, 0, 0], torch.tensor([5.0, 4.0]))
    torch.testing.assert_close(places[:, 21, 9], torch.tensor([16.0, 9.0]))


def test_a_short_way_at_a_time_ends_at_the_same_place() -> None:
    """Displacements that are learned short still lead to the middle."""
    field, nearest = drawn([(5.0, 4.0), (15.0, 15.0)], (20, 20))
    assert same_division(objects(0.4 * field, 1.0), nearest)


def test_settling_is_the_loop() -> None:
    field = torch.randn(2, 7, 6, dtype=torch.float64)
    expected = oracle.settled(field.numpy(), 5)
    np.testing.assert_allclose(settled(field, 5).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("size", [(1, 6), (6, 1), (9, 8)])
def test_objects_are_those_of_the_loop(size: tuple[int, int]) -> None:
    middles = [(0.3 * size[0], 0.2 * size[1]), (0.7 * size[0], 0.8 * size[1])]
    field = 0.5 * drawn(middles, size)[0].double()
    field += 0.1 * torch.randn(2, *size, dtype=torch.float64)  # more, and an orbit may be chaotic
    expected = torch.zeros(size, dtype=torch.int64)
    for number, cells in enumerate(oracle.objects(field.numpy(), 1.5, STEPS)):
        for cell in cells:
            expected[cell] = number
    assert same_division(objects(field, 1.5), expected)


def test_the_mean_is_that_of_foreground_cells() -> None:
    field, labels = torch.randn(2, 4, 4), torch.zeros(16, 16, dtype=torch.uint8)
    labels[:4, :4], labels[4:8, :4], labels[8:, 8:] = 1, 3, UNKNOWN
    other = torch.randn(2, 2, 2), torch.full((2, 2), 2, dtype=torch.uint8)
    known = torch.cat([field[:, :2, 0], other[0].flatten(1)], dim=1)
    torch.testing.assert_close(foreground_mean([(field, labels), other]), known.mean(dim=1))
    assert foreground_mean([]).tolist() == [0, 0]


def test_a_shifted_field_is_centred_by_its_mean() -> None:
    field, nearest = drawn([(4.5, 4.5), (4.5, 14.5)], (10, 20))
    shifted = field + torch.tensor([3.0, -2.0]).view(2, 1, 1)
    labels = torch.ones(40, 80, dtype=torch.uint8)
    mean = foreground_mean([(shifted, labels)])
    torch.testing.assert_close(mean, torch.tensor([3.0, -2.0]))
    assert same_division(objects(shifted - mean.view(2, 1, 1), 2.5), nearest)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.05, 0.2]))
def test_parts_are_those_of_the_loop(seed: int, share: float) -> None:
    draw = np.random.default_rng(seed)
    labels = draw.choice(np.array([0, 1, 2, 255], dtype=np.uint8), (9, 8), p=[0.3, 0.4, 0.2, 0.1])
    zones = draw.integers(0, 2, (9, 8))
    shares = torch.from_numpy(np.stack([zones == n for n in (0, 1, 0, 1)])).float()
    ids = told_apart(torch.from_numpy(labels), torch.tensor([1, 1, 2, 2]), shares, share)
    expected = oracle.large_parts(labels, zones, share)
    found = [
        (int(labels[y, x]), {(int(r), int(c)) for r, c in np.argwhere(ids.numpy() == n)})
        for n in range(1, int(ids.max()) + 1)
        for y, x in [np.argwhere(ids.numpy() == n)[0]]
    ]
    assert {(label, frozenset(part)) for label, part in found} == {
        (label, frozenset(part)) for label, part in expected
    }
    sizes = [len(part) for _, part in found]
    assert sizes == sorted(sizes, reverse=True)


def test_a_class_without_a_share_stays_whole() -> None:
    labels = torch.zeros(4, 6, dtype=torch.uint8)
    labels[:, :2], labels[:, 4:] = 1, 2
    ids = told_apart(labels, torch.tensor([1]), torch.ones(1, 2, 3), 0.0)
    assert ids.unique().tolist() == [0, 1, 2]
    assert strongest(torch.zeros(0, 2, 3), (4, 6)).shape == (4, 6)


def test_touching_objects_are_told_apart_by_their_shares() -> None:
    labels = torch.zeros(8, 16, dtype=torch.uint8)
    labels[2:6, 2:14] = 1
    shares = torch.tensor([[[1.0, 0.2]], [[0.1, 0.6]]])
    ids = told_apart(labels, torch.tensor([1, 1]), shares, 0.01)
    assert sorted(ids.unique().tolist()) == [0, 1, 2]
    assert ids[3, 3] != ids[3, 12]
    assert bool(((ids > 0) == (labels > 0)).all())


def test_scores_are_the_peaks_of_the_class_inside() -> None:
    ids = torch.zeros(4, 8, dtype=torch.uint8)
    ids[:, :2], ids[:, 6:] = 1, 2
    found = numbered_instances("a", (ids > 0).byte() * 3, ids)
    maps = torch.zeros(2, 4, 8)
    maps[1, 1, 1], maps[1, 2, 7], maps[1, 2, 4], maps[0, 0, 0] = 0.5, 0.25, 1.0, 0.9
    cams = CamSet("a", torch.tensor([1, 3]), maps, (4, 8))
    assert peaks(cams, found).tolist() == [0.5, 0.25]


@pytest.fixture(scope="module")
def network() -> IRN:
    torch.manual_seed(0)
    trunk = Backbone(BackboneOptions("test_efficientnet", "none"))
    return IRN(IRNOptions(width=32, radius=3, walk=8), trunk).eval()


def cams_of(size: tuple[int, int]) -> CamSet:
    return CamSet("a", torch.tensor([2, 5]), torch.rand(2, 8, 8), size)


def test_the_shares_of_a_class_add_up_to_its_walk(network: IRN) -> None:
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    cams, found = cams_of((64, 64)), torch.arange(256).view(16, 16) % 3
    walk = ObjectWalk(network, 64.0, torch.zeros(2), InstanceOptions())
    with torch.no_grad():
        edges, _ = network.look(image[None].float())
        classes, shares = walk.shares(cams, found, edges)
    assert classes.tolist() == [2, 2, 2, 5, 5, 5]
    whole = torch.stack([shares[classes == label].sum(dim=0) for label in (2, 5)])
    expected = AffinityWalk(network, 64.0)(image, cams).maps
    torch.testing.assert_close(whole / whole.max(), expected, rtol=1e-3, atol=1e-5)


def test_a_field_of_two_objects_parts_one_class(
    network: IRN, monkeypatch: pytest.MonkeyPatch
) -> None:
    field, nearest = drawn([(8.0, 3.0), (8.0, 12.0)], (16, 16))
    mean = torch.tensor([1.5, -1.0])
    edges = torch.full((1, 16, 16), 0.9)
    told = field + mean.view(2, 1, 1)
    monkeypatch.setattr(network, "look", lambda images: (edges, told[None]))
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    labels = torch.full((64, 64), 2, dtype=torch.uint8)
    cams = CamSet("a", torch.tensor([2]), torch.ones(1, 8, 8), (64, 64))
    ids = ObjectWalk(network, 64.0, mean, InstanceOptions())(image, cams, labels)
    assert sorted(ids.unique().tolist()) == [1, 2]
    cells = ids[2::4, 2::4].long()
    assert same_division(cells, nearest)
    empty = CamSet("a", torch.tensor([2]), torch.zeros(1, 8, 8), (64, 64))
    whole = ObjectWalk(network, 64.0, mean, InstanceOptions())(image, empty, labels)
    assert whole.unique().tolist() == [1]
    untagged = CamSet("a", torch.zeros(0, dtype=torch.int64), torch.zeros(0, 8, 8), (64, 64))
    none = ObjectWalk(network, 64.0, mean, InstanceOptions())(image, untagged, 0 * labels)
    assert not none.any()


@pytest.mark.parametrize("side", [16, 48])
def test_middles_are_as_wide_as_a_share_of_the_grid_says(
    network: IRN, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    """Two objects beside each other, every cell of which points a sixth of the side to its own."""
    field = torch.zeros(2, side, side)
    field[1, :, side // 2 :] = side / 6
    field[1, :, : side // 2] = -side / 6
    field[:, :, : side // 8] = field[:, :, -side // 8 :] = 0
    edges = torch.full((1, side, side), 0.9)
    monkeypatch.setattr(network, "look", lambda images: (edges, field[None]))
    image = torch.zeros(3, 4 * side, 4 * side, dtype=torch.uint8)
    labels = torch.full((4 * side, 4 * side), 2, dtype=torch.uint8)
    cams = CamSet("a", torch.tensor([2]), torch.ones(1, 8, 8), (4 * side, 4 * side))
    found = [
        ObjectWalk(network, 4.0 * side, torch.zeros(2), InstanceOptions(near))(image, cams, labels)
        for near in (0.1, 0.2, side / 7, side / 5)
    ]
    assert [len(ids.unique()) for ids in found] == [2, 1, 2, 1]


@pytest.mark.parametrize("options", [{"near": 0.0}, {"share": 1.0}, {"share": -0.1}])
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"--instance\.near .* with --instance\.share"):
        InstanceOptions(**options)
