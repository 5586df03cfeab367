"""The dense CRF against loops over pixels, against pydensecrf, and what every CRF must keep."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracles.dense_crf import features_of, mean_field_by_pixel
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.refine import crf, lattice
from tag2mask.refine.contract import Refiner
from tag2mask.refine.crf import CRF, dense_crf, irn_labels, native_kernel, refine_labels
from tag2mask.refine.mean_field import mean_field
from tag2mask.refine.presets import PRESETS, CRFOptions
from tag2mask.refine.unary import (
    unaries_from_alphas,
    unary_from_labels,
    unary_from_probabilities,
    with_background,
)
from tag2mask.types import CamSet

BACKENDS = [
    "torch",
    pytest.param(
        "native",
        marks=pytest.mark.skipif(native_kernel() is None, reason="the C++ kernel is not built"),
    ),
]
IRN = PRESETS["irn"]


def scene(height: int = 60, width: int = 80) -> Tensor:
    """Discs of different colours under noise, as photographs are: smooth, with edges."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack((rows + 40, columns + 60, rows * 0 + 110)).float()
    for y, x, radius, colour in ((0.4, 0.3, 0.25, (200, 60, 50)), (0.6, 0.75, 0.2, (40, 80, 210))):
        inside = (rows - y * height).hypot(columns - x * width) < radius * height
        image[:, inside] = torch.tensor(colour).float()[:, None]
    return (image + torch.randn(3, height, width) * 2).clamp(0, 255).byte()


