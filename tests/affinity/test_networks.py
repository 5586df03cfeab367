"""PSA and IRN: their objectives against loops over pairs, and what every such network keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from oracles import affinity as oracle
from torch import Tensor

from tag2mask.affinity import IRN, LEARNED, PSA, AffinityNetwork, IRNOptions, PSAOptions
from tag2mask.affinity.irn import displacement_costs
from tag2mask.affinity.pairs import relations
from tag2mask.errors import InputError
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.walk import half_disc
from tag2mask.types import UNKNOWN, MaskBatch

SMALL: dict[str, Any] = {
    "psa": PSAOptions(width=8, radius=3, rate=1e-2),
    "irn": IRNOptions(width=32, radius=4, rate=1e-2),
}
BACKBONES = [
    ("test_efficientnet", 16),
    ("test_resnet", 32),
    ("test_convnext", 32),
    ("test_vit", 16),
]


def network(name: str, backbone: str = "test_efficientnet", stride: int = 16) -> AffinityNetwork:
    torch.manual_seed(0)
    trunk = Backbone(BackboneOptions(backbone, "none", stride=stride))
    made: AffinityNetwork = LEARNED[name](SMALL[name], trunk)
    return made


def batch(size: tuple[int, int] = (64, 32)) -> MaskBatch:
    labels = torch.tensor([0, 1, 2, UNKNOWN])[torch.randint(0, 4, (2, size[0] // 8, size[1] // 8))]
    labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    return MaskBatch(("a", "b"), torch.rand(2, 3, *size) * 255, labels)


def on_cells(labels: Tensor, cell: int) -> list[np.ndarray]:
    """The label in the middle of every cell."""
    return [picture[cell // 2 :: cell, cell // 2 :: cell].numpy() for picture in labels]


def table(of: Any, values: np.ndarray, size: tuple[int, int], radius: int) -> np.ndarray:
    found = np.zeros((*size, *size))
    for first, second in oracle.near(size, radius):
        found[(*first, *second)] = of(values, first, second)
    return found


def test_the_objective_of_irn_is_the_loops() -> None:
    irn, given = network("irn").double(), batch()
    assert isinstance(irn, IRN)
    given = MaskBatch(given.ids, given.images.double(), given.labels)
    edges, fields = (found.detach().numpy() for found in irn.look(given.images))
    seeds = on_cells(given.labels, 4)
    tables = [table(oracle.by_edges, e, (16, 8), 4) for e in edges]
    moved = oracle.displacement_terms(fields, seeds, 4)
    expected = [*oracle.affinity_terms(tables, seeds, 4), *moved]
    terms = irn.losses(given, 0.0)
    assert [float(term.detach()) for term in terms.values()] == pytest.approx(expected, abs=1e-9)
    assert list(terms) == [
        "background pairs",
        "class pairs",
        "different pairs",
        "background displacement",
        "class displacement",
    ]


def test_the_objective_of_psa_is_the_loops() -> None:
    psa, given = network("psa").double(), batch()
    assert isinstance(psa, PSA)
    given = MaskBatch(given.ids, given.images.double(), given.labels)
    features = psa.embed(given.images).detach().numpy()
    seeds = on_cells(given.labels, 8)
    tables = [table(oracle.by_features, f, (8, 4), 3) for f in features]
    terms = psa.losses(given, 0.0)
    expected = oracle.affinity_terms(tables, seeds, 3)
    assert [float(term.detach()) for term in terms.values()] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", LEARNED)
def test_the_walk_gets_the_affinities_of_the_pairs(name: str) -> None:
    made, images = network(name).double().eval(), torch.rand(1, 3, 64, 96).double() * 255
    with torch.no_grad():
        affinity, kept = made.near(images)
        if isinstance(made, IRN):
            values, of = made.look(images)[0], oracle.by_edges
        else:
            assert isinstance(made, PSA)
            values, of = made.embed(images), oracle.by_features
    assert bool((kept == 1).all())
    size = (64 // made.cell, 96 // made.cell)
    assert affinity.shape == (1, 34, *size)
    for number, (down, right) in enumerate(half_disc(5)):
        for y, x in ((0, 4), (2, 5), (3, 9)):
            if y + down < size[0] and 0 <= x + right < size[1]:
                expected = of(values[0].numpy(), (y, x), (y + down, x + right))
                assert float(affinity[0, number, y, x]) == pytest.approx(expected, abs=1e-9)


def test_maps_may_be_taken_off_the_edges() -> None:
    trunk = Backbone(BackboneOptions("test_efficientnet", "none"))
    irn, images = IRN(IRNOptions(off_edges=True), trunk).eval(), torch.rand(1, 3, 64, 96) * 255
    with torch.no_grad():
        _, kept = irn.near(images)
        torch.testing.assert_close(kept, 1 - irn.look(images)[0])


def test_cells_that_point_to_one_place_cost_nothing() -> None:
    labels = torch.ones(1, 6, 7, dtype=torch.uint8)
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    field = torch.stack([2.5 - rows, 3.0 - columns])[None]
    for step in half_disc(5):
        same, background = displacement_costs(field, step, relations(labels, step))
        assert float(same) == pytest.approx(0, abs=1e-4)
        assert float(background) == 0


def test_displacement_gradient() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 2, 1, 1], [0, 0, 0, 1]]], dtype=torch.uint8)
    field = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    for step in ((0, 1), (1, -1), (2, 1)):
        related = relations(labels, step)
        assert torch.autograd.gradcheck(
            lambda f, s=step, r=related: displacement_costs(f, s, r), (field,)
        )


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize(("backbone", "stride"), BACKBONES)
def test_any_backbone(name: str, backbone: str, stride: int) -> None:
    made, given = network(name, backbone, stride).train(), batch((64, 64))
    total = torch.stack(list(made.losses(given, 0.0).values())).sum()
    assert bool(torch.isfinite(total))
    total.backward()
    owned = [id(p) for o in made.optimizers() for g in o.param_groups for p in g["params"]]
    learning = {id(p) for p in made.parameters() if p.requires_grad}
    assert sorted(owned) == sorted(learning)
    for parameter_name, parameter in made.named_parameters():
        learns = not parameter_name.startswith("pyramid.")
        assert parameter.requires_grad == learns
        assert (parameter.grad is not None) == learns
    with torch.no_grad():
        affinity, kept = made.eval().near(given.images)
    cells = -(-64 // made.cell)
    assert affinity.shape == (2, 34, cells, cells)
    assert kept.shape == (2, cells, cells)


@pytest.mark.parametrize("name", LEARNED)
def test_seeds_without_a_known_pair_cost_nothing(name: str) -> None:
    given = batch()
    unknown = MaskBatch(given.ids, given.images, torch.full_like(given.labels, UNKNOWN))
    terms = network(name).losses(unknown, 0.0)
    assert [float(term.detach()) for term in terms.values()] == [0.0] * len(terms)


@pytest.mark.parametrize("name", LEARNED)
def test_a_few_steps_learn(name: str) -> None:
    """Left and right half differ in colour and label: the objective falls."""
    made, given = network(name).train(), batch()
    given.images[..., :16], given.images[..., 16:] = 30, 220
    given.labels[..., :16], given.labels[..., 16:] = 0, 1
    (optimizer,) = made.optimizers()
    found = []
    for _ in range(12):
        total = torch.stack(list(made.losses(given, 0.0).values())).sum()
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(total.detach()))
    assert found[-1] < 0.8 * found[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"foreground": 0.3}, "--irn.background None and --irn.foreground 0.3 came; expected both"),
        ({"foreground": 0.2, "background": 0.3}, "levels between 0 and 1"),
        ({"radius": 1}, "--irn.radius 1 came"),
        ({"walk": -1}, "--irn.walk -1"),
        ({"width": 48}, "--irn.width 48 came"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        IRNOptions(**options)
