"""AMN learns where its seeds are, and nothing of them is needed to ask it."""

from __future__ import annotations

import pytest
import torch

from tag2mask.errors import InputError
from tag2mask.methods import METHODS
from tag2mask.methods.amn import AMN, AMNOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.seeds import SeedOptions
from tag2mask.types import Cue, TagBatch


def test_it_is_in_the_table() -> None:
    assert METHODS["amn"] is AMN
    assert AMN.Options is AMNOptions
    assert AMN.needs == {Cue.SEEDS}


def quarters() -> TagBatch:
    """Class 1 is red and at the upper left, class 2 blue and at the lower right."""
    images = torch.full((2, 3, 96, 96), 120.0)
    seeds = torch.zeros(2, 96, 96, dtype=torch.int64)
    images[0, 0, :48, :48], seeds[0, :48, :48] = 250, 1
    images[1, 2, 48:, 48:], seeds[1, 48:, 48:] = 250, 2
    seeds[:, 40:56], seeds[:, :, 40:56] = 255, 255
    tags = torch.tensor([[True, False], [False, True]])
    return TagBatch(("a", "b"), images, tags, {Cue.SEEDS: seeds})


def test_it_learns_where_the_seeds_are() -> None:
    torch.manual_seed(0)
    backbone = Backbone(BackboneOptions("test_efficientnet", "none"))
    method, given = AMN(AMNOptions(rate=1e-3, dropout=0.0), backbone, 2).train(), quarters()
    (optimizer,) = method.optimizers()
    for _ in range(60):
        method.losses(given, 0.5)["seeds"].backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.inference_mode():
        maps = method.eval().localize(given.images, given.tags)
    seen, elsewhere = maps[0, 0, :2, :2].mean(), maps[0, 0, 4:, 4:].mean()
    assert float(seen) > 0.6 > 0.2 > float(elsewhere)
    seen, elsewhere = maps[1, 1, 4:, 4:].mean(), maps[1, 1, :2, :2].mean()
    assert float(seen) > 0.6 > 0.2 > float(elsewhere)
    assert float(maps[0, 1].max()) == 0  # not tagged


def test_its_options_reach_the_host_and_the_seeds() -> None:
    backbone = Backbone(BackboneOptions("test_efficientnet", "none"))
    options = AMNOptions(foreground=0.4, background=0.1, smoothing=0.2, dropout=0.3)
    method = AMN(options, backbone, 2)
    assert (method.smoothing, method.dropout.p) == (0.2, 0.3)
    assert options.seeds == SeedOptions(0.4, 0.1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"smoothing": 1.0}, "--amn.smoothing 1.0 came"),
        ({"dropout": -0.1}, "--amn.dropout -0.1 came"),
        ({"background": 0.5}, "--amn.background 0.5 and --amn.foreground 0.3 came"),
    ],
)
def test_options_that_cannot_be_are_refused(given: dict[str, float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        AMNOptions(**given)