def rough_labels(height: int = 60, width: int = 80) -> Tensor:
    """Two boxes that roughly cover the discs."""
    labels = torch.zeros(height, width, dtype=torch.uint8)
    labels[height // 6 : height * 2 // 3, width // 12 : width // 2] = 1
    labels[height // 3 : height * 4 // 5, width * 3 // 5 :] = 2
    return labels


def cams(maps: Tensor, size: tuple[int, int], name: str = "a/b") -> CamSet:
    return CamSet(name, torch.arange(1, len(maps) + 1) * 3, maps, size)


def blurry_maps(height: int = 60, width: int = 80) -> Tensor:
    """What a network says: broad bumps at the places of the discs, on a coarse grid."""
    rows, columns = torch.meshgrid(torch.arange(15.0), torch.arange(20.0), indexing="ij")
    bumps = [
        torch.exp(-((rows - y * 15).square() + (columns - x * 20).square()) / 8)
        for y, x in ((0.4, 0.3), (0.6, 0.75))
    ]
    return torch.stack(bumps)


# --- the algebra -----------------------------------------------------------------------------


def filter_matrix(features: np.ndarray) -> np.ndarray:
    """What the lattice does, which has tests of its own, as a matrix."""
    built = lattice.build_lattice(torch.from_numpy(features.T.copy()))
    return built.filter(torch.eye(len(features), dtype=torch.float64)).T.numpy()


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("costs", ["potts", "given"])
def test_mean_field_is_the_algorithm(labels: int, costs: str) -> None:
    image = torch.randint(0, 256, (3, 4, 6), dtype=torch.uint8)
    energies = torch.rand(labels, 4, 6, dtype=torch.float64) * 3
    given = torch.rand(labels, labels, dtype=torch.float64) if costs == "given" else None
    gaussian, bilateral = (2.3, 0.7), (3.1, 55.0, 1.1)
    found = mean_field(image[None], energies[None, None], gaussian, bilateral, given, 4)[0, 0]
    kernels = [
        (filter_matrix(features_of(image.numpy(), 2.3, None)), 0.7),
        (filter_matrix(features_of(image.numpy(), 3.1, 55.0)), 1.1),
    ]
    table = 1 - np.eye(labels) if given is None else given.numpy()
    expected = mean_field_by_pixel(energies.flatten(1).numpy(), kernels, table, 4)
    torch.testing.assert_close(found.flatten(1), torch.from_numpy(expected), rtol=0, atol=1e-9)


def test_photographs_of_a_batch_are_each_refined_alone() -> None:
    images = torch.stack([scene(12, 15), scene(12, 15).flip(2)])
    unaries = torch.rand(2, 3, 3, 12, 15, dtype=torch.float64)
    settings = (2.0, 1.0), (10.0, 30.0, 2.0)
    found = mean_field(images, unaries, *settings)
    for number in range(2):
        alone = mean_field(images[number : number + 1], unaries[number : number + 1], *settings)
        torch.testing.assert_close(found[number], alone[0], rtol=0, atol=1e-9)


# --- pydensecrf and the compiled kernel ------------------------------------------------------


def peer(image: Tensor, unary: Tensor, options: CRFOptions, costs: Tensor | None = None) -> Tensor:
    densecrf = pytest.importorskip("pydensecrf.densecrf")
    count, height, width = unary.shape
    model = densecrf.DenseCRF2D(width, height, count)
    model.setUnaryEnergy(unary.flatten(1).contiguous().numpy())
    if options.gaussian:
        sxy, weight = options.gaussian
        model.addPairwiseGaussian(
            sxy=sxy, compat=weight if costs is None else weight * costs.numpy()
        )
    if options.bilateral:
        sxy, srgb, weight = options.bilateral
        model.addPairwiseBilateral(
            sxy=sxy,
            srgb=srgb,
            rgbim=image.permute(1, 2, 0).contiguous().numpy(),
            compat=weight if costs is None else weight * costs.numpy(),
        )
    return torch.from_numpy(np.array(model.inference(options.iterations))).view_as(unary)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PRESETS)
def test_labels_of_pydensecrf(name: str, backend: crf.Backend) -> None:
    image = scene(90, 120)
    unary = unary_from_labels(rough_labels(90, 120), 3, 0.7)
    found = dense_crf(image, unary, PRESETS[name], backend=backend)
    expected = peer(image, unary, PRESETS[name])
    agreement = (found.argmax(0) == expected.argmax(0)).float().mean()
    assert agreement >= 0.999
    assert (found - expected).abs().mean() < 1e-3
    assert (found.argmax(0) != unary.argmin(0)).float().mean() > 0.01  # it did something


@pytest.mark.parametrize("backend", BACKENDS)
def test_soft_labels_of_pydensecrf(backend: crf.Backend) -> None:
    image = scene(90, 120)
    scores = torch.softmax(torch.rand(2, 9, 12) * 3, dim=0)
    unary = unary_from_probabilities(crf.resize(scores, (90, 120)))
    found = dense_crf(image, unary, PRESETS["psa"], backend=backend).argmax(0)
    expected = peer(image, unary, PRESETS["psa"]).argmax(0)
    assert (found == expected).float().mean() >= 0.999


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_given_compatibility_of_pydensecrf(backend: crf.Backend) -> None:
    image = scene(60, 80)
    unary = unary_from_labels(rough_labels(), 3, 0.7)
    costs = torch.tensor([[0.0, 0.3, 1.0], [0.4, 0.1, 0.8], [1.0, 0.6, 0.0]])
    found = dense_crf(image, unary, IRN, costs, backend)
    expected = peer(image, unary, IRN, costs)
    assert (found.argmax(0) == expected.argmax(0)).float().mean() >= 0.999
    potts = dense_crf(image, unary, IRN, 1 - torch.eye(3), backend)
    torch.testing.assert_close(
        potts, dense_crf(image, unary, IRN, backend=backend), rtol=0, atol=2e-3
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_an_accelerator_decides_alike() -> None:
    image, unary = scene(90, 120), unary_from_labels(rough_labels(90, 120), 3)
    here = dense_crf(image, unary, IRN, backend="torch")
    there = dense_crf(image.to("cuda"), unary.to("cuda"), IRN).cpu()
    assert (here.argmax(0) == there.argmax(0)).float().mean() >= 0.999


def test_unaries_of_pydensecrf() -> None:
    utils = pytest.importorskip("pydensecrf.utils")
    labels = rough_labels(6, 8)
    expected = utils.unary_from_labels(labels.numpy().astype(np.int64), 3, 0.7, zero_unsure=False)
    found = unary_from_labels(labels, 3, 0.7).flatten(1)
    torch.testing.assert_close(found, torch.from_numpy(expected))
    scores = torch.softmax(torch.randn(3, 6, 8) * 9, dim=0)
    expected = utils.unary_from_softmax(scores.numpy())
    torch.testing.assert_close(
        unary_from_probabilities(scores).flatten(1), torch.from_numpy(expected)
    )


def test_energies_at_several_powers_are_those_of_each() -> None:
    maps = torch.rand(3, 7, 9)
    maps[:, 0], maps[:, 1], maps[0, 2] = 0, 1, 1e-7
    found = unaries_from_alphas(maps, (1.0, 4.0, 24.0))
    for energies, alpha in zip(found, (1.0, 4.0, 24.0), strict=True):
        expected = unary_from_probabilities(with_background(maps, alpha=alpha))
        torch.testing.assert_close(energies, expected, rtol=1e-5, atol=1e-6)


# --- properties ------------------------------------------------------------------------------


def test_several_unaries_are_each_refined_alone() -> None:
    image, unaries = scene(), torch.rand(3, 4, 60, 80)
    together = dense_crf(image, unaries, IRN, backend="torch")
    for unary, found in zip(unaries, together, strict=True):
        alone = dense_crf(image, unary, IRN, backend="torch")
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_relabelling_permutes(backend: crf.Backend) -> None:
    image, unary = scene(), torch.rand(4, 60, 80)
    order = torch.tensor([2, 0, 3, 1])
    plain = dense_crf(image, unary, IRN, backend=backend)
    torch.testing.assert_close(
        dense_crf(image, unary[order], IRN, backend=backend), plain[order], rtol=0, atol=1e-3
    )
    torch.testing.assert_close(plain.sum(0), torch.ones(60, 80))


def test_an_absent_label_costs_nothing() -> None:
    """All 21 labels and only those that are present give the same decision."""
    image, labels = scene(), rough_labels() * 7
    every = dense_crf(image, unary_from_labels(labels, 21), IRN, backend="torch").argmax(0)
    present = refine_labels(image, labels, total=21, backend="torch")
    assert (every == present).float().mean() >= 0.999


@pytest.mark.parametrize("axis", [-1, -2])
def test_a_mirrored_picture_is_decided_alike(axis: int) -> None:
    """Nearly: the lattice has an origin, so mirrored pixels lie elsewhere in their simplices."""
    image, labels = scene(90, 120), rough_labels(90, 120)
    plain = refine_labels(image, labels)
    mirrored = refine_labels(image.flip(axis), labels.flip(axis)).flip(axis)
    assert (plain == mirrored).float().mean() > 0.99


def test_labels_move_to_the_edges() -> None:
    image = scene()
    red = (image[0] > 150) & (image[2] < 100)
    before, after = rough_labels() == 1, refine_labels(image, rough_labels()) == 1

    def overlap(mask: Tensor) -> float:
        return float((mask & red).sum() / (mask | red).sum())

    assert overlap(after) > 0.95 > overlap(before) + 0.2


def test_two_threads_on_one_photograph() -> None:
    image, unary = scene(), unary_from_labels(rough_labels(), 3)
    alone = dense_crf(image, unary, IRN)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: dense_crf(image, unary, IRN), range(8)))
    assert all(torch.equal(one, alone) for one in found)


