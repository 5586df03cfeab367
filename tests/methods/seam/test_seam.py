"""SEAM as a room: its options, and that it is its host."""

from __future__ import annotations

import pytest
import torch

from tag2mask.errors import InputError
from tag2mask.methods import METHODS
from tag2mask.methods.seam import SEAM, SEAMOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.types import TagBatch


def test_it_is_in_the_table() -> None:
    assert METHODS["seam"] is SEAM
    assert SEAM.Options is SEAMOptions


def test_the_option_is_the_second_views_size() -> None:
    torch.manual_seed(0)
    room = SEAM(SEAMOptions(scale=0.34), Backbone(BackboneOptions("test_efficientnet", "none")), 3)
    given = TagBatch(("a",), torch.rand(1, 3, 96, 96) * 255, torch.tensor([[True, False, True]]))
    terms, views = room.look(given, 0.0)
    assert [tuple(view.features.shape[2:]) for view in views] == [(6, 6), (3, 3)]
    torch.testing.assert_close(room.losses(given, 0.0), terms)
    maps = room.localize(given.images, given.tags)
    torch.testing.assert_close(maps, room.evidence(given.images, given.tags))


@pytest.mark.parametrize("scale", [0.0, 1.0, -0.3])
def test_a_second_view_is_smaller(scale: float) -> None:
    with pytest.raises(InputError, match=f"--seam.scale {scale} came; expected a share of"):
        SEAMOptions(scale=scale)
