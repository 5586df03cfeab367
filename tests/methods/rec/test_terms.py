"""REC's terms: each against loops, the closed forms of its minima, and what drawing expects."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from oracles import rec as oracle
from torch.nn import functional

from tag2mask.methods.rec.composition import (
    composed,
    cut_out,
    masklets,
    recomposed,
    reconstruction_loss,
)
from tag2mask.methods.rec.guidance import draw_labels, evidence_loss, guidance_loss, margin
from tag2mask.methods.rec.regulation import (
    area_loss,
    areas,
    pooled_scores,
    pooling_loss,
    prior_loss,
)

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
CLASSES = [1, 3]  # dog or no dog, and several
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def scene(classes: int, size: int = 4) -> tuple[torch.Tensor, ...]:
    """Logits, image-lets, cells of photograph, tags and pictures of two photographs."""
    generator = torch.Generator().manual_seed(classes)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    logits = 4 * draw(2, classes + 1, size, size) - 2
    imagelets = draw(2, classes + 1, 3, size, size)
    inside = draw(2, size, size) > 0.3
    tags = torch.zeros(2, classes, dtype=torch.bool)
    tags[0, 0] = True
    return logits, imagelets, inside, tags, 255 * draw(2, 3, size, size)


def present(tags: torch.Tensor) -> torch.Tensor:
    return functional.pad(tags, (1, 0), value=True)


@pytest.mark.parametrize("classes", CLASSES)
def test_soft_masklets_are_a_softmax_over_labels(classes: int) -> None:
    logits = scene(classes)[0]
    expected = torch.from_numpy(oracle.masklets(logits.numpy()))
    torch.testing.assert_close(masklets(logits, "soft"), expected, **EXACT)


@pytest.mark.parametrize("classes", CLASSES)
def test_hard_masklets_choose_one_label_and_pass_a_gradient(classes: int) -> None:
    logits = scene(classes, 64)[0].requires_grad_()
    found = masklets(logits, "gumbel")
    values = found.detach()
    torch.testing.assert_close(values.sum(dim=1), torch.ones_like(values[:, 0]))
    assert bool(((values - values.round()).abs() < 1e-12).all())
    (found * torch.rand_like(found)).sum().backward()
    assert logits.grad is not None
    assert bool((logits.grad != 0).any())


def test_hard_masklets_choose_as_often_as_the_soft_ones_say() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 200, 200)
    taken = masklets(logits, "gumbel").mean(dim=(0, 2, 3))
    torch.testing.assert_close(taken, logits[0, :, 0, 0].softmax(0), rtol=0, atol=0.01)


@pytest.mark.parametrize("classes", CLASSES)
def test_the_reconstruction_counts_what_shows_the_photograph(classes: int) -> None:
    logits, imagelets, inside, _, pictures = scene(classes)
    shares = masklets(logits, "soft")
    found = reconstruction_loss(pictures, shares, imagelets, inside)
    numbers = [t.numpy() for t in (pictures / 255, shares, imagelets, inside)]
    expected = oracle.reconstruction(*numbers)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_a_photograph_made_of_its_layers_is_found_again() -> None:
    logits, imagelets, inside, _, _ = scene(2)
    shares = masklets(logits, "soft")
    pictures = 255 * recomposed(shares, imagelets)
    loss = reconstruction_loss(pictures, shares, imagelets, inside)
    assert float(loss) == pytest.approx(0, abs=1e-20)
    larger = functional.interpolate(pictures, scale_factor=2, mode="nearest")  # means of cells
    loss = reconstruction_loss(larger, shares, imagelets, inside)
    assert float(loss) == pytest.approx(0, abs=1e-20)


def test_without_any_photograph_nothing_is_lost() -> None:
    logits, imagelets, inside, _, pictures = scene(2)
    nothing = torch.zeros_like(inside)
    shares = masklets(logits, "soft")
    assert float(reconstruction_loss(pictures, shares, imagelets, nothing)) == 0


@pytest.mark.parametrize("classes", CLASSES)
def test_areas_are_means_and_their_loss_is_the_equation(classes: int) -> None:
    logits, _, inside, tags, _ = scene(classes)
    shares = masklets(logits, "soft")
    numbers = shares.numpy(), inside.numpy()
    taken = areas(shares, inside)
    torch.testing.assert_close(taken, torch.from_numpy(oracle.areas(*numbers)), **EXACT)
    expected = oracle.area_loss(*numbers, tags.numpy())
    assert float(area_loss(taken, present(tags))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("tagged", [1, 2])
def test_areas_are_cheapest_in_equal_parts(tagged: int) -> None:
    """The known prior: a lone tag wants half of the picture."""
    found = cheapest(lambda taken, tags: area_loss(taken, tags), tagged)
    expected = torch.tensor([1 / (tagged + 1)] * (tagged + 1) + [0.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-3)


@pytest.mark.parametrize("tagged", [1, 2])
def test_tags_are_cheapest_where_they_have_their_share_together(tagged: int) -> None:
    found = cheapest(lambda taken, tags: prior_loss(taken, tags, 0.2), tagged)
    expected = torch.tensor([0.8, *[0.2 / tagged] * tagged, 0.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-3)


def cheapest(loss: Loss, tagged: int) -> torch.Tensor:
    """Areas of background, tags and one absent class, followed downhill."""
    tags = torch.tensor([[True] * tagged + [False]])
    logits = torch.zeros(1, tagged + 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.2)
    for _ in range(150):
        optimizer.zero_grad()
        loss(logits.softmax(1), present(tags)).backward()
        optimizer.step()
    return logits.softmax(1).detach()[0]


@pytest.mark.parametrize("classes", CLASSES)
def test_pooling_is_the_equation(classes: int) -> None:
    logits, _, inside, tags, _ = scene(classes)
    shares = masklets(logits, "soft")
    scores = pooled_scores(logits, shares, inside)
    for b, k in np.ndindex(*scores.shape):
        expected = oracle.pooled_score(
            *(t.numpy() for t in (logits[b, k], shares[b, k], inside[b]))
        )
        assert float(scores[b, k]) == pytest.approx(expected, rel=1e-9)
    found = pooling_loss(logits, shares, inside, present(tags))
    expected = oracle.pooling_loss(logits.numpy(), inside.numpy(), tags.numpy())
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_the_focal_penalty_is_for_small_labels() -> None:
    inside = torch.ones(1, 1, 1, dtype=torch.bool)
    tiny, whole = (torch.full((1, 1, 1, 1), share) for share in (0.0, 1.0))
    logits = torch.zeros(1, 1, 1, 1)
    assert float(pooled_scores(logits, tiny, inside)) == pytest.approx(math.log(0.01))
    assert float(pooled_scores(logits, whole, inside)) == 0


@pytest.mark.parametrize("classes", CLASSES)
def test_guidance_is_the_equation(classes: int) -> None:
    tags, weights = scene(classes)[3], torch.rand(2, classes + 1, dtype=torch.float64)
    weights[1, 1] = 0
    pairs = weights.nonzero(as_tuple=True)
    scores = 3 * torch.randn(len(pairs[0]), classes, dtype=torch.float64)
    found = guidance_loss(scores, pairs, weights, tags)
    named = {(int(b), int(k)): s.numpy() for b, k, s in zip(*pairs, scores, strict=True)}
    expected = oracle.guidance(named, weights.numpy(), tags.numpy())
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_the_margin_is_of_tags_alone_and_never_below_one() -> None:
    tags = torch.tensor([[True, False], [True, True]])
    whole, nothing = torch.tensor([[4.0, 90.0], [7.0, 1.0]]), torch.tensor([[-2.0, 1.0]])
    assert float(margin(whole, nothing, tags)) == (6 + 9 + 0) / 3
    assert float(margin(whole[:1] - 9, nothing, tags[:1])) == 1
    assert float(margin(whole, nothing, torch.zeros_like(tags))) == 1


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("some", [True, False])
def test_evidence_is_the_equation(classes: int, some: bool) -> None:
    tags, weights = scene(classes)[3] & some, torch.rand(2, classes + 1, dtype=torch.float64)
    weights[1, 1] = 0
    pairs = weights.nonzero(as_tuple=True)
    scores = 3 * torch.randn(len(pairs[0]), classes, dtype=torch.float64)
    whole, nothing = (3 * torch.randn(n, classes, dtype=torch.float64) for n in (2, 1))
    found = evidence_loss(scores, pairs, weights, tags, (whole, nothing))
    named = {(int(b), int(k)): s.numpy() for b, k, s in zip(*pairs, scores, strict=True)}
    numbers = [t.numpy() for t in (weights, tags, whole, nothing[0])]
    assert float(found) == pytest.approx(oracle.evidence(named, *numbers), rel=1e-9)


def test_all_evidence_in_its_own_picture_costs_nothing() -> None:
    """Whatever the units of g are; and none of it anywhere costs one a tag."""
    tags, pairs = torch.tensor([[True, True, False]]), (torch.tensor([0, 0, 0]), torch.arange(3))
    whole, nothing = torch.tensor([[9.0, 4.0, -2.0]]), torch.tensor([[-1.0, 1.0, 0.0]])
    apart = torch.stack([nothing[0], torch.tensor([9.0, 0, 5]), torch.tensor([-3.0, 4, 5])])
    weights = torch.ones(1, 4)
    assert float(evidence_loss(apart, pairs, weights, tags, (whole, nothing))) == 0
    gone = nothing.repeat(3, 1)
    assert float(evidence_loss(gone, pairs, weights, tags, (whole, nothing))) == 2


@pytest.mark.parametrize("classes", CLASSES)
def test_the_prior_is_the_equation(classes: int) -> None:
    logits, _, inside, tags, _ = scene(classes)
    tags[0] = True
    shares = masklets(logits, "soft")
    expected = oracle.prior_loss(shares.numpy(), inside.numpy(), tags.numpy(), 0.3)
    found = prior_loss(areas(shares, inside), present(tags), 0.3)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_with_one_tag_and_half_the_picture_the_prior_is_the_papers() -> None:
    taken = torch.rand(3, 4, dtype=torch.float64)
    tags = torch.tensor([[True, False, False]] * 3)
    found, expected = prior_loss(taken, present(tags), 0.5), area_loss(taken, present(tags))
    torch.testing.assert_close(found, expected)


def test_every_label_is_drawn_as_it_should_and_counts_in_the_mean_as_once() -> None:
    tags = torch.tensor([[True, False, False, False, False], [False] * 5, [True] * 5])
    draws = draw_labels(tags.repeat(4000, 1), 2).view(4000, 3, 6)
    assert bool((draws[:, :, 0] == 1).all())
    assert bool((draws[:, 0, 1] == 1).all())
    assert bool((draws[:, 2] == 1).all())
    made = (draws > 0).sum(dim=2)
    assert made.unique(dim=0).tolist() == [[4, 3, 6]]
    torch.testing.assert_close(draws.mean(dim=0), torch.ones(3, 6), rtol=0, atol=0.1)
    assert set(draws[:, 0].unique().tolist()) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize("absent", [0, 9])
def test_no_absent_label_or_all_of_them(absent: int) -> None:
    tags = torch.tensor([[True, False, False]])
    expected = [1.0, 1.0, 1.0, 1.0] if absent else [1.0, 1.0, 0.0, 0.0]
    assert draw_labels(tags, absent).tolist() == [expected]


def test_the_drawn_loss_expects_the_whole_one() -> None:
    tags = torch.tensor([[True, False, False, False]]).repeat(4000, 1)
    scores = torch.randn(1, 5, 4).repeat(4000, 1, 1)

    def loss(weights: torch.Tensor) -> float:
        pairs = weights.nonzero(as_tuple=True)
        return float(guidance_loss(scores[pairs], pairs, weights, tags))

    assert loss(draw_labels(tags, 1)) == pytest.approx(loss(torch.ones(4000, 5)), rel=0.03)


def test_pictures_of_one_label_alone() -> None:
    logits, imagelets, _, _, pictures = scene(2)
    shares = masklets(logits, "soft")
    ground = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64).view(1, 3, 1, 1)
    photos, labels = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1])
    made = composed(imagelets, shares, (photos, labels), (4, 4), ground)
    cut = cut_out(pictures, shares, (photos, labels), ground)
    for n, (b, k) in enumerate(zip(photos.tolist(), labels.tolist(), strict=True)):
        for c, y, x in np.ndindex(3, 4, 4):
            share, rest = float(shares[b, k, y, x]), 10 * (c + 1)
            own = 255 * float(imagelets[b, k, c, y, x])
            assert float(made[n, c, y, x]) == pytest.approx(share * own + (1 - share) * rest)
            own = float(pictures[b, c, y, x])
            assert float(cut[n, c, y, x]) == pytest.approx(share * own + (1 - share) * rest)
    assert composed(imagelets, shares, (photos, labels), (8, 12), ground).shape == (3, 3, 8, 12)
