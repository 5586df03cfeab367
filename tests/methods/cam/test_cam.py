"""CAM against the paper's sums, one number at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles.cam import maps_by_cell, soft_margin
from torch import Tensor

from tag2mask.methods import METHODS
from tag2mask.methods.cam import CAM, CAMOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.types import TagBatch

CLASSES = 3


def cam(options: CAMOptions | None = None) -> CAM:
    backbone = Backbone(BackboneOptions("test_efficientnet", "none"))
    return CAM(options or CAMOptions(), backbone, CLASSES).double()


def batch(tags: Tensor) -> TagBatch:
    images = torch.rand(len(tags), 3, 48, 64, dtype=torch.float64) * 255
    return TagBatch(tuple(map(str, range(len(tags)))), images, tags)


def test_it_is_in_the_table() -> None:
    assert METHODS["cam"] is CAM
    assert CAM.Options is CAMOptions


TAGS = torch.ones(2, CLASSES, dtype=torch.bool)


def test_maps_are_the_weighted_sum_of_features() -> None:
    method = cam().eval()
    images = torch.rand(2, 3, 48, 64, dtype=torch.float64) * 255
    with torch.inference_mode():
        features, maps = method.backbone(images), method.localize(images, TAGS)
    weight = method.classifier.weight.detach()[:, :, 0, 0].numpy()
    for one, found in zip(features.numpy(), maps.numpy(), strict=True):
        np.testing.assert_allclose(found, maps_by_cell(one, weight), rtol=1e-9, atol=1e-12)
    assert 0 < int((maps > 0).sum()) < maps.numel()  # the cut at zero was met


@pytest.mark.parametrize("scale", [1.0, 400.0])
def test_the_objective_is_the_soft_margin_of_pooled_scores(scale: float) -> None:
    method = cam()
    with torch.no_grad():
        method.classifier.weight *= scale
    tags = torch.tensor([[True, False, True], [False, False, False]])
    given = batch(tags)
    with torch.inference_mode():
        features = method.backbone(given.images).mean(dim=(2, 3)).numpy()
        (loss,) = method.losses(given, 0.0).values()
    scores = features @ method.classifier.weight.detach()[:, :, 0, 0].numpy().T
    assert float(loss) == pytest.approx(soft_margin(scores, tags.numpy()), rel=1e-9)


def test_a_score_is_the_mean_of_the_map_before_the_cut() -> None:
    """What localizes is what classifies: pooling and weighting may be exchanged."""
    method = cam().eval()
    images = torch.rand(1, 3, 48, 64, dtype=torch.float64) * 255
    with torch.no_grad():
        plus = method.localize(images, TAGS[:1])
        method.classifier.weight.neg_()
        minus = method.localize(images, TAGS[:1])
        method.classifier.weight.neg_()
        tags = torch.ones(1, CLASSES, dtype=torch.bool)
        loss = method.losses(TagBatch(("a",), images, tags), 0.0)
    scores = (plus - minus).mean(dim=(2, 3))
    expected = soft_margin(scores.numpy(), np.ones((1, CLASSES), dtype=bool))
    assert float(loss["tags"]) == pytest.approx(expected, rel=1e-9)


def test_the_new_layer_learns_faster() -> None:
    method = cam(CAMOptions(rate=1e-3, head=7.0, decay=0.1))
    (optimizer,) = method.optimizers()
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert rates.pop(id(method.classifier.weight)) == pytest.approx(7e-3)
    assert set(rates.values()) == {1e-3}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.1}


def test_with_a_frozen_backbone_only_the_new_layer_learns() -> None:
    backbone = Backbone(BackboneOptions("test_efficientnet", "none", frozen=32))
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    method = CAM(CAMOptions(), backbone, CLASSES)
    (optimizer,) = method.optimizers()
    owned = [p for group in optimizer.param_groups for p in group["params"]]
    assert [id(p) for p in owned] == [id(method.classifier.weight)]