def test_inputs_stay_as_they_are() -> None:
    image, unary = scene(), torch.rand(2, 60, 80)
    before = image.clone(), unary.clone()
    dense_crf(image, unary, IRN)
    assert torch.equal(image, before[0])
    assert torch.equal(unary, before[1])


# --- hard cases ------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (3, 2)])
def test_tiny_and_thin_photographs(size: tuple[int, int], backend: crf.Backend) -> None:
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    found = dense_crf(image, torch.rand(2, *size), IRN, backend=backend)
    assert found.shape == (2, *size)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_pixel_listens_to_itself(backend: crf.Backend) -> None:
    """Both kernels are 1, so the closed form is a fixed-point iteration of two numbers."""
    image, unary = torch.zeros(3, 1, 1, dtype=torch.uint8), torch.tensor([0.2, 0.5]).view(2, 1, 1)
    expected = torch.softmax(-unary, dim=0)
    for _ in range(3):
        expected = torch.softmax(0.8 * expected - unary, dim=0)
    options = CRFOptions(gaussian=(3.0, 0.3), bilateral=(50.0, 5.0, 0.5), iterations=3)
    found = dense_crf(image, unary, options, backend=backend)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_constant_photograph_is_the_majority(backend: crf.Backend) -> None:
    image = torch.full((3, 40, 50), 128, dtype=torch.uint8)
    labels = torch.zeros(40, 50, dtype=torch.uint8)
    labels[:, :18] = 1
    assert not refine_labels(image, labels, backend=backend).any()
    assert refine_labels(image, 1 - labels, backend=backend).all()


