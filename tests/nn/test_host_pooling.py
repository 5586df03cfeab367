"""Thresholded average pooling against a loop, and where the tag loss uses it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.host import CAMHost, DRSHost, tag_loss, thresholded_mean
from tag2mask.types import TagBatch


def by_hand(features: Tensor, share: float) -> Tensor:
    pooled = torch.zeros(features.shape[:2], dtype=features.dtype)
    for image, channels in enumerate(features.flatten(2)):
        for channel, values in enumerate(channels.tolist()):
            kept = [value for value in values if value > share * max(values)]
            pooled[image, channel] = sum(kept) / max(1, len(kept))
    return pooled


@given(st.integers(0, 500), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_it_is_the_mean_over_strong_cells(seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=generator)
    features[0, 0] = 0  # nothing is above its maximum
    features[0, 1] = -features[0, 1].abs()
    found = thresholded_mean(features, share).flatten(1)
    torch.testing.assert_close(found, by_hand(features, share), rtol=1e-9, atol=1e-12)


def test_what_is_weak_gets_no_gradient() -> None:
    features = torch.tensor([[[[1.0, 0.2, 0.05]]]], requires_grad=True)
    thresholded_mean(features, 0.1).sum().backward()
    assert features.grad is not None
    assert features.grad.flatten().tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("host", [CAMHost, DRSHost])
def test_the_tag_loss_pools_what_the_host_is_told(host: type[CAMHost]) -> None:
    images, tags = torch.rand(2, 3, 64, 64) * 255, torch.tensor([[True, False], [True, True]])
    batch = TagBatch(("a", "b"), images, tags)
    plain, strong = (
        host(Backbone(BackboneOptions("test_efficientnet", "none")), 2, threshold=share)
        for share in (None, 0.1)
    )
    nn.init.normal_(plain.classifier.weight)
    strong.load_state_dict(plain.state_dict())
    (mean,), (pooled,) = (one.look(batch, 0.0)[0].values() for one in (plain, strong))
    features, responses = plain(images)
    assert float(mean.detach()) == pytest.approx(float(tag_loss(responses, tags).detach()))
    scores = by_hand(features.detach(), 0.1) @ plain.classifier.weight.detach()[:, :, 0, 0].T
    expected = functional.multilabel_soft_margin_loss(scores, tags.float())
    assert float(pooled.detach()) == pytest.approx(float(expected), rel=1e-5)
    assert float(pooled.detach()) != pytest.approx(float(mean.detach()), rel=1e-5)
