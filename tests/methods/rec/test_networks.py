"""REC's networks: the paper's sizes, any photograph, and what each grid is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tag2mask.methods.rec.networks import (
    Decomposer,
    LightDecoder,
    PretrainedEncoder,
    ScratchDecoder,
    ScratchEncoder,
    coarse,
    pretrained_networks,
    scratch_networks,
)
from tag2mask.nn.backbones import Backbone, BackboneOptions


def backbone(name: str = "test_efficientnet", stride: int = 16, frozen: int = 16) -> Backbone:
    torch.manual_seed(0)
    return Backbone(BackboneOptions(name, "none", stride, frozen))


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_u_net_has_the_released_sizes() -> None:
    """Counted in the official code: two labels, width 64."""
    with torch.device("meta"):
        networks = scratch_networks(64, 2, True, 1)
        apart = scratch_networks(64, 2, False, 1)
    assert size(networks.encoders) == 14_124_096
    heads = networks.masker.head, networks.imager.head
    assert [size(head) for head in heads] == [1_154, 3_462]  # type: ignore[arg-type]
    assert size(networks.masker) - 1_154 == 7_853_504
    assert size(networks.imager) - 3_462 == 7_853_504
    assert size(apart) == size(networks) + 14_124_096


@torch.no_grad()
def test_the_u_net_reads_the_grids_before_each_maximum() -> None:
    encoder = ScratchEncoder(2)
    grids = encoder(torch.rand(1, 3, 48, 32) * 255)
    assert [tuple(grid.shape[1:]) for grid in grids] == [
        *((16, 3, 2), (16, 6, 4), (8, 12, 8), (4, 24, 16), (2, 48, 32)),
    ]
    assert encoder.channels == (16, 16, 8, 4, 2)
    image = torch.rand(1, 3, 8, 8)
    first = nn.functional.leaky_relu(encoder.convolutions[0](image))
    expected = nn.functional.leaky_relu(encoder.convolutions[1](first))
    torch.testing.assert_close(
        encoder(255 * nn.functional.pad(image, (0, 8, 0, 8)))[4][..., :6, :6], expected[..., :6, :6]
    )


@torch.no_grad()
@pytest.mark.parametrize("pixels", [(32, 32), (33, 47), (16, 90)])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("scratch", [True, False])
def test_photographs_of_any_size_are_taken_apart(
    scratch: bool, shared: bool, pixels: tuple[int, int]
) -> None:
    if scratch:
        networks = scratch_networks(2, 3, shared, 1)
    else:
        networks = pretrained_networks(backbone(), 8, 3, shared, (4, 4))
    images = torch.rand(2, 3, *pixels) * 255
    found = networks(images)
    grid = pixels if scratch else tuple(-(-side // 4) for side in pixels)
    assert tuple(found.logits.shape) == (2, 3, *grid)
    assert tuple(found.imagelets.shape) == (2, 3, 3, *grid)
    assert bool(((found.imagelets > 0) & (found.imagelets < 1)).all())
    torch.testing.assert_close(networks.logits(images), found.logits)


@torch.no_grad()
def test_the_pretrained_encoder_shows_the_stages_as_the_backbone_makes_them() -> None:
    trunk = backbone().eval()
    encoder = PretrainedEncoder(trunk, 4)
    images = torch.rand(1, 3, 64, 96) * 255
    grids = encoder(images)
    torch.testing.assert_close(grids[0], trunk(images))
    assert [grid.shape[1] for grid in grids] == list(encoder.channels)
    assert [tuple(grid.shape[2:]) for grid in grids] == [(4, 6), (8, 12), (16, 24)]
    assert encoder.cell == 4
    assert PretrainedEncoder(trunk, 8).cell == 8
    assert len(PretrainedEncoder(trunk, 16).channels) == 1


def test_stages_that_learn_get_their_gradient() -> None:
    encoder = PretrainedEncoder(backbone(frozen=0), 4)
    encoder(torch.rand(1, 3, 32, 32) * 255)[-1].sum().backward()
    first = next(encoder.backbone.network.parameters()).grad
    assert first is not None
    assert bool((first != 0).any())


@torch.no_grad()
def test_a_transformer_has_one_grid() -> None:
    networks = pretrained_networks(backbone("test_vit"), 8, 3, True, (4, 16))
    found = networks(torch.rand(1, 3, 160, 160) * 255)
    assert tuple(found.logits.shape) == (1, 3, 10, 10)
    assert networks.square == 1  # its cells are as wide as those of the image-lets


@torch.no_grad()
def test_coarse_pictures_are_means_between_which_it_goes_straight() -> None:
    pictures = torch.rand(1, 2, 8, 8)
    assert coarse(pictures, 1) is pictures
    found = coarse(pictures, 4)
    means = pictures.view(1, 2, 2, 4, 2, 4).mean(dim=(3, 5))
    torch.testing.assert_close(found[..., 0, 0], means[..., 0, 0])  # beyond the first centre
    expected = nn.functional.interpolate(means, size=(8, 8), mode="bilinear")
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(coarse(pictures, 99), pictures.mean((2, 3), True).expand(1, 2, 8, 8))


@torch.no_grad()
def test_the_light_decoder_is_its_equation_with_a_repeated_border() -> None:
    decoder = LightDecoder((6, 4), 5, 2)
    coarsest, finest = torch.randn(1, 6, 3, 3), torch.randn(1, 4, 6, 6)

    def smooth(grid: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        weight, bias = layer.weight, layer.bias
        padded = nn.functional.pad(grid, (1, 1, 1, 1), mode="replicate")
        return nn.functional.conv2d(padded, weight, bias)  # type: ignore[arg-type]

    first = smooth(decoder.beside[0](coarsest), decoder.smooth[0]).relu()
    up = nn.functional.interpolate(first, size=(6, 6), mode="bilinear")
    second = smooth(up + decoder.beside[1](finest), decoder.smooth[1]).relu()
    torch.testing.assert_close(decoder([coarsest, finest]), smooth(second, decoder.head))


@torch.no_grad()
def test_networks_apart_do_not_hear_of_each_other() -> None:
    encoders = [ScratchEncoder(2), ScratchEncoder(2)]
    decoders = [ScratchDecoder(2, 2), ScratchDecoder(2, 6)]
    networks, images = Decomposer(encoders, decoders, 1), torch.rand(1, 3, 16, 16) * 255
    before = networks(images)
    for parameter in encoders[1].parameters():
        parameter.mul_(2)
    after = networks(images)
    torch.testing.assert_close(after.logits, before.logits)
    assert not torch.equal(after.imagelets, before.imagelets)
