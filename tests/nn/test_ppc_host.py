"""PPC's host: who is compared with whom, and cells that are not asked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.contrast import contrast_loss
from tag2mask.nn.host import View
from tag2mask.nn.padding import PAD_COLOUR
from tag2mask.nn.ppc import Cells, PPCHost, cross_label, cross_prototype
from tag2mask.types import TagBatch

CLASSES = 3
CONTRASTS = ("cross prototype", "cross label", "intra view")


def ppc(contrast: float = 0.1, background: float = 0.2) -> PPCHost:
    torch.manual_seed(0)
    backbone = Backbone(BackboneOptions("test_efficientnet", "none"))
    return PPCHost(backbone, CLASSES, contrast=contrast, background=background)


def batch(*tags: tuple[bool, bool, bool]) -> TagBatch:
    torch.manual_seed(1)
    images = functional.interpolate(torch.rand(len(tags), 3, 6, 6) * 255, 96, mode="bilinear")
    return TagBatch(tuple("abc"[: len(tags)]), images, torch.tensor(tags))


SOME = ((True, False, True), (False, True, False))


def cells(seed: int) -> Cells:
    generator = torch.Generator().manual_seed(seed)
    rows, prototypes = torch.randn(2, 4, 5, generator=generator)
    labels = torch.randint(0, 4, (4,), generator=generator)
    return Cells(rows, labels, prototypes, torch.ones(4, dtype=torch.bool))


def test_views_lend_prototypes_in_one_contrast_and_labels_in_the_other() -> None:
    one, other = cells(0), cells(1)
    expected = contrast_loss(one.rows, one.labels, other.prototypes, other.present, 0.1)
    assert torch.equal(cross_prototype(one, other), expected)
    expected = contrast_loss(one.rows, other.labels, one.prototypes, one.present, 0.1)
    assert torch.equal(cross_label(one, other), expected)


def test_contrasts_are_weighted_and_the_mean_of_both_directions() -> None:
    found = []
    for weight in (0.1, 1.0):
        torch.manual_seed(2)
        found.append(ppc(weight).look(batch(*SOME), 0.0)[0])
    for name in CONTRASTS:
        assert float(found[1][name].detach()) == pytest.approx(10 * float(found[0][name].detach()))
    for name in set(found[0]) - set(CONTRASTS):
        assert torch.equal(found[0][name], found[1][name])
    host, given = ppc(), batch(*SOME)
    _, views = host.look(given, 0.0)
    one, other = (host.cells(view, torch.ones(2, 3, 3, dtype=torch.bool)) for view in views)
    expected = 0.05 * (cross_label(one, other) + cross_label(other, one))
    torch.testing.assert_close(found[0]["cross label"], expected)


def view(maps: Tensor) -> View:
    features = torch.randn(len(maps), ppc().backbone.channels, *maps.shape[2:])
    return View(features, maps, maps)


def test_cells_are_labelled_above_the_background_level() -> None:
    maps = torch.zeros(1, CLASSES, 2, 2)
    maps[0, 1] = torch.tensor([[0.0, 0.29], [0.31, 1.0]])
    inside = torch.tensor([[[True, True], [True, False]]])
    found = ppc(background=0.3).cells(view(maps), inside)
    assert found.labels.tolist() == [0, 0, 2, 255]
    assert found.present.tolist() == [True, False, True, False]
    assert found.rows.shape == (4, 128)
    assert bool((found.rows >= 0).all())


def test_a_view_is_brought_to_the_grid_of_the_smaller_one() -> None:
    maps = torch.zeros(1, CLASSES, 4, 4)
    maps[0, 0, :2, :2] = 1.0
    found = ppc().cells(view(maps), torch.ones(1, 2, 2, dtype=torch.bool))
    assert found.labels.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("tags", [((False,) * 3,) * 2, ((True, False, False),)])
def test_no_class_and_one_class_are_defined(tags: tuple[tuple[bool, bool, bool], ...]) -> None:
    host = ppc()
    terms, _ = host.look(batch(*tags), 0.0)
    values = torch.stack([terms[name] for name in CONTRASTS])
    assert bool(values.isfinite().all())
    if not any(map(any, tags)):
        assert bool((values == 0).all())  # background alone has nothing to differ from
    values.sum().backward()
    assert host.projection.weight.grad is not None
    assert bool(host.projection.weight.grad.isfinite().all())


def test_a_photograph_of_padding_alone_is_not_asked() -> None:
    host, given = ppc(), batch(*SOME)
    given.images[1] = torch.tensor(PAD_COLOUR, dtype=torch.float32).view(3, 1, 1)
    terms, views = host.look(given, 0.0)
    inside = torch.ones(2, 3, 3, dtype=torch.bool)
    inside[1] = False
    one, other = (host.cells(view, inside) for view in views)
    for found in (one, other):
        assert bool((found.labels[9:] == 255).all())
        assert not bool(found.present[2])  # no other photograph carries its tag
    expected = 0.05 * (cross_prototype(one, other) + cross_prototype(other, one))
    torch.testing.assert_close(terms["cross prototype"], expected)
