"""RTC's terms against loops over cells, and who learns from which."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import equivariance
from oracles import rtc as oracle
from torch import Tensor

from tag2mask.methods.rtc.compensator import compensation, compensation_loss
from tag2mask.methods.rtc.contrast import cells, contrasts
from tag2mask.methods.rtc.decoder import Decoder, Dilated
from tag2mask.methods.rtc.refinement import CrossRepresentation
from tag2mask.methods.rtc.teaching import (
    grid_size,
    is_complete,
    label_counts,
    masked_loss,
    pseudo_labels,
    reaches,
    tagged_maps,
    two_levels,
)
from tag2mask.nn.affinity import spread
from tag2mask.nn.equivariance import spanned
from tag2mask.nn.padding import PAD_COLOUR
from tag2mask.nn.seam import Sight

TAGS = torch.tensor([[True, False, True], [False, True, False]])


def flat(values: Tensor) -> np.ndarray:
    return values.detach().flatten(2).numpy()


def sight(seed: int, size: tuple[int, int] = (4, 5)) -> Sight:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 6, *size, dtype=torch.float64, generator=generator)
    maps = torch.rand(2, 4, *size, dtype=torch.float64, generator=generator)
    maps[:, 1:] *= TAGS[:, :, None, None]
    return Sight(features.requires_grad_(), maps[:, 1:], maps)


def test_maps_refined_by_both_representations_are_the_mean_of_each() -> None:
    block = CrossRepresentation((5, 6, 7)).double()
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    taps = [torch.randn(2, c, 4, 4, dtype=torch.float64) for c in (5, 6, 7)]
    maps = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    found = spread(maps, block(images, taps, (4, 4)))
    assert block.shallow is not None
    assert block.deep is not None
    colours = torch.nn.functional.avg_pool2d(images, 2)
    shallow = block.shallow.mix(torch.cat([colours, block.shallow.reduce[0](taps[0]).relu()], 1))
    parts = [layer(t).relu() for layer, t in zip(block.deep.reduce, taps[1:], strict=True)]
    deep = block.deep.mix(torch.cat(parts, 1))
    assert (shallow.shape[1], deep.shape[1]) == (64, 256)
    for n in range(2):
        expected = oracle.refined(flat(maps)[n], flat(shallow)[n], flat(deep)[n])
        np.testing.assert_allclose(flat(found)[n], expected, atol=1e-9)


def test_one_representation_alone_has_no_layers_of_the_other() -> None:
    shallow, deep = (CrossRepresentation((5, 6, 7), kind) for kind in ("shallow", "deep"))
    assert {name.partition(".")[0] for name, _ in shallow.named_parameters()} == {"shallow"}
    assert {name.partition(".")[0] for name, _ in deep.named_parameters()} == {"deep"}


def test_contrasts_are_the_equations_with_prototypes_of_the_other_view() -> None:
    views, inside = (sight(0), sight(1)), torch.ones(2, 4, 5, dtype=torch.bool)
    inside[1, 3] = False
    rows, labels, prototypes = [], [], []
    for own, other in (views, views[::-1]):
        maps = np.stack(
            [[equivariance.spanned(m) for m in one] for one in flat(own.refined[:, 1:])]
        )
        maps = maps * flat(inside[:, None].expand(-1, 3, -1, -1))
        decided = [
            [equivariance.label(maps[b, :, i], 0.2) if flat(inside[:, None])[b, 0, i] else 255
             for i in range(20)] for b in range(2)
        ]  # fmt: skip
        ground = [[[equivariance.background(maps[b, :, i], decided[b][i]) for i in range(20)]]
                  for b in range(2)]  # fmt: skip
        evidence = np.concatenate([np.asarray(ground), maps], axis=1)
        rows.append(flat(own.features).transpose(0, 2, 1).reshape(40, 6))
        labels.append([*decided[0], *decided[1]])
        prototypes.append(oracle.cross_prototypes(flat(other.features), evidence, 8))
    expected = oracle.three_contrasts(rows, labels, prototypes)
    found = contrasts(*views, inside, 0.2)
    assert set(found) == set(expected)
    for name, value in found.items():
        assert float(value.detach()) == pytest.approx(expected[name], abs=1e-9)
    assert len(set(expected.values())) == 3


def test_prototypes_are_references() -> None:
    one, other = sight(0), sight(1)
    inside = torch.ones(2, 4, 5, dtype=torch.bool)
    found = cells(one, other, inside, 0.2)
    assert not found.prototypes.requires_grad
    contrasts(one, other, inside, 0.2)["intra view"].backward()
    assert one.features.grad is not None
    assert other.features.grad is not None


@pytest.mark.parametrize("alike", [True, False])
def test_compensation_is_the_equation(alike: bool) -> None:
    maps = torch.rand(2, 3, 3, 4, dtype=torch.float64)
    maps[:, 2] = 0
    features = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    found = compensation(maps, features, 4, alike)
    expected = oracle.compensation(flat(maps), flat(features), 4, alike)
    np.testing.assert_allclose(flat(found), expected, atol=1e-9)
    assert not found.requires_grad
    assert bool((found[:, 2] == 0).all())
    low, high = found[:, :2].amin(), found[:, :2].amax()
    assert float(low) >= 0 if alike else float(low) > 0
    assert float(high) <= float(maps.max())  # a mean of the strongest values
    strongest = maps[:, :2].transpose(0, 1).flatten(1).topk(3).values
    weakest = float(strongest.amin())
    assert (float(low) < weakest) == alike  # otherwise nobody hears less than the weakest of them


def test_cells_unlike_a_class_hear_nothing_of_it() -> None:
    maps = torch.zeros(1, 2, 2, 4)
    maps[0, 0, :, :2], maps[0, 1, :, 2:] = 1.0, 1.0
    features = torch.zeros(1, 3, 2, 4)
    features[0, :2] = maps[0]
    features[0, 2] = 1.0
    heard = compensation(maps, features, 4, alike=True)
    torch.testing.assert_close(heard, maps)
    everywhere = compensation(maps, features, 4, alike=False)
    torch.testing.assert_close(everywhere, torch.ones_like(maps))


def test_the_compensator_teaches_the_rough_maps_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    rough = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=generator)
    rough = (rough * TAGS[:, :, None, None]).requires_grad_()
    refined = spanned(torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=generator))
    refined = (refined * TAGS[:, :, None, None]).requires_grad_()
    features = torch.randn(2, 5, 4, 4, dtype=torch.float64, requires_grad=True)
    loss = compensation_loss(rough, refined, features, TAGS, 8)
    told = flat(refined) + oracle.compensation(flat(refined), flat(features), 8, alike=True)
    told *= TAGS.numpy()[:, :, None]
    told /= told.max(axis=2, keepdims=True) + 1e-5
    strong = [
        np.stack([[equivariance.strongest(m[:, i])[1:] for i in range(16)] for m in maps])
        for maps in (told, flat(rough))
    ]
    expected = equivariance.cross(strong[0], strong[1], 0.8)
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)
    loss.backward()
    assert rough.grad is not None
    assert bool((rough.grad != 0).any())
    assert refined.grad is None
    assert features.grad is None


def test_pseudo_labels_are_the_equation() -> None:
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (2, 3, 20, 6), generator=generator).double()
    maps = torch.rand(2, 3, 20, 6, dtype=torch.float64, generator=generator)
    found = pseudo_labels(images, maps, TAGS, (0.4, 0.55), (20, 6))
    for n, classes in enumerate(([1, 3], [2])):
        own = maps[n][torch.tensor(classes) - 1].numpy()
        own = np.stack([equivariance.spanned(m.ravel()).reshape(20, 6) for m in own])
        expected = oracle.pseudo_labels(images[n].numpy(), own, classes, (0.4, 0.55))
        assert found[n].tolist() == expected.tolist()
    assert set(found.unique().tolist()) == {0, 1, 2, 3, 255}


@pytest.mark.parametrize(
    ("size", "expected"),
    [((224, 224), (1, 2, 4, 8, 12, 24)), ((30, 40), (1, 2, 4)), ((7, 6), (1,))],
)
def test_dilations_follow_the_grid(size: tuple[int, int], expected: tuple[int, ...]) -> None:
    assert reaches(size) == expected


def test_two_levels_are_the_equation() -> None:
    maps = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    inside = torch.ones(2, 4, 5, dtype=torch.bool)
    inside[1, 2:] = False
    peaks = list[float]()
    for n, classes in enumerate(([0, 2], [1])):
        own = [equivariance.spanned(maps[n, c].numpy().ravel()).reshape(4, 5) for c in classes]
        peaks += np.max(own, axis=0)[inside[n].numpy()].tolist()
    middle = float(np.mean(peaks) + np.std(peaks) / 2)
    found = two_levels(maps, TAGS, inside, 0.1)
    assert found == pytest.approx((middle - 0.1, middle + 0.1), abs=1e-9)


def test_two_levels_of_photographs_without_tags_leave_background_alone() -> None:
    maps, tags = torch.rand(2, 3, 4, 5), torch.zeros(2, 3, dtype=torch.bool)
    low, high = two_levels(maps, tags, torch.ones(2, 4, 5, dtype=torch.bool), 0.1)
    assert 0 < low < high < 1
    nothing = two_levels(maps, tags, torch.zeros(2, 4, 5, dtype=torch.bool), 0.1)
    assert nothing == (low, high)


def two_halves() -> tuple[Tensor, Tensor]:
    """A picture of two colours, and maps that fade over them in three steps."""
    images = torch.full((1, 3, 24, 24), 40.0)
    images[..., 12:] = 200
    maps = torch.zeros(1, 3, 24, 24)
    maps[0, 0, :, :12], maps[0, 0, :, 12:18], maps[0, 0, :, 18:] = 1.0, 0.4, 0.05
    return images, maps


def test_between_the_levels_nothing_is_known() -> None:
    images, maps = two_halves()
    images[..., 18:] = 90  # a third colour, so that refinement does not mix the steps
    tags = torch.tensor([[True, False, False]])
    (found,) = pseudo_labels(images, maps, tags, (0.2, 0.55), (24, 24))
    assert [row[0] for row in (found[:, 3:4], found[:, 15:16], found[:, 22:23])] == [1, 255, 0]


def test_padding_is_unknown_and_classes_without_a_tag_are_never_there() -> None:
    images, maps = two_halves()
    images[:, :, 20:] = torch.tensor(PAD_COLOUR, dtype=torch.float32).view(3, 1, 1)
    maps[0, 2] = 1.0
    tags = torch.tensor([[True, False, False]])
    (found,) = pseudo_labels(images, maps, tags, (0.2, 0.55), (12, 12))
    assert bool((found[10:] == 255).all())
    assert bool((found[:10, :5] == 1).all())
    assert not bool((found == 3).any())


def test_a_photograph_without_tags_is_background() -> None:
    images, maps = two_halves()
    none = torch.zeros(1, 3, dtype=torch.bool)
    assert bool((pseudo_labels(images, maps, none, (0.2, 0.55), (24, 24)) == 0).all())
    two = torch.cat([none, TAGS[:1]])
    pictures, evidence = images.repeat(2, 1, 1, 1), maps.repeat(2, 1, 1, 1)
    found = pseudo_labels(pictures, evidence, two, (0.2, 0.55), (24, 24))
    assert bool((found[0] == 0).all())
    assert 1 in found[1]


def test_the_tags_maps_come_first_and_in_order() -> None:
    maps = torch.arange(3.0).view(1, 3, 1, 1).expand(2, 3, 2, 2)
    found, classes = tagged_maps(maps, TAGS)
    assert classes.tolist() == [[1, 3], [2, 255]]
    assert found[0, :, 0, 0].tolist() == [0, 2]
    assert float(found[1, 0, 0, 0]) == 1


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("complete", [True, False])
def test_the_masked_loss_is_the_equation(balanced: bool, complete: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 3, 4, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 1, 3, 255])[torch.randint(4, (3, 3, 4), generator=generator)]
    tags = torch.tensor([[True, False, True], [True, False, True], [False, True, False]])
    labels[2] = labels[2].where(labels[2] != 0, 255)
    found = masked_loss(logits.requires_grad_(), labels, tags, balanced, complete)
    expected = oracle.masked(
        flat(logits), labels.flatten(1).numpy(), tags.numpy(), balanced, complete
    )
    assert float(found.detach()) == pytest.approx(expected, abs=1e-12)
    found.backward()
    assert logits.grad is not None
    assert bool((logits.grad[2] == 0).all()) is complete
    unknown = (labels == 255)[:, None].expand_as(logits)
    assert bool((logits.grad[unknown] == 0).all())


def test_a_mask_is_complete_with_every_tag_and_the_background() -> None:
    labels = torch.tensor([[0, 1, 3], [0, 1, 255], [1, 3, 255], [0, 1, 3]])
    tags = torch.tensor([[True, False, True]] * 3 + [[True, False, False]])
    counts = label_counts(labels, 4)
    assert counts.tolist() == [[1, 1, 0, 1], [1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 0, 1]]
    assert is_complete(counts, tags).tolist() == [True, False, False, True]


def test_a_mask_of_one_label_teaches_nothing() -> None:
    """Nothing but background is complete without tags, and balanced away."""
    logits, none = torch.randn(1, 4, 3, 3), torch.zeros(1, 3, dtype=torch.bool)
    assert (
        float(masked_loss(logits, torch.zeros(1, 3, 3, dtype=torch.int64), none, True, True)) == 0
    )
    unknown = torch.full((1, 3, 3), 255)
    assert float(masked_loss(logits, unknown, none, True, False)) == 0


@pytest.mark.parametrize(("size", "reach"), [((10, 7), 2), ((3, 4), 1), ((56, 56), 12)])
def test_the_dilation_follows_the_grid(size: tuple[int, int], reach: int) -> None:
    layer = Dilated(2, 1, 3).double()
    features = torch.randn(1, 2, *size, dtype=torch.float64)
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    expected = oracle.dilated(features[0].numpy(), weight, bias, reach)
    np.testing.assert_allclose(layer(features)[0].detach().numpy(), expected, atol=1e-9)


def test_the_branch_reads_the_whole_grid_and_every_layer_learns() -> None:
    decoder = Decoder(6, 5, 4, 8)
    logits = decoder(torch.randn(2, 6, 5, 4), torch.randn(2, 5, 20, 16))
    assert logits.shape == (2, 4, 20, 16)
    logits.square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name


@pytest.mark.parametrize(
    ("size", "cell", "expected"), [((65, 97), 2, (32, 48)), ((3, 3), 4, (1, 1))]
)
def test_the_grid_of_masks(size: tuple[int, int], cell: int, expected: tuple[int, int]) -> None:
    assert grid_size(size, cell) == expected