def test_one_label_is_certain() -> None:
    found = dense_crf(scene(), torch.rand(1, 60, 80))
    assert torch.equal(found, torch.ones(1, 60, 80))
    assert torch.equal(unary_from_labels(rough_labels() * 0, 1), torch.zeros(1, 60, 80))


def test_no_kernel_and_no_round_leave_the_unary() -> None:
    image, unary = scene(), torch.rand(3, 60, 80)
    expected = torch.softmax(-unary, dim=0)
    for options in (CRFOptions(iterations=0), CRFOptions(gaussian=None, bilateral=None)):
        found = dense_crf(image, unary, options, backend="torch")
        torch.testing.assert_close(found, expected)


def test_unknown_pixels_follow_their_surroundings() -> None:
    image, labels = scene(), rough_labels()
    labels[20:30, 25:30] = 255
    unary = unary_from_labels(labels, 3)
    assert (unary[:, 25, 27] == unary[0, 25, 27]).all()
    assert (refine_labels(image, labels) != 255).all()
    assert torch.equal(refine_labels(image, torch.full_like(labels, 255)), labels * 0 + 255)
    alone = torch.where(labels == 1, labels, 255).to(torch.uint8)
    assert torch.equal(refine_labels(image, alone), torch.ones_like(labels))


def test_the_working_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    places = []
    build = lattice.build_lattice

    def counted(features: Tensor, groups: Tensor | None = None) -> lattice.Lattice:
        places.append(features.shape[1])
        return build(features, groups)

    monkeypatch.setattr("tag2mask.refine.mean_field.build_lattice", counted)
    image = scene(200, 300)
    options = replace(IRN, long_side=37)
    found = dense_crf(image, torch.rand(2, 200, 300), options, backend="torch")
    assert found.shape == (2, 200, 300)
    assert set(places) == {25 * 37}
    assert crf.working_size((4000, 6000), CRFOptions()) == (683, 1024)
    assert crf.working_size((375, 500), CRFOptions()) == (375, 500)
    assert crf.working_size((1, 9000), CRFOptions()) == (1, 1024)


def test_a_smaller_grid_decides_nearly_alike() -> None:
    image, unary = scene(160, 240), unary_from_labels(rough_labels(160, 240), 3)
    full = dense_crf(image, unary, IRN).argmax(0)
    half = dense_crf(image, unary, replace(IRN, long_side=120)).argmax(0)
    assert (full == half).float().mean() > 0.9


# --- maps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [CRFOptions(background=0.15), PRESETS["psa"], IRN])
def test_the_refiner_finds_the_edges(options: CRFOptions) -> None:
    image = scene()
    refiner: Refiner = CRF(options)
    found = refiner(image, cams(blurry_maps(), (60, 80)))
    red = (image[0] > 150) & (image[2] < 100)
    assert (found.id, found.size, found.classes.tolist()) == ("a/b", (60, 80), [3, 6])
    assert found.maps.min() >= 0
    assert found.maps.max() <= 1
    decided = found.maps[0] > 0.5
    assert (decided & red).sum() / (decided | red).sum() > 0.9


def test_a_map_without_evidence_stays_zero() -> None:
    maps = blurry_maps()
    maps[0] = 0
    found = CRF()(scene(), cams(maps, (60, 80))).maps
    assert not found[0].any()
    assert found[1].max() > 0.9
    assert not CRF()(scene(), cams(maps * 0, (60, 80))).maps.any()


def test_a_photograph_without_classes() -> None:
    given = cams(torch.zeros(0, 6, 8), (60, 80))
    assert CRF()(scene(), given).maps.shape == (0, 60, 80)
    assert torch.equal(irn_labels(scene(), given), torch.zeros(60, 80, dtype=torch.uint8))


