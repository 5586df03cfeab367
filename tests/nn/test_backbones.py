"""Backbones: photographs to a grid of features, the right cell at the right place."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from tag2mask.errors import InputError
from tag2mask.nn.backbones import Backbone, BackboneOptions, freeze_up_to, undilate

FAMILIES = [
    ("test_efficientnet", 16),
    ("test_resnet", 8),
    ("test_convnext", 16),
    ("test_byobnet", 32),
    ("test_vit", 16),
    ("test_mambaout", 32),
]


def backbone(name: str, stride: int = 16, frozen: int = 8) -> Backbone:
    return Backbone(BackboneOptions(name, "none", stride, frozen))


@pytest.mark.parametrize(("name", "stride"), FAMILIES)
def test_features_form_a_grid_of_the_stride(name: str, stride: int) -> None:
    network = backbone(name, stride).eval()
    features = network(torch.rand(2, 3, 64, 96) * 255)
    assert features.shape == (2, network.channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("test_efficientnet", 16),
        ("test_resnet", 16),
        ("test_convnext", 16),
        ("test_vit", 16),
        ("test_mambaout", 32),
    ],
)
@pytest.mark.parametrize("place", [(0, 0), (0, 5), (3, 0), (2, 4)])
def test_a_cell_answers_to_what_lies_under_it(
    name: str, stride: int, place: tuple[int, int]
) -> None:
    """A change in one cell's pixels moves that cell's features most (a neighbour's, if random
    strided convolutions see it better)."""
    network = backbone(name, stride).eval()
    plain = torch.full((1, 3, 4 * stride, 6 * stride), 127.0)
    row, column = (p * stride for p in place)
    changed = plain.clone()
    torch.manual_seed(1)
    changed[..., row : row + stride, column : column + stride] = torch.rand(3, stride, stride) * 255
    with torch.inference_mode():
        gap = (network(changed) - network(plain)).square().sum(dim=1)[0]
    found = divmod(int(gap.argmax()), 6)
    reach = 0 if name == "test_vit" else 1
    assert max(abs(f - p) for f, p in zip(found, place, strict=True)) <= reach


def test_tokens_become_a_grid_row_by_row() -> None:
    network = backbone("test_vit").eval()
    images = torch.rand(1, 3, 48, 80) * 255
    with torch.inference_mode():
        inner: Any = network.network
        tokens = inner.forward_features((images - network.mean) / network.deviation)
        features = network(images)
    prefix = inner.num_prefix_tokens
    for row in range(3):
        for column in range(5):
            token = tokens[0, prefix + 5 * row + column]
            assert torch.equal(features[0, :, row, column], token)


def test_input_is_normalised_with_the_record_of_timm() -> None:
    network = backbone("test_resnet")
    config = timm.create_model("test_resnet").default_cfg
    torch.testing.assert_close(network.mean.flatten() / 255, torch.tensor(config["mean"]))
    torch.testing.assert_close(network.deviation.flatten() / 255, torch.tensor(config["std"]))


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
@pytest.mark.parametrize("dilation", [2, 4])
@pytest.mark.parametrize("kernel", [3, 5])
def test_undilated_convolutions_keep_the_size_of_their_output(
    size: tuple[int, int], dilation: int, kernel: int
) -> None:
    padding = dilation * (kernel - 1) // 2
    network = nn.Sequential(nn.Conv2d(3, 3, kernel, padding=padding, dilation=dilation))
    images = torch.rand(1, 3, *size)
    before = network(images).shape
    undilate(network)
    assert network(images).shape == before
    assert network[0].dilation == (1, 1)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_convnext"])
def test_a_backbone_keeps_its_stride_when_undilated(name: str) -> None:
    dilated = timm.create_model(name, num_classes=0, output_stride=8, global_pool="")
    assert any(m.dilation != (1, 1) for m in dilated.modules() if isinstance(m, nn.Conv2d))
    network = backbone(name, 8)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.dilation == (1, 1) for m in convolutions if m.kernel_size[0] % 2)
    images = torch.rand(1, 3, 64, 64)
    assert network(images).shape == dilated.forward_features(images).shape


def trainable_names(network: nn.Module) -> set[str]:
    return {name for name, p in network.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("name", "frozen", "first_free"),
    [
        ("test_efficientnet", 8, "blocks.3."),
        ("test_efficientnet", 2, "blocks.1."),
        ("test_resnet", 8, "layer3."),
        ("test_resnet", 4, "layer2."),
        ("test_convnext", 8, "stages.2."),
    ],
)
def test_layers_up_to_the_reduction_are_frozen(name: str, frozen: int, first_free: str) -> None:
    network = backbone(name, frozen=frozen).network
    names = [name for name, _ in network.named_parameters()]
    border = next(i for i, n in enumerate(names) if n.startswith(first_free))
    assert trainable_names(network) == set(names[border:])


def test_nothing_is_frozen_at_zero_and_in_plain_transformers() -> None:
    for network in (backbone("test_resnet", frozen=0), backbone("test_vit")):
        assert all(p.requires_grad for p in network.parameters())


def test_a_network_cut_into_stages_is_frozen_like_the_whole() -> None:
    """timm says `stages.0` of an encoder whose layers are called `stages_0`."""
    encoder = timm.create_model("test_convnext", features_only=True)
    freeze_up_to(encoder, 8)
    free = {name.replace("_", ".") for name in trainable_names(encoder)}
    assert free
    assert all(name.startswith(("stages.2.", "stages.3.")) for name in free)


def test_frozen_layers_get_no_gradient_and_the_others_do() -> None:
    network = backbone("test_efficientnet").train()
    network(torch.rand(2, 3, 32, 32) * 255).square().sum().backward()
    for parameter in network.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad


def test_batch_norm_keeps_its_statistics_while_training() -> None:
    network = backbone("test_efficientnet").train()
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    images = torch.rand(4, 3, 32, 32) * 255
    trained = network(images)
    assert network.training
    assert before
    assert all(torch.equal(before[name], tensor) for name, tensor in network.named_buffers())
    torch.testing.assert_close(trained[:1], network(images[:1]))  # no batch statistics


def buffers_of_state(network: Backbone) -> set[str]:
    return {name for name in network.state_dict() if not name.startswith("network.")}


def test_the_state_holds_the_network_and_nothing_else() -> None:
    assert buffers_of_state(backbone("test_resnet")) == set()


@pytest.mark.parametrize(("name", "near"), [("resnet180", "resnet18"), ("vitsmall", "")])
def test_an_unknown_name_meets_its_neighbours(name: str, near: str) -> None:
    with pytest.raises(InputError, match=f"timm knows no backbone '{name}'.*{near}"):
        backbone(name)


@pytest.mark.parametrize(
    ("name", "weights", "text"),
    [
        ("nothing.in1k", "none", "timm knows no backbone 'nothing.in1k'"),
        ("resnet18.nope", "none", "timm cannot build resnet18.nope .*nope"),
        ("test_mambaout", "none", "cells of 16 pixels; expected --stride 32, came 16"),
    ],
)
def test_what_timm_cannot_build_is_named(name: str, weights: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        Backbone(BackboneOptions(name, weights))


@pytest.mark.parametrize(("stride", "nearest"), [(7, 4), (24, 16), (64, 32)])
def test_a_stride_between_those_offered_is_refused(stride: int, nearest: int) -> None:
    """timm rounds such a stride down in silence; every later size would be wrong."""
    with pytest.raises(InputError, match=f"expected --stride {nearest}, came {stride}"):
        backbone("test_efficientnet", stride)


def test_a_transformer_has_the_stride_of_its_patches() -> None:
    with pytest.raises(InputError, match="expected --stride 16, came 8"):
        backbone("test_vit", 8)


@pytest.mark.parametrize("weights", ["none", "hub"])
def test_the_source_says_what_touched_the_weights(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda n, pretrained, **k: create(n, **k))
    source = Backbone(BackboneOptions("test_resnet", weights)).source
    assert source.startswith("test_resnet: ")
    assert ("random" in source) == (weights == "none")
    assert ("hub" in source) == (weights == "hub")


def test_gradient_reaches_the_picture() -> None:
    images: Tensor = (torch.rand(1, 3, 32, 32) * 255).requires_grad_()
    backbone("test_vit")(images).square().sum().backward()
    assert images.grad is not None
    assert bool(images.grad.any())
