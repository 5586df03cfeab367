"""A learned affinity as a refiner: the walk by the matrix of what the network says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles.walk import near_pairs, transition_matrix, walk_by_matrix
from torch import Tensor
from torch.nn import functional

from tag2mask.affinity import IRN, LEARNED, AffinityWalk, IRNOptions
from tag2mask.affinity.pairs import on_full_grid, path_affinity
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.views import resize
from tag2mask.nn.walk import half_disc
from tag2mask.types import CamSet


def refiner(name: str, long_side: float = 64.0, **options: float) -> AffinityWalk:
    torch.manual_seed(0)
    kind = LEARNED[name]
    network = kind(kind.Options(**options), Backbone(BackboneOptions("test_efficientnet", "none")))
    return AffinityWalk(network, long_side)


@pytest.mark.parametrize("name", LEARNED)
def test_maps_walk_by_the_affinity_of_the_photograph(name: str) -> None:
    walking = refiner(name, beta=3.0, walk=40)
    image = torch.randint(0, 256, (3, 90, 61), dtype=torch.uint8)
    maps = torch.rand(2, 5, 4)
    with torch.no_grad():
        affinity, kept = walking.network.near(resize(image, (64, 48))[None].float())
    size = (kept.shape[1], kept.shape[2])
    assert size == (64 // walking.network.cell, 48 // walking.network.cell)
    coarse = functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
    matrix = transition_matrix(affinity[0].double().numpy(), near_pairs(5), 3.0)
    walked = walk_by_matrix((coarse * kept[0]).double().numpy(), matrix, 40)
    found = walking(image, CamSet("a", torch.tensor([2, 5]), maps, (90, 61)))
    np.testing.assert_allclose(found.maps.numpy(), walked / walked.max(), rtol=0, atol=1e-5)
    assert (found.id, found.classes.tolist(), found.size) == ("a", [2, 5], (90, 61))


def test_a_weak_class_stays_weak() -> None:
    image = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    maps = torch.stack([torch.full((4, 4), 0.8), torch.full((4, 4), 0.2)])
    found = refiner("irn")(image, CamSet("a", torch.tensor([1, 2]), maps, (64, 64))).maps
    assert float(found[0].max()) == 1
    torch.testing.assert_close(found[1], found[0] / 4)


class Walled(IRN):  # type: ignore[misc]  # final, but here only the edges are drawn
    """A wall of edges through the middle, whatever the photograph."""

    def near(self, images: Tensor) -> tuple[Tensor, Tensor]:
        edges = torch.zeros(1, 16, 16)
        edges[:, :, 8] = 1
        found = [on_full_grid(path_affinity(edges, s), s, (16, 16)) for s in half_disc(5)]
        return torch.stack(found, dim=1), 1 - edges


def test_evidence_spreads_up_to_a_wall_of_edges() -> None:
    network = Walled(IRNOptions(), Backbone(BackboneOptions("test_efficientnet", "none")))
    maps = torch.zeros(1, 16, 16)
    maps[:, 4:12, 2:5] = 1
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    cams = CamSet("a", torch.tensor([1]), maps, (64, 64))
    found = AffinityWalk(network, 64.0)(image, cams).maps[0]
    assert float(found[:, :8].min()) > 0.5
    assert not found[:, 8:].any()
