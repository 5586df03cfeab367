"""Folding changes how many operations a network needs, not what it says."""

from __future__ import annotations

import pytest
import torch
from oracles.untrained import Untrained
from torch import Tensor, nn

from tag2mask.localize import folded
from tag2mask.methods.cam import CAM, CAMOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions


class Small(Untrained):
    """A convolution, its BatchNorm, and what a kind adds to break the pair."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.convolution, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        for tensor in (self.norm.running_mean, self.norm.running_var):
            assert tensor is not None
            nn.init.uniform_(tensor, 0.5, 2)
        nn.init.uniform_(self.norm.weight, 0.5, 2)

    def localize(self, images: Tensor, tags: Tensor) -> Tensor:
        raw: Tensor = self.convolution(images)
        if self.kind == "twice":
            return self.norm(self.convolution(images)).relu()
        if self.kind == "also read":
            return self.norm(raw).relu() + raw.relu()
        if self.kind == "between":
            return self.norm(raw.relu()).relu()
        return self.norm(raw).relu()


CLASSES = 3
TAGS = torch.ones(1, CLASSES, dtype=torch.bool)


def norms(method: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in method.modules())


def trained(name: str) -> CAM:
    """Random weights; statistics away from 0 and 1, so that a forgotten one shows."""
    torch.manual_seed(0)
    backbone = Backbone(BackboneOptions(name=name, weights="none"))
    for module in backbone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return CAM(CAMOptions(), backbone, 3).eval()


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0"])
def test_the_maps_stay_and_the_norms_go(name: str) -> None:
    method, images = trained(name), torch.rand(1, 3, 64, 96) * 255
    short = folded(method, 32, CLASSES)
    assert norms(method) > 0 == norms(short)
    with torch.inference_mode():
        expected, found = method.localize(images, TAGS), short.localize(images, TAGS)
    assert float(expected.max()) > 0
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.max())


def test_a_plain_pair_is_folded() -> None:
    short = folded(Small("plain").eval(), 8, CLASSES)
    assert norms(short) == 0


@pytest.mark.parametrize("kind", ["twice", "also read", "between"])
def test_what_cannot_be_folded_stays_as_it_is(kind: str) -> None:
    method = Small(kind).eval()
    assert folded(method, 8, CLASSES) is method
    assert not any(module._forward_hooks for module in method.modules())


def test_a_method_in_training_stays_as_it_is() -> None:
    method = Small("plain").train()
    assert folded(method, 8, CLASSES) is method


def test_the_copy_may_be_moved_and_asked_in_any_mode() -> None:
    short = folded(Small("plain").eval(), 8, CLASSES).to(memory_format=torch.channels_last)
    images = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        inside = short.localize(images, TAGS)
    assert torch.equal(inside, short.localize(images.clone().requires_grad_(), TAGS))
