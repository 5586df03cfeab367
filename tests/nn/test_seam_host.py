"""SEAM's host: what it says of a batch, which term teaches what, what it hands to others."""

from __future__ import annotations

import pytest
import torch
from oracles import equivariance as oracle
from torch import Tensor
from torch.nn import functional

from tag2mask.nn.affinity import spread
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.equivariance import smaller, spanned, strongest
from tag2mask.nn.host import normalised, tag_loss
from tag2mask.nn.ppc import PPCHost
from tag2mask.nn.seam import SEAMHost
from tag2mask.nn.taps import inner_stages, watching
from tag2mask.types import TagBatch

CLASSES = 3


def seam(scale: float = 0.5, name: str = "test_efficientnet", stride: int = 16) -> SEAMHost:
    torch.manual_seed(0)
    host = SEAMHost(Backbone(BackboneOptions(name, "none", stride=stride)), CLASSES, scale)
    torch.nn.init.normal_(host.classifier.weight)  # more than the first noise
    return host


def batch(tags: tuple[tuple[bool, ...], ...], size: int = 96) -> TagBatch:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(len(tags), 3, 6, 6, generator=generator) * 255
    images = functional.interpolate(coarse, size, mode="bilinear")
    return TagBatch(tuple("abc"[: len(tags)]), images, torch.tensor(tags))


TWO = ((True, False, True), (False, True, False))


def test_refined_maps_are_the_strongest_tagged_classes_after_hearing_the_others() -> None:
    host, given = seam(), batch(TWO)
    with torch.no_grad():
        sight = host.see(given.images, given.tags)
        with watching(inner_stages(host.backbone.network)[0]) as inner:
            features, responses = host(given.images)
        pictures = (given.images - host.backbone.mean) / host.backbone.deviation
        shares = host.correlation(pictures, inner, (6, 6))
        maps = strongest(normalised(responses, given.tags))
    torch.testing.assert_close(sight.features, features)
    torch.testing.assert_close(sight.responses, responses)
    torch.testing.assert_close(sight.refined, spread(maps, shares))
    torch.testing.assert_close(sight.refined.sum(dim=1), torch.ones(2, 6, 6))
    assert bool((sight.refined[0, 2] == 0).all())  # not tagged
    assert bool((sight.refined[0, 1] > 0).all())


def test_the_terms_are_those_of_the_two_sights() -> None:
    host, given = seam(), batch(TWO)
    with torch.no_grad():
        terms, _ = host.look(given, 0.0)
        sights = [host.see(given.images, given.tags)]
        sights.append(host.see(smaller(given.images, 0.5), given.tags))
    keep = given.tags[:, :, None, None]

    def large(maps: Tensor) -> Tensor:
        return functional.interpolate(maps, (6, 6), mode="bilinear")

    raw = [large(spanned(s.responses) * keep) for s in sights]
    shown = functional.pad(given.tags, (1, 0), value=True)[:, :, None, None]
    refined = [large(spanned(s.refined) * shown).flatten(2).numpy() for s in sights]
    references = [(strongest(maps) * shown).flatten(2).numpy() for maps in raw]
    expected = {
        "tags": sum(float(tag_loss(s.responses, given.tags)) for s in sights) / 2,
        "lowest": sum(oracle.lowest((s.refined[:, 1:] * keep).flatten(2).numpy()) for s in sights)
        / 2,
        "equivariance": oracle.equivariance(*(maps.numpy() for maps in raw)),
        "cross": oracle.cross(references[1], refined[0], 0.2)
        + oracle.cross(references[0], refined[1], 0.2),
    }
    assert set(terms) == set(expected)
    for name, value in terms.items():
        assert float(value) == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "taught"),
    [
        ("tags", {"backbone", "classifier"}),
        ("equivariance", {"backbone", "classifier"}),
        ("lowest", {"correlation"}),
        ("cross", {"correlation"}),
        ("cross prototype", {"backbone", "projection"}),
        ("cross label", {"backbone", "projection"}),
        ("intra view", {"backbone", "projection"}),
    ],
)
def test_each_term_teaches_its_own_layers(name: str, taught: set[str]) -> None:
    torch.manual_seed(0)
    backbone = Backbone(BackboneOptions("test_efficientnet", "none"))
    host = PPCHost(backbone, CLASSES).train()
    terms, _ = host.look(batch(TWO), 0.0)
    terms[name].backward()
    moved = {
        place.partition(".")[0]
        for place, p in host.named_parameters()
        if p.grad is not None and bool((p.grad != 0).any())
    }
    assert moved == taught


def test_views_are_what_modules_on_a_host_may_use() -> None:
    host, given = seam(), batch(TWO)
    _, views = host.look(given, 0.0)
    assert [view.maps.shape[2:] for view in views] == [(6, 6), (3, 3)]
    for view in views:
        assert view.features.requires_grad
        assert view.responses.requires_grad
        assert not view.maps.requires_grad
        assert float(view.maps.max()) <= 1
        there = (view.maps > 0).any(dim=3).any(dim=2)
        assert not bool((there & ~given.tags).any())
    evidence = host.evidence(given.images, given.tags).detach()
    torch.testing.assert_close(views[0].maps, evidence)


def test_only_tagged_classes_compete_for_a_cell() -> None:
    host, given = seam(), batch(TWO)
    alone = torch.tensor([[True, False, False], [False, True, False]])
    with torch.no_grad():
        both = host.evidence(given.images, torch.ones_like(alone))
        one = host.evidence(given.images, alone)
    assert not torch.allclose(both[0, 0], one[0, 0], atol=1e-2)
    assert bool((one[~alone] == 0).all())


def test_photographs_without_tags_are_in_no_comparison() -> None:
    host = seam()
    terms, views = host.look(batch(((False, False, False),) * 2), 0.0)
    for name in ("lowest", "equivariance", "cross"):
        assert float(terms[name].detach()) == 0
    assert all(bool((view.maps == 0).all()) for view in views)
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None for p in host.parameters() if p.requires_grad)


def test_the_second_view_has_no_gradient_into_the_first() -> None:
    host, given = seam(), batch(TWO)
    images = given.images.requires_grad_()
    terms, _ = host.look(TagBatch(given.ids, images, given.tags), 0.0)
    terms["cross"].backward()
    assert host.classifier.weight.grad is None


@pytest.mark.parametrize(("name", "stride"), [("test_convnext", 32), ("test_vit", 16)])
def test_other_networks_have_refined_maps_too(name: str, stride: int) -> None:
    host = seam(name=name, stride=stride)
    terms, _ = host.look(batch(TWO), 0.0)
    assert all(bool(value.isfinite()) for value in terms.values())
    assert host.evidence(batch(TWO).images, torch.tensor(TWO)).shape[:2] == (2, CLASSES)


def test_comparisons_are_not_made_in_half_precision() -> None:
    torch.manual_seed(0)
    host = PPCHost(Backbone(BackboneOptions("test_efficientnet", "none")), CLASSES)
    with torch.autocast("cpu", torch.bfloat16):
        terms, views = host.look(batch(TWO), 0.0)
    for name in set(terms) - {"tags"}:
        assert terms[name].dtype is torch.float32
        assert bool(terms[name].isfinite())
    assert all(view.maps.dtype is torch.float32 for view in views)
