"""REC as a room: the terms of a batch, what g is and stays, and how it segments."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.methods import METHODS
from tag2mask.methods.cam import CAM, CAMOptions
from tag2mask.methods.rec import REC, RECOptions
from tag2mask.methods.rec.composition import (
    composed,
    cut_out,
    masklets,
    reconstruction_loss,
)
from tag2mask.methods.rec.guidance import evidence_loss, guidance_loss
from tag2mask.methods.rec.regulation import area_loss, areas, pooling_loss, prior_loss
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.padding import PAD_COLOUR, photographed
from tag2mask.types import TagBatch

CLASSES = [1, 3]


def backbone(frozen: int = 8) -> Backbone:
    return Backbone(BackboneOptions("test_efficientnet", "none", frozen=frozen))


def rec(classes: int = 3, **options: object) -> REC:
    torch.manual_seed(0)
    plain = {"told": False, "guidance_cell": 4, "judged": "tags", "regulation": "area"}
    given = {"width": 8, "absent": 9, "per_margin": False, **plain, **options}
    room = REC(RECOptions(**given), backbone(), classes)  # type: ignore[arg-type]
    torch.nn.init.normal_(room.networks.masker.head.weight)  # more than the first noise
    torch.nn.init.normal_(room.guide.classifier.weight)
    return room.train()


def batch(classes: int = 3, size: int = 64) -> TagBatch:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(2, 3, 6, 6, generator=generator) * 255
    images = functional.interpolate(coarse, size, mode="bilinear")
    images[1, :, :, size // 2 :] = torch.tensor(PAD_COLOUR).view(3, 1, 1)
    tags = torch.zeros(2, classes, dtype=torch.bool)
    tags[0, 0] = True  # and a photograph without any
    return TagBatch(("a", "b"), images, tags)


def test_it_is_in_the_table() -> None:
    assert METHODS["rec"] is REC
    assert REC.Options is RECOptions


@torch.no_grad()
@pytest.mark.parametrize("regulation", ["prior", "area", "pooling"])
@pytest.mark.parametrize("seen", ["photograph", "imagelet"])
@pytest.mark.parametrize("classes", CLASSES)
def test_the_terms_are_the_equations_weighted(classes: int, seen: str, regulation: str) -> None:
    weights = {"reconstruction": 2.0, "size": 3.0, "guidance": 5.0}
    room = rec(classes, seen=seen, regulation=regulation, ground="black", share=0.3, **weights)
    given = batch(classes)
    found = room.networks(given.images)
    shares = masklets(found.logits, "soft")
    inside = photographed(given.images, (16, 16))
    assert float(inside.float().mean()) == 0.75
    pairs = torch.ones(2, classes + 1).nonzero(as_tuple=True)  # `absent` lets all be drawn
    if seen == "imagelet":
        black = torch.zeros(1, 3, 1, 1)
        pictures = composed(found.imagelets, shares, pairs, (64, 64), black)
    else:
        pictures = cut_out(given.images, shares, pairs, torch.zeros(1, 3, 1, 1))
    scores = room.guide(pictures)[1].mean(dim=(2, 3))
    present = functional.pad(given.tags, (1, 0), value=True)
    taken = areas(shares, inside)
    sizes = {
        "prior": prior_loss(taken, present, 0.3),
        "area": area_loss(taken, present),
        "pooling": pooling_loss(found.logits, shares, inside, present),
    }
    expected = {
        "reconstruction": 2 * reconstruction_loss(given.images, shares, found.imagelets, inside),
        "size": 3 * sizes[regulation],
        "guidance": 5 * guidance_loss(scores, pairs, torch.ones(2, classes + 1), given.tags),
    }
    terms = room.losses(given, 0.0)
    assert list(terms) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)


@torch.no_grad()
def test_tags_say_of_what_a_photograph_is_composed() -> None:
    room, given = rec(told=True, guidance_cell=16), batch()
    found = room.networks(given.images)
    logits = found.logits.clone()
    logits[0, 2:], logits[1, 1:] = -torch.inf, -torch.inf
    shares, inside = logits.softmax(dim=1), photographed(given.images, (16, 16))
    pairs = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])
    means = functional.avg_pool2d(shares, 4)
    seen = functional.interpolate(means, size=(16, 16), mode="bilinear")
    pictures = cut_out(given.images, seen, pairs, room.guide.backbone.mean)
    weights = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    expected = {
        "reconstruction": reconstruction_loss(given.images, shares, found.imagelets, inside),
        "guidance": guidance_loss(room.classify(pictures), pairs, weights, given.tags),
    }
    terms = room.losses(given, 0.0)
    for name, value in expected.items():
        weight = getattr(room.options, name)
        torch.testing.assert_close(terms[name], weight * value)
    present = functional.pad(given.tags, (1, 0), value=True)
    size = area_loss(areas(found.logits.softmax(dim=1), inside), present)  # absent ones learn it
    torch.testing.assert_close(terms["size"], room.options.size * size)


@torch.no_grad()
def test_a_confident_g_counts_no_more_than_a_hesitant_one() -> None:
    """L_cls over how far g is above nothing for the one tag, on the photograph that has it."""
    room, given = rec(per_margin=True), batch()
    for gain in (300.0, 3000.0):
        torch.nn.init.normal_(room.guide.classifier.weight, std=gain)
        whole = room.classify(given.images)[0, 0]
        nothing = room.classify(room.guide.backbone.mean.expand(1, 3, 64, 64))[0, 0]
        room.guide.classifier.weight.data.mul_((whole - nothing).sign())
        room.options = replace(room.options, per_margin=False)
        plain = room.losses(given, 0.0)["guidance"]
        room.options = replace(room.options, per_margin=True)
        above = float((whole - nothing).abs())
        assert above > 1
        torch.testing.assert_close(room.losses(given, 0.0)["guidance"], plain / above)


@torch.no_grad()
def test_evidence_is_in_units_of_the_photograph_above_the_ground() -> None:
    room, given = rec(judged="evidence"), batch()
    found = room.networks(given.images)
    pairs = torch.ones(2, 4).nonzero(as_tuple=True)
    mean = room.guide.backbone.mean
    pictures = cut_out(given.images, found.logits.softmax(dim=1), pairs, mean)
    known = room.classify(given.images), room.classify(mean.expand(1, 3, 64, 64))
    scores = room.classify(pictures)
    expected = evidence_loss(scores, pairs, torch.ones(2, 4), given.tags, known)
    weight = room.options.guidance
    torch.testing.assert_close(room.losses(given, 0.0)["guidance"], weight * expected)


@torch.no_grad()
def test_the_ground_is_what_g_saw_around_photographs() -> None:
    room, given = rec(ground="mean"), batch()
    looks: list[torch.Tensor] = []
    room.guide.register_forward_pre_hook(lambda _, seen: looks.append(seen[0]))
    room.networks.masker.head.bias[0] = 1e4  # everything is background
    room.losses(given, 0.0)
    (pictures,) = looks  # one look for all of them
    assert len(pictures) == 8
    mean = room.guide.backbone.mean
    torch.testing.assert_close(pictures[0], given.images[0])
    torch.testing.assert_close(pictures[1], mean[0].expand(3, 64, 64))


def test_gradients_reach_both_networks_and_not_g() -> None:
    room = rec(seen="imagelet")
    before = {name: t.clone() for name, t in room.guide.state_dict().items()}
    room.losses(batch(), 0.0)["guidance"].backward()
    for part in (room.networks.masker, room.networks.imager):
        assert all(p.grad is not None and bool((p.grad != 0).any()) for p in part.parameters())
    assert all(p.grad is None and not p.requires_grad for p in room.guide.parameters())
    for optimizer in room.optimizers():
        optimizer.step()
    for name, tensor in room.guide.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    ("seen", "name", "taught"),
    [
        ("photograph", "reconstruction", {"masker", "imager"}),
        ("photograph", "size", {"masker"}),
        ("photograph", "guidance", {"masker"}),
        ("imagelet", "guidance", {"masker", "imager"}),
    ],
)
def test_each_term_teaches_its_networks(seen: str, name: str, taught: set[str]) -> None:
    room = rec(seen=seen)
    room.losses(batch(), 0.0)[name].backward()
    moved = {
        place.split(".")[1]
        for place, p in room.named_parameters()
        if p.grad is not None and bool((p.grad != 0).any())
    }
    assert moved - {"encoders"} == taught


def test_g_never_trains_though_its_network_would_drop_and_count() -> None:
    room = rec()
    room.guide.backbone.network.bn_extra = torch.nn.BatchNorm2d(3)  # type: ignore[assignment]
    room.train()
    assert room.networks.training
    assert not any(module.training for module in room.guide.modules())
    assert not any(module.training for module in room.eval().modules())


@torch.no_grad()
def test_g_is_the_classifier_that_was_trained_first() -> None:
    torch.manual_seed(3)
    plain, room = CAM(CAMOptions(), backbone(), 3).eval(), rec()
    room.take(plain.state_dict())
    images = batch().images
    torch.testing.assert_close(room.classify(images), plain(images)[1].mean(dim=(2, 3)))
    other = rec()
    other.load_state_dict(room.state_dict())
    torch.testing.assert_close(other.classify(images), room.classify(images))


@torch.no_grad()
def test_drawn_masklets_are_seen_by_g_and_soft_ones_are_measured() -> None:
    room, given = rec(composition="gumbel"), batch()
    torch.manual_seed(0)
    first = room.losses(given, 0.0)
    torch.manual_seed(1)
    second = room.losses(given, 0.0)
    assert float(first["size"]) == float(second["size"])
    for name in ("reconstruction", "guidance"):
        assert float(first[name]) != float(second[name])


@torch.no_grad()
def test_pixels_are_shared_out_among_tags_and_background() -> None:
    room, given = rec().eval(), batch()
    logits = room.networks.logits(given.images)
    maps = room.localize(given.images, given.tags)
    torch.testing.assert_close(maps[0, 0], logits[0, :2].softmax(dim=0)[1])
    assert not bool(maps[0, 1:].any())
    assert not bool(maps[1].any())
    known = torch.ones(2, 3, dtype=torch.bool)
    every = room.localize(given.images, known)
    torch.testing.assert_close(every, logits.softmax(dim=1)[:, 1:])


@torch.no_grad()
def test_the_segmentation_is_the_masklets_on_pixels() -> None:
    room, images = rec().eval(), batch().images
    logits = functional.interpolate(
        room.networks.logits(images), size=(64, 64), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(room.segment(images), logits)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"width": 0}, "--rec.width 0 came; expected 1 or more"),
        ({"imagelet_cell": 0}, "--rec.imagelet-cell 0 came"),
        ({"absent": -1}, "--rec.absent -1 came; expected a count"),
        ({"share": 1.0}, "--rec.share 1.0 came; expected a share"),
        ({"guidance": -0.1}, "--rec.guidance -0.1 came; expected a weight"),
    ],
)
def test_values_that_mean_nothing_are_refused(option: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        RECOptions(**option)  # type: ignore[arg-type]


@torch.no_grad()
def test_without_tags_the_classifier_weighs_the_classes() -> None:
    room, free = rec(told=True).eval(), rec().eval()
    images = batch().images
    tags = torch.sigmoid(room.classify(images))
    shares = room.segment(images).softmax(dim=1)
    plain = free.segment(images).softmax(dim=1)
    expected = torch.cat([plain[:, :1], plain[:, 1:] * tags[:, :, None, None]], dim=1)
    torch.testing.assert_close(shares, expected / expected.sum(dim=1, keepdim=True))
