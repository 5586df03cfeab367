"""What every refiner keeps, whatever comes."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch

from tag2mask.affinity import LEARNED, AffinityWalk
from tag2mask.errors import InputError
from tag2mask.masks import threshold
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.refine import REFINERS, Refiner
from tag2mask.types import CamSet, Size

SIZES = [(1, 1), (1, 40), (40, 1), (2, 3), (31, 47)]


@pytest.fixture(params=[*REFINERS, *LEARNED])
def refiner(request: pytest.FixtureRequest) -> Refiner:
    name: str = request.param
    return learned(name) if name in LEARNED else REFINERS[name]()


@cache
def learned(name: str) -> AffinityWalk:
    """As it is before its training."""
    kind = LEARNED[name]
    trunk = Backbone(BackboneOptions("test_efficientnet", "none"))
    return AffinityWalk(kind(kind.Options(), trunk), 48.0)


def photograph(size: Size, constant: bool = False) -> torch.Tensor:
    if constant:
        return torch.full((3, *size), 90, dtype=torch.uint8)
    return torch.randint(0, 256, (3, *size), dtype=torch.uint8)


def cams(maps: torch.Tensor, size: Size) -> CamSet:
    return CamSet("a/b", torch.arange(1, len(maps) + 1), maps, size)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("cells", [(1, 1), (3, 4)])
@pytest.mark.parametrize("size", SIZES)
def test_photographs_of_any_size(refiner: Refiner, size: Size, cells: Size, constant: bool) -> None:
    given = cams(torch.rand(2, *cells), size)
    found = refiner(photograph(size, constant), given)
    assert (found.id, found.size, found.classes.tolist()) == ("a/b", size, [1, 2])
    assert found.maps.min() >= 0
    assert found.maps.max() <= 1
    assert threshold(found, 0.5).labels.shape == size


@pytest.mark.parametrize("size", SIZES)
def test_maps_without_evidence_stay_zero(refiner: Refiner, size: Size) -> None:
    found = refiner(photograph(size), cams(torch.zeros(2, 3, 4), size))
    assert not found.maps.any()
    assert not threshold(found, 0.0).labels.any()


def test_one_map_without_evidence_stays_zero_beside_another(refiner: Refiner) -> None:
    maps = torch.stack([torch.zeros(3, 4), torch.rand(3, 4)])
    found = refiner(photograph((31, 47)), cams(maps, (31, 47))).maps
    assert not found[0].any()
    assert found[1].any()


def test_a_photograph_without_tags(refiner: Refiner) -> None:
    found = refiner(photograph((1, 1)), cams(torch.zeros(0, 1, 1), (1, 1)))
    assert found.maps.shape[0] == len(found.classes) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_by_name(refiner: Refiner, value: float) -> None:
    maps = torch.rand(2, 3, 4)
    maps[1, 2, 3] = value
    with pytest.raises(InputError, match="photograph 'a/b' hold NaN or infinity"):
        refiner(photograph((31, 47)), cams(maps, (31, 47)))


def test_maps_of_another_photograph_are_refused(refiner: Refiner) -> None:
    with pytest.raises(InputError, match=r"'a/b' has \(31, 46\) pixels.*\(31, 47\)"):
        refiner(photograph((31, 46)), cams(torch.rand(2, 3, 4), (31, 47)))
