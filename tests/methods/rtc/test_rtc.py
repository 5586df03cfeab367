"""RTC as a room: what it says of a batch, which term teaches what, when, and how it segments."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.methods import METHODS
from tag2mask.methods.rtc import RTC, RTCOptions
from tag2mask.methods.rtc.contrast import contrasts
from tag2mask.methods.rtc.teaching import masked_loss, pseudo_labels, two_levels
from tag2mask.nn.affinity import spread
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.equivariance import smaller, spanned, strongest
from tag2mask.nn.host import normalised, tag_loss
from tag2mask.nn.taps import inner_stages, watching
from tag2mask.types import TagBatch

CLASSES = 3
TWO = ((True, False, True), (False, True, False))
SEEN = {"tags", "lowest", "equivariance", "cross", "segmentation"}
CONTRASTS = {"intra view", "cross label", "cross prototype"}


def rtc(name: str = "test_efficientnet", stride: int = 16, **options: object) -> RTC:
    torch.manual_seed(0)
    backbone = Backbone(BackboneOptions(name, "none", stride=stride))
    room = RTC(RTCOptions(**options), backbone, CLASSES)  # type: ignore[arg-type]
    torch.nn.init.normal_(room.classifier.weight)  # more than the first noise
    return room.eval()  # without the dropout


def batch(tags: tuple[tuple[bool, ...], ...] = TWO, size: int = 96) -> TagBatch:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(len(tags), 3, 6, 6, generator=generator) * 255
    images = functional.interpolate(coarse, size, mode="bilinear")
    return TagBatch(tuple("abc"[: len(tags)]), images, torch.tensor(tags))


def test_it_is_in_the_table() -> None:
    assert METHODS["rtc"] is RTC
    assert RTC.Options is RTCOptions


@torch.no_grad()
def test_a_view_is_what_the_blocks_make_of_it() -> None:
    room, given = rtc(), batch()
    view = room.see(given.images, given.tags)
    with watching(inner_stages(room.backbone.network)[0]) as inner:
        last = room.backbone(given.images)
    features = room.embedding(last).relu()
    responses = room.classifier(features)
    torch.testing.assert_close(view.features, features)
    torch.testing.assert_close(view.responses, responses)
    torch.testing.assert_close(view.last, last)
    assert view.early.shape[2:] == (24, 24)
    pictures = (given.images - room.backbone.mean) / room.backbone.deviation
    shares = room.correlation(pictures, [*inner, last], (6, 6))
    maps = strongest(normalised(responses, given.tags))
    torch.testing.assert_close(view.refined, spread(maps, shares))
    found = room.localize(given.images, given.tags)
    torch.testing.assert_close(found, spanned(view.refined[:, 1:]))
    scores = room(given.images)  # as every host
    torch.testing.assert_close(scores[1], responses)


@torch.no_grad()
def test_the_terms_are_those_of_the_two_views_and_weighted() -> None:
    room, given = rtc(compensation=0.5), batch()
    first = room.see(given.images, given.tags)
    second = room.see(smaller(given.images, 0.6), given.tags)
    size = second.features.shape[2:]
    assert tuple(size) == (4, 4)
    terms = room.losses(given, 0.0)
    assert set(terms) == SEEN | CONTRASTS | {"compensation"}
    expected = (tag_loss(first.responses, given.tags) + tag_loss(second.responses, given.tags)) / 2
    torch.testing.assert_close(terms["tags"], expected)
    inside = torch.ones(2, 4, 4, dtype=torch.bool)
    for name, value in contrasts(first, second, inside, 0.2).items():
        torch.testing.assert_close(terms[name], 0.1 * value)
    twice = rtc(compensation=1.0).losses(given, 0.0)["compensation"]
    torch.testing.assert_close(2 * terms["compensation"], twice)


@pytest.mark.parametrize(
    ("name", "taught"),
    [
        ("tags", {"backbone", "embedding", "classifier"}),
        ("equivariance", {"backbone", "embedding", "classifier"}),
        ("lowest", {"correlation"}),
        ("cross", {"correlation"}),
        ("intra view", {"backbone", "embedding"}),
        ("cross label", {"backbone", "embedding"}),
        ("cross prototype", {"backbone", "embedding"}),
        ("compensation", {"backbone", "embedding", "classifier"}),
        ("segmentation", {"backbone", "decoder"}),
    ],
)
def test_each_term_teaches_its_own_layers(name: str, taught: set[str]) -> None:
    room = rtc(complete=False)
    torch.nn.init.normal_(room.decoder.classifier.weight)
    room.losses(batch(), 0.5)[name].backward()
    moved = {
        place.partition(".")[0]
        for place, p in room.named_parameters()
        if p.grad is not None and bool((p.grad != 0).any())
    }
    assert moved == taught


def test_terms_of_weight_zero_are_left_out() -> None:
    assert set(rtc(contrast=0.0).losses(batch(), 0.0)) == SEEN | {"compensation"}
    assert set(rtc(compensation=0.0).losses(batch(), 0.0)) == SEEN | CONTRASTS


@pytest.mark.parametrize(("progress", "taught"), [(0.0, False), (0.39, False), (0.4, True)])
def test_the_branch_is_taught_after_the_warm_up(progress: float, taught: bool) -> None:
    room = rtc(warmup=0.4, complete=False)
    loss = room.losses(batch(), progress)["segmentation"]
    assert (float(loss.detach()) > 0) is taught
    loss.backward()
    for parameter in room.decoder.parameters():
        assert parameter.grad is not None  # processes that train together wait for it
    given = room.decoder.classifier.weight.grad
    assert given is not None
    assert bool((given != 0).any()) is taught


@torch.no_grad()
@pytest.mark.parametrize("middle", [None, 0.45])
def test_the_branch_is_taught_by_the_refined_maps_of_the_first_view(middle: float | None) -> None:
    room, given = rtc(complete=False, middle=middle, unsure=0.15), batch()
    torch.nn.init.normal_(room.decoder.classifier.weight)
    view = room.see(given.images, given.tags)
    maps = view.refined[:, 1:]
    everywhere = torch.ones(len(maps), *maps.shape[2:], dtype=torch.bool)
    blind = two_levels(maps, given.tags, everywhere, 0.15)
    levels = blind if middle is None else (0.3, 0.6)
    labels = pseudo_labels(given.images, maps, given.tags, levels, (24, 24))
    assert len(labels.unique()) > 1
    logits = room.decoder(view.last, view.early)
    expected = masked_loss(logits, labels, given.tags, True, False)
    torch.testing.assert_close(room.losses(given, 0.9)["segmentation"], expected)


@torch.no_grad()
@pytest.mark.parametrize("size", [(96, 64), (65, 97), (32, 40)])
def test_predicted_tags_weigh_the_classes_and_not_the_background(size: tuple[int, int]) -> None:
    room, images = rtc(), torch.rand(2, 3, *size) * 255
    last, early = room.trunk(images)
    logits = functional.interpolate(room.decoder(last, early), size, mode="bilinear")
    present = room(images)[1].mean(dim=(2, 3)).sigmoid()
    weighed = logits.softmax(dim=1)
    weighed[:, 1:] *= present[:, :, None, None]
    found = room.segment(images)
    assert found.shape == (2, CLASSES + 1, *size)
    torch.testing.assert_close(found.softmax(dim=1), weighed / weighed.sum(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("name", "stride"), [("test_convnext", 32), ("test_vit", 16), ("resnet10t", 8)]
)
def test_other_networks_segment_too(name: str, stride: int) -> None:
    room, given = rtc(name, stride), batch(size=160)  # the smallest that test_vit takes
    terms = room.losses(given, 0.5)
    assert all(bool(value.isfinite()) for value in terms.values())
    assert room.segment(given.images).shape == (2, CLASSES + 1, 160, 160)


def test_comparisons_are_not_made_in_half_precision() -> None:
    room = rtc()
    with torch.autocast("cpu", torch.bfloat16):
        terms = room.losses(batch(), 0.5)
        logits = room.segment(batch().images)
    assert logits.dtype is torch.float32
    for name in set(terms) - {"tags"}:
        assert terms[name].dtype is torch.float32, name
        assert math.isfinite(float(terms[name].detach())), name


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": 0.0}, r"--rtc.scale 0.0 came; expected a share"),
        ({"scale": 1.0}, r"--rtc.scale 1.0 came; expected a share"),
        ({"warmup": 1.0}, r"--rtc.warmup 1.0 came; expected a share"),
        ({"contrast": -0.1}, r"--rtc.contrast -0.1 and .* expected weights"),
        ({"compensation": -1.0}, r"--rtc.compensation -1.0 came; expected weights"),
        ({"background": 1.0}, r"--rtc.background 1.0 came; expected a level"),
        ({"middle": 0.1}, r"--rtc.middle 0.1 and --rtc.unsure 0.175 came; expected both levels"),
        ({"middle": 0.9}, r"--rtc.middle 0.9 and --rtc.unsure 0.175 came; expected both levels"),
        ({"unsure": 0.5}, r"--rtc.middle None and --rtc.unsure 0.5 came; expected both levels"),
        ({"cell": 0}, r"--rtc.cell 0 and"),
        ({"width": 0}, r"--rtc.width 0 came; expected 1 or more"),
    ],
)
def test_options_that_no_training_can_have(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RTCOptions(**wrong)  # type: ignore[arg-type]
