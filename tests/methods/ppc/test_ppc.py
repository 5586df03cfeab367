"""PPC as a room: its options, and that it is its host."""

from __future__ import annotations

import pytest
import torch

from tag2mask.errors import InputError
from tag2mask.methods import METHODS
from tag2mask.methods.ppc import PPC, PPCOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.types import TagBatch


def test_it_is_in_the_table() -> None:
    assert METHODS["ppc"] is PPC
    assert PPC.Options is PPCOptions


def test_options_reach_the_host() -> None:
    options = PPCOptions(scale=0.34, contrast=0.3, background=0.4)
    torch.manual_seed(0)
    room = PPC(options, Backbone(BackboneOptions("test_efficientnet", "none")), 3)
    assert (room.scale, room.contrast, room.background) == (0.34, 0.3, 0.4)
    given = TagBatch(("a",), torch.rand(1, 3, 96, 96) * 255, torch.tensor([[True, False, True]]))
    assert set(room.losses(given, 0.0)) == {
        "tags", "lowest", "equivariance", "cross", "cross prototype", "cross label", "intra view",
    }  # fmt: skip
    maps = room.localize(given.images, given.tags)
    torch.testing.assert_close(maps, room.evidence(given.images, given.tags))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": 1.0}, r"--ppc.scale 1.0 came; expected a share of the side"),
        ({"contrast": 0.0}, r"--ppc.contrast 0.0 came; .* use --method seam"),
        ({"background": 1.0}, r"--ppc.background 1.0 came; expected a level"),
    ],
)
def test_options_that_no_training_can_have(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PPCOptions(**wrong)
