"""Inner stages of every kind of network, seen in passing."""

from __future__ import annotations

import pytest
import torch

from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.host import stage
from tag2mask.nn.taps import as_grid, inner_stages, watching


@pytest.mark.parametrize(
    ("name", "stride", "names", "reductions"),
    [
        ("test_efficientnet", 16, ["blocks.2", "blocks.3"], [8, 16]),
        ("test_resnet", 16, ["layer2", "layer3"], [8, 16]),
        ("test_convnext", 32, ["stages.1", "stages.2"], [8, 16]),
        ("test_vit", 16, ["blocks.3", "blocks.4"], [16, 16]),
    ],
)
def test_the_two_stages_before_the_last_are_seen(
    name: str, stride: int, names: list[str], reductions: list[int]
) -> None:
    backbone = Backbone(BackboneOptions(name, "none", stride=stride))
    modules, channels = inner_stages(backbone.network)
    assert modules == [stage(backbone.network, place) for place in names]
    with watching(modules) as seen:
        features = backbone(torch.rand(1, 3, 64, 96) * 255)
    size = (features.shape[2], features.shape[3])
    grids = [as_grid(backbone.network, found, size) for found in seen]
    expected = [(1, d, 64 // r, 96 // r) for d, r in zip(channels, reductions, strict=True)]
    assert [tuple(grid.shape) for grid in grids] == expected
    assert not any(grid.requires_grad for grid in grids)


def test_channels_that_come_last_are_brought_to_the_front() -> None:
    network = torch.nn.Identity()
    network.output_fmt = "NHWC"  # type: ignore[assignment]
    found = torch.rand(2, 4, 6, 8)
    assert torch.equal(as_grid(network, found, (2, 3)), found.permute(0, 3, 1, 2))


def test_tokens_stand_in_the_order_of_the_grid_and_prefixes_go() -> None:
    grid = torch.rand(2, 8, 3, 4)
    tokens = torch.cat([torch.rand(2, 5, 8), grid.flatten(2).transpose(1, 2)], dim=1)
    assert torch.equal(as_grid(torch.nn.Identity(), tokens, (3, 4)), grid)


def test_nobody_watches_afterwards() -> None:
    layer = torch.nn.Linear(2, 2)

    def interrupted() -> None:
        with watching([layer]):
            layer(torch.rand(1, 2))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert not layer._forward_hooks