def test_maps_without_evidence_are_background() -> None:
    found = irn_labels(scene(), cams(blurry_maps() * 0, (60, 80)))
    assert torch.equal(found, torch.zeros(60, 80, dtype=torch.uint8))


def test_seed_labels_are_the_rule() -> None:
    """Two separate calls on the upsampled maps, put together pixel by pixel."""
    image, given = scene(), cams(blurry_maps(), (60, 80))
    found = irn_labels(image, given, 0.3, 0.05, backend="torch")
    maps = crf.resize(given.maps, (60, 80))
    sure, possible = (
        refine_labels(
            image,
            torch.where(maps.amax(0) > level, maps.argmax(0) + 1, 0).byte(),
            total=3,
            backend="torch",
        )
        for level in (0.3, 0.05)
    )
    expected = torch.full((60, 80), 255, dtype=torch.uint8)
    for label, number in ((1, 3), (2, 6)):
        expected[sure == label] = number
    expected[(sure == 0) & (possible == 0)] = 0
    assert (found == expected).float().mean() > 0.999
    assert set(found.unique().tolist()) == {0, 3, 6, 255}


def test_seed_labels_of_a_large_photograph_have_its_size() -> None:
    options = replace(IRN, long_side=40)
    found = irn_labels(scene(120, 160), cams(blurry_maps(), (120, 160)), 0.3, 0.05, options)
    exact = irn_labels(scene(120, 160), cams(blurry_maps(), (120, 160)), 0.3, 0.05)
    assert found.shape == (120, 160)
    assert (found == exact).float().mean() > 0.8


def test_presets_differ() -> None:
    assert all(one != other for one, other in pairwise(PRESETS.values()))
    assert PRESETS["afa"] == CRFOptions()


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_maps_that_are_not_numbers_are_refused_by_name(value: float) -> None:
    maps = blurry_maps()
    maps[1, 3, 3] = value
    for refine in (CRF(), irn_labels):
        with pytest.raises(InputError, match="'cats/7'"):
            refine(scene(), cams(maps, (60, 80), "cats/7"))


def test_maps_of_another_photograph_are_refused() -> None:
    with pytest.raises(InputError, match="'a/b' has"):
        CRF()(scene(), cams(blurry_maps(), (61, 80)))


@pytest.mark.parametrize(
    ("unary", "costs", "words"),
    [
        (torch.rand(2, 60, 81), None, "photograph's size"),
        (torch.rand(1, 1, 2, 60, 80), None, "photograph's size"),
        (torch.full((2, 60, 80), float("nan")), None, "NaN"),
        (torch.full((2, 60, 80), float("inf")), None, "infinity"),
        (torch.rand(2, 60, 80), torch.rand(3, 3), "one row and one column"),
    ],
)
def test_energies_that_cannot_be(unary: Tensor, costs: Tensor | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dense_crf(scene(), unary, IRN, costs)


def test_labels_that_cannot_be() -> None:
    with pytest.raises(InputError, match="Label 2 came where 2"):
        unary_from_labels(rough_labels(), 2)
    with pytest.raises(InputError, match="certainty of 1"):
        unary_from_labels(rough_labels(), 3, 1.0)


def test_a_kernel_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crf, "native_kernel", lambda: None)
    with pytest.raises(InputError, match='backend="torch"'):
        dense_crf(scene(), torch.rand(2, 60, 80), IRN, backend="native")
    assert dense_crf(scene(), torch.rand(2, 60, 80), IRN).shape == (2, 60, 80)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"gaussian": (0.0, 3.0)}, "--crf.gaussian"),
        ({"bilateral": (50.0, -5.0, 3.0)}, "--crf.bilateral"),
        ({"iterations": -1}, "--crf.iterations -1"),
        ({"certainty": 1.0}, "--crf.certainty"),
        ({"alpha": 0.0}, "--crf.alpha"),
        ({"background": 1.1}, "--crf.background"),
        ({"background": 0.2, "alpha": 4.0}, "one of them"),
        ({"long_side": 0}, "--crf.long-side"),
    ],
)
def test_options_that_cannot_be(values: dict[str, object], name: str) -> None:
    with pytest.raises(InputError, match=name):
        CRFOptions(**values)
