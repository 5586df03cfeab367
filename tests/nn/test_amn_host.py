"""AMN's host: what tags and seeds do in it, and what it hands to others."""

from __future__ import annotations

import pytest
import torch
from oracles import seeds as oracle
from torch import Tensor
from torch.nn import functional

from tag2mask.nn.amn import ASPP, AMNHost, label_maps, over_background
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.seeds import on_cells
from tag2mask.types import Cue, TagBatch

CLASSES = 3


def host(classes: int = CLASSES) -> AMNHost:
    torch.manual_seed(0)
    made = AMNHost(Backbone(BackboneOptions("test_efficientnet", "none")), classes)
    torch.nn.init.normal_(made.pyramid.products.weight, std=0.3)  # more than the first noise
    return made


def batch(tags: list[list[bool]], size: int = 96, seeds: Tensor | None = None) -> TagBatch:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(len(tags), 3, 6, 6, generator=generator) * 255
    images = functional.interpolate(coarse, size, mode="bilinear")
    if seeds is None:
        kinds = torch.tensor([0, 1, 2, 3, 255])
        seeds = kinds[torch.randint(5, (len(tags), size, size), generator=generator)]
    return TagBatch(tuple("abc"[: len(tags)]), images, torch.tensor(tags), {Cue.SEEDS: seeds})


TWO = [[True, False, True], [False, True, False]]


def dilated_by_loop(features: Tensor, pyramid: ASPP, reaches: tuple[int, ...]) -> Tensor:
    _, _, height, width = features.shape
    labels = len(pyramid.bias)
    found = pyramid.bias.detach().clone()[:, None, None].repeat(1, height, width)
    # given to the left, taken from the right: hence mirrored
    products = pyramid.products.weight.detach().view(len(reaches), labels, 3, 3, -1)
    for weight, reach in zip(products.flip(2, 3), reaches, strict=True):
        for label in range(labels):
            for y in range(height):
                for x in range(width):
                    for i in range(3):
                        for j in range(3):
                            v, u = y + (i - 1) * reach, x + (j - 1) * reach
                            if 0 <= v < height and 0 <= u < width:
                                found[label, y, x] += weight[label, i, j] @ features[0, :, v, u]
    return found


def test_the_pyramid_is_a_sum_of_dilated_convolutions() -> None:
    torch.manual_seed(0)
    pyramid = ASPP(5, 2).double()
    features = torch.randn(1, 5, 6, 9, dtype=torch.float64)
    with torch.no_grad():
        torch.nn.init.normal_(pyramid.bias)
        expected = dilated_by_loop(features, pyramid, (2, 3, 5, 7))  # 9 / 32 of 6, 12, 18, 24
        torch.testing.assert_close(pyramid(features)[0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("grid", "reaches"),
    [
        ((32, 32), (6, 12, 18, 24)),
        ((32, 20), (6, 12, 18, 24)),
        ((14, 14), (3, 5, 8, 10)),
        ((2, 1), (1, 1, 1, 2)),
    ],
)
def test_rates_follow_the_grid(grid: tuple[int, int], reaches: tuple[int, ...]) -> None:
    assert ASPP(1, 2).reaches(torch.zeros(1, 1, *grid)) == reaches


def test_features_are_weighed_by_the_tags() -> None:
    amn, given = host().eval(), batch(TWO)
    with torch.no_grad():
        features, logits = amn.see(given.images, given.tags)
        plain = amn.backbone(given.images)
        for number, tags in enumerate(TWO):
            for channel in range(0, plain.shape[1], 7):
                row = amn.embedding.weight[channel]
                weight = amn.embedding.bias[channel] + row[torch.tensor(tags)].sum()
                expected = plain[number, channel] * weight
                torch.testing.assert_close(features[number, channel], expected)
    assert logits.shape == (2, CLASSES + 1, 6, 6)


def test_its_term_is_the_loss_of_the_seeds_on_its_grid() -> None:
    amn, given = host().eval(), batch(TWO)
    with torch.no_grad():
        terms, (view,) = amn.look(given, 0.0)
        features, logits = amn.see(given.images, given.tags)
        seeds = on_cells(given.cues[Cue.SEEDS], (6, 6))
        expected = oracle.balanced_loss(logits, seeds, 0.4)
    assert set(terms) == {"seeds"}
    assert float(terms["seeds"]) == pytest.approx(expected, rel=1e-5)
    assert torch.equal(view.features, features)
    assert torch.equal(view.responses, logits[:, 1:] - logits[:, :1])
    assert torch.equal(view.maps, amn.evidence(given.images, given.tags))


def test_modules_on_it_get_gradients_but_for_the_maps() -> None:
    amn, given = host().train(), batch(TWO)
    _, (view,) = amn.look(given, 0.0)
    assert view.features.requires_grad
    assert view.responses.requires_grad
    assert not view.maps.requires_grad


def test_maps_are_probabilities_among_the_tags_spanned() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 4, generator=generator, dtype=torch.float64)
    found = label_maps(logits, torch.tensor(TWO))
    for number, tags in enumerate(TWO):
        named = [c for c in range(CLASSES) if tags[c]]
        total = sum(logits[number, k].exp() for k in [0, *(c + 1 for c in named)])
        for c in range(CLASSES):
            if c not in named:
                assert float(found[number, c].max()) == 0
                continue
            p = logits[number, c + 1].exp() / total
            expected = (p - p.min()) / (p.max() - p.min())
            torch.testing.assert_close(found[number, c], expected, rtol=0, atol=5e-4)


def test_responses_say_by_how_much_a_class_beats_the_background() -> None:
    logits = torch.randn(2, 4, 3, 3)
    best = logits.argmax(dim=1)
    assert torch.equal(over_background(logits).amax(dim=1) > 0, best > 0)


def test_asked_without_tags_it_answers_for_all_of_them() -> None:
    amn, given = host().eval(), batch(TWO)
    with torch.no_grad():
        features, responses = amn(given.images)
        _, (view,) = amn.look(batch([[True] * CLASSES] * 2), 0.0)
    assert torch.equal(features, view.features)
    assert torch.equal(responses, view.responses)


@pytest.mark.parametrize("fill", [0, 1, 255])
@pytest.mark.parametrize("tags", [[[False]], [[True]]])
def test_seeds_of_one_kind_and_one_class_and_no_tag_are_defined(
    fill: int, tags: list[list[bool]]
) -> None:
    amn = host(classes=1).train()
    given = batch(tags, seeds=torch.full((1, 96, 96), fill))
    terms, (view,) = amn.look(given, 0.0)
    terms["seeds"].backward()
    assert bool(terms["seeds"].isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in amn.parameters() if p.grad is not None)
    assert bool(view.maps.isfinite().all())
    assert tags[0][0] or float(view.maps.max()) == 0


def test_it_has_no_classifier_of_tags() -> None:
    amn = host()
    heads = {name.split(".")[0] for name, _ in amn.named_parameters()}
    assert heads == {"backbone", "embedding", "pyramid"}
