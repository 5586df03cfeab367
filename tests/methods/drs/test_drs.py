"""DRS against its formula, one number at a time, and where it sits."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.methods import METHODS
from tag2mask.methods.drs import DRS, DRSOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.host import CAMHost, DRSHost, Suppression, stage
from tag2mask.types import TagBatch


def by_loop(features: Tensor, delta: float) -> Tensor:
    found = features.clone()
    for image in range(features.shape[0]):
        for channel in range(features.shape[1]):
            highest = max(0.0, float(features[image, channel].max()))
            for y in range(features.shape[2]):
                for x in range(features.shape[3]):
                    value = float(features[image, channel, y, x])
                    found[image, channel, y, x] = min(value, delta * highest)
    return found


def backbone(name: str = "test_efficientnet") -> Backbone:
    return Backbone(BackboneOptions(name, "none"))


def images(*size: int) -> Tensor:
    return torch.rand(2, 3, *size) * 255


def noted(host: DRSHost) -> dict[Any, int]:
    """How often each suppression ran in one pass."""
    counts = {host.early: 0, host.late: 0}

    def count(module: Any, *_: Any) -> None:
        counts[module] += 1

    handles = [module.register_forward_hook(count) for module in counts]
    host(images(64, 64))
    for handle in handles:
        handle.remove()
    return counts


def test_it_is_in_the_table() -> None:
    assert METHODS["drs"] is DRS
    assert DRS.Options is DRSOptions


@pytest.mark.parametrize("delta", [0.2, 0.55, 1.0])
def test_suppression_is_its_formula(delta: float) -> None:
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    features[0, 1] = -features[0, 1].abs()  # a channel without evidence
    found = Suppression(delta)(features)
    torch.testing.assert_close(found, by_loop(features, delta), rtol=1e-9, atol=0)


def test_on_rectified_features_it_is_the_papers_formula() -> None:
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64).relu()
    peaks = features.amax(dim=(2, 3), keepdim=True)
    assert torch.equal(Suppression(0.55)(features), torch.minimum(features, 0.55 * peaks))


def test_its_gradient() -> None:
    features = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Suppression(0.55), (features,))


def test_the_early_one_is_for_training_alone_unless_asked() -> None:
    for always, expected in ((False, 0), (True, 1)):
        host = DRSHost(backbone(), 2, always=always)
        assert noted(host.train())[host.early] == 1
        host.eval()
        seen: list[bool] = []
        features = torch.rand(1, 2, 3, 3)
        seen.append(torch.equal(host.early(features), features))
        assert seen == [expected == 0]


def test_a_resnet_is_suppressed_where_its_last_blocks_close() -> None:
    host = DRSHost(backbone("resnet18"), 2).train()
    assert host.closing == 2  # two blocks in the last stage
    assert noted(host) == {host.early: 1, host.late: 2}
    kept: list[Tensor] = []
    for block in stage(host.backbone.network, "layer4").children():
        block.act2.register_forward_hook(lambda *a: kept.append(a[2]))
    features, _ = host(images(64, 64))
    assert len(kept) == 2
    assert torch.equal(kept[-1], features)
    before = CAMHost(copy.deepcopy(host.backbone), 2)
    assert before.backbone.state_dict().keys() == host.backbone.state_dict().keys()


def test_linear_bottlenecks_are_suppressed_once_at_the_end() -> None:
    given = backbone()
    plain = CAMHost(copy.deepcopy(given), 2).eval()
    host = DRSHost(given, 2).eval()
    assert host.closing == 0
    pictures = images(64, 80)
    with torch.inference_mode():
        expected = by_loop(plain(pictures)[0], 0.55)
        found, _ = host(pictures)
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, plain(pictures)[0])


def test_training_and_localisation_differ_by_the_early_stage() -> None:
    torch.manual_seed(0)
    for always in (False, True):
        method = DRS(DRSOptions(always=always), backbone(), 3)
        pictures = images(64, 64)
        with torch.no_grad():
            taught, asked = method.train()(pictures)[0], method.eval()(pictures)[0]
        assert torch.equal(taught, asked) is always


def test_names_of_weights_are_those_of_cam() -> None:
    cam = METHODS["cam"](METHODS["cam"].Options(), backbone(), 3)
    drs = DRS(DRSOptions(), backbone(), 3)
    assert list(cam.state_dict()) == list(drs.state_dict())


def test_without_suppression_it_is_cam() -> None:
    torch.manual_seed(0)
    drs = DRS(DRSOptions(delta=1.0), backbone(), 3).train()
    cam = METHODS["cam"](METHODS["cam"].Options(), backbone(), 3).train()
    cam.load_state_dict(drs.state_dict())
    tags = torch.tensor([[True, False, False], [False, True, True]])
    given = TagBatch(("a", "b"), images(64, 64), tags)
    torch.testing.assert_close(drs.losses(given, 0.0), cam.losses(given, 0.0))


@pytest.mark.parametrize("delta", [0.0, 1.5])
def test_a_share_that_cannot_be_is_refused(delta: float) -> None:
    with pytest.raises(InputError, match="expected a share above 0"):
        DRSOptions(delta=delta)
