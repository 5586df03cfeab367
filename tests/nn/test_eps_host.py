"""EPS's hosts: the term against loops, which gradient goes where, and in front of PPC."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from oracles import eps as oracle
from torch import Tensor
from torch.nn import functional

from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.eps import EPSHost, PPCOnEPSHost, estimate, overlap, saliency_loss
from tag2mask.nn.host import CAMHost
from tag2mask.nn.padding import PAD_COLOUR
from tag2mask.nn.ppc import PPCHost
from tag2mask.types import Cue, TagBatch

CLASSES = 3
TAGS = torch.tensor([[True, False, True], [False, True, True], [False, False, False]])


def drawn(seed: int, cells: tuple[int, int] = (3, 4)) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities in which classes claim cells, saliency, and what is no padding."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(3, CLASSES + 1, *cells, generator=generator, dtype=torch.float64)
    saliency = torch.rand(3, *cells, generator=generator, dtype=torch.float64)
    return logits.softmax(dim=1), saliency, torch.rand(3, *cells, generator=generator) < 0.8


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("alpha", "consistent"), [(0.5, 0.4), (0.3, 0.5), (1.0, 0.0), (0.0, 0.6)])
def test_the_loss_is_what_the_loops_say(seed: int, alpha: float, consistent: float) -> None:
    probabilities, saliency, inside = drawn(seed)
    found = saliency_loss(probabilities, TAGS, saliency, inside, alpha, consistent)
    flat = (x.flatten(-2).numpy() for x in (probabilities, saliency, inside))
    p, s, shown = flat
    assert float(found) == pytest.approx(
        oracle.loss(p, TAGS.tolist(), s, shown, alpha, consistent), abs=1e-12
    )
    shares = overlap(probabilities[:, 1:], saliency, inside)
    for b in range(3):
        for c in range(CLASSES):
            assert float(shares[b, c]) == pytest.approx(oracle.overlap(p[b, c + 1], s[b], shown[b]))


def test_its_gradient_is_that_of_the_equation() -> None:
    probabilities, saliency, inside = drawn(0, (2, 3))
    given = probabilities.clone().requires_grad_()
    assert torch.autograd.gradcheck(  # type: ignore[no-untyped-call]
        lambda p: saliency_loss(p, TAGS, saliency, inside), (given,), eps=1e-7
    )


def test_a_class_that_the_saliency_contradicts_is_background() -> None:
    """The rails of a train: claimed by a tag, outside of what stands out."""
    probabilities = torch.zeros(1, 3, 1, 4, dtype=torch.float64)
    probabilities[0, 1, 0, :2] = 1.0  # the train
    probabilities[0, 2, 0, 2:] = 1.0  # the rails
    saliency = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]], dtype=torch.float64)
    tags, inside = torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 1, 4, dtype=torch.bool)
    assert overlap(probabilities[:, 1:], saliency, inside).tolist() == [[1.0, 0.0]]
    assert float(saliency_loss(probabilities, tags, saliency, inside)) == 0
    both = estimate(probabilities, tags, torch.ones_like(tags), 0.5)
    assert both.tolist() == [[[1.0, 1.0, 1.0, 1.0]]]


def test_padding_counts_nothing_and_a_batch_of_it_is_zero() -> None:
    probabilities, saliency, inside = drawn(1)
    spoiled = probabilities.where(inside[:, None], 1.0)
    expected = saliency_loss(probabilities, TAGS, saliency, inside)
    assert torch.equal(saliency_loss(spoiled, TAGS, saliency, inside), expected)
    nothing = saliency_loss(probabilities, TAGS, saliency, torch.zeros_like(inside))
    assert float(nothing) == 0


def test_the_order_of_classes_does_not_matter() -> None:
    probabilities, saliency, inside = drawn(2)
    order = [2, 0, 1]
    turned = probabilities[:, [0, *(1 + n for n in order)]]
    torch.testing.assert_close(
        saliency_loss(turned, TAGS[:, order], saliency, inside),
        saliency_loss(probabilities, TAGS, saliency, inside),
    )


def host(kind: type[EPSHost] = EPSHost, **options: Any) -> EPSHost:
    torch.manual_seed(0)
    made = kind(Backbone(BackboneOptions("test_efficientnet", "none")), CLASSES, **options)
    torch.nn.init.normal_(made.classifier.weight)  # more than the first noise
    torch.nn.init.normal_(made.rest.weight)
    return made.train()


def batch() -> TagBatch:
    torch.manual_seed(1)
    images = functional.interpolate(torch.rand(2, 3, 6, 6) * 255, 96, mode="bilinear")
    return TagBatch(("a", "b"), images, TAGS[:2], {Cue.SALIENCY: torch.rand(2, 96, 96)})


def test_the_term_is_that_of_the_cells_means() -> None:
    one, given = host(alpha=0.7, consistent=0.2), batch()
    terms, views = one.look(given, 0.0)
    assert set(terms) == {"tags", "saliency"}
    plain = CAMHost(one.backbone, CLASSES)
    plain.classifier = one.classifier
    others, same = plain.look(given, 0.0)
    torch.testing.assert_close(terms["tags"], others["tags"])
    torch.testing.assert_close(views[0].maps, same[0].maps)
    features, responses = one(given.images)
    p = torch.cat([one.rest(features), responses], dim=1).softmax(dim=1).detach()
    s = given.cues[Cue.SALIENCY].unflatten(1, (6, 16)).unflatten(3, (6, 16)).mean(dim=(2, 4))
    flat = (p.flatten(2).numpy(), given.tags.tolist(), s.flatten(1).numpy())
    expected = oracle.loss(*flat, s.flatten(1).numpy() >= 0, 0.7, 0.2)
    assert float(terms["saliency"].detach()) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(one.evidence(given.images, given.tags).detach(), p[:, 1:])


def test_padding_of_photographs_is_left_out() -> None:
    one, given = host(), batch()
    images = given.images.clone()
    images[:, :, :, 48:] = torch.tensor(PAD_COLOUR).float().view(1, 3, 1, 1)
    saliency = given.cues[Cue.SALIENCY].clone()
    first = one.look(TagBatch(given.ids, images, given.tags, {Cue.SALIENCY: saliency}), 0.0)[0]
    saliency[:, :, 48:] = 1.0
    other = one.look(TagBatch(given.ids, images, given.tags, {Cue.SALIENCY: saliency}), 0.0)[0]
    assert torch.equal(first["saliency"], other["saliency"])


@pytest.mark.parametrize(
    ("term", "taught"),
    [("tags", {"backbone", "classifier"}), ("saliency", {"backbone", "classifier", "rest"})],
)
def test_each_term_teaches_its_own_layers(term: str, taught: set[str]) -> None:
    one = host()
    one.look(batch(), 0.0)[0][term].backward()
    moved = {
        name.partition(".")[0]
        for name, p in one.named_parameters()
        if p.grad is not None and bool(p.grad.any())
    }
    assert moved == taught


def test_in_front_of_ppc_it_adds_its_term_for_both_views() -> None:
    one, given = host(PPCOnEPSHost, scale=0.5, contrast=0.3), batch()
    torch.manual_seed(5)
    terms, views = one.look(given, 0.0)
    torch.manual_seed(5)
    own, _ = PPCHost.look(one, given, 0.0)
    assert {n: float(v.detach()) for n, v in terms.items() if n != "saliency"} == {
        n: float(v.detach()) for n, v in own.items()
    }
    assert [tuple(view.features.shape[2:]) for view in views] == [(6, 6), (3, 3)]
    both = torch.stack([one.explain(view, given) for view in views]).mean()
    torch.testing.assert_close(terms["saliency"], both)
    assert (one.scale, one.contrast, one.background) == (0.5, 0.3, 0.2)
    found = one.evidence(given.images, given.tags)
    torch.testing.assert_close(found, one.probabilities(*one(given.images))[:, 1:])


def test_comparisons_are_not_made_in_half_precision() -> None:
    one, given = host(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        terms, _ = one.look(given, 0.0)
        maps = one.evidence(given.images, given.tags)
    assert (terms["saliency"].dtype, maps.dtype) == (torch.float32, torch.float32)


def test_what_it_needs() -> None:
    assert EPSHost.needs == PPCOnEPSHost.needs == {Cue.SALIENCY}
    with pytest.raises(KeyError):
        host().look(replace(batch(), cues={}), 0.0)
