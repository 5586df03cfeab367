"""The compiled dense CRF: the reference implementation's numbers, alone or together."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from tag2mask.errors import InputError
from tag2mask.refine import native

built = pytest.mark.skipif(not native.available(), reason=native.reason())
with_peer = pytest.mark.skipif(
    importlib.util.find_spec("pydensecrf") is None, reason="pydensecrf2 is not installed"
)
REFUSED = (ValueError, TypeCheckError)  # the latter only while tests check shapes

IRN = {"gaussian": (3.0, 3.0), "bilateral": (50.0, 5.0, 10.0)}
PSA = {"gaussian": (3.0, 3.0), "bilateral": (80.0, 13.0, 10.0)}
DEEPLAB = {"gaussian": (1.0, 3.0), "bilateral": (67.0, 3.0, 4.0)}
SMOOTH = {"gaussian": (3.0, 3.0), "bilateral": None}
APPEARANCE = {"gaussian": None, "bilateral": (20.0, 8.0, 5.0)}
SETTINGS = {
    "irn": IRN,
    "psa": PSA,
    "deeplab": DEEPLAB,
    "smooth": SMOOTH,
    "appearance": APPEARANCE,
    # colours so fine that keys need a second word
    "fine": {"gaussian": None, "bilateral": (10.0, 0.7, 10.0)},
}


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Slopes, edges and grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([3 * x + y, 255 - 2 * y + x, 128 + 40 * np.sin(x / 7)], axis=-1)
    slopes[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(height, width) / 3) ** 2] += 70
    return (slopes + rng.normal(0, 4, slopes.shape)).clip(0, 255).astype(np.uint8)


def energies(labels: int, height: int, width: int, seed: int = 1) -> np.ndarray:
    """Patches of belief, soft and noisy."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    patches = np.stack([np.sin(x / (5 + k) + k) + np.cos(y / (7 + k) - k) for k in range(labels)])
    return (rng.normal(0, 0.5, patches.shape) - patches).astype(np.float32)


def ours(image, unary, gaussian, bilateral, compatibility=None, iterations=10):
    return native.mean_field(image, unary, gaussian, bilateral, compatibility, iterations)


def peer(image, unary, gaussian, bilateral, compatibility=1.0, iterations=10):
    from pydensecrf.densecrf import DenseCRF2D

    labels, height, width = unary.shape
    crf = DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(unary.reshape(labels, -1)))
    if gaussian:
        crf.addPairwiseGaussian(sxy=gaussian[0], compat=gaussian[1] * compatibility)
    if bilateral:
        sxy, srgb, weight = bilateral
        crf.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=image, compat=weight * compatibility)
    return np.array(crf.inference(iterations)).reshape(unary.shape)


@built
@with_peer
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("labels", "size"), [(2, (40, 60)), (3, (64, 48)), (7, (31, 44))])
def test_probabilities_are_the_peers(settings, labels, size) -> None:
    image, unary = photograph(*size), energies(labels, *size)
    found = ours(image, unary[None], **SETTINGS[settings])[0]
    np.testing.assert_allclose(found, peer(image, unary, **SETTINGS[settings]), atol=1e-4)


@built
@with_peer
@pytest.mark.parametrize("iterations", [0, 1, 2, 5])
def test_any_number_of_iterations(iterations) -> None:
    image, unary = photograph(40, 60), energies(3, 40, 60)
    found = ours(image, unary[None], **IRN, iterations=iterations)[0]
    expected = peer(image, unary, **IRN, iterations=iterations)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@built
@with_peer
def test_many_labels() -> None:
    image, unary = photograph(24, 30), energies(21, 24, 30)
    expected = peer(image, unary, **IRN)
    np.testing.assert_allclose(ours(image, unary[None], **IRN)[0], expected, atol=1e-4)


@built
@with_peer
def test_a_given_compatibility() -> None:
    image, unary = photograph(40, 60), energies(3, 40, 60)
    cost = np.array([[0, 1, 0.2], [1, 0, 0.6], [0.4, 0.6, -0.1]], np.float32)
    found = ours(image, unary[None], **IRN, compatibility=cost)[0]
    expected = peer(image, unary, **IRN, compatibility=cost)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@built
def test_potts_is_one_minus_identity() -> None:
    image, unary = photograph(40, 60), energies(3, 40, 60)[None]
    cost = 1 - np.eye(3, dtype=np.float32)
    found = ours(image, unary, **IRN, compatibility=cost)
    np.testing.assert_allclose(found, ours(image, unary, **IRN), atol=5e-5)


@built
def test_without_kernels_it_is_a_softmax() -> None:
    unary = energies(4, 5, 7)[None]
    found = ours(photograph(5, 7), unary, None, None)
    expected = np.exp(-unary.astype(float))
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-6)


@built
@pytest.mark.parametrize("labels", [2, 3, 4, 6, 10])
def test_sharing_a_lattice_changes_nothing(labels) -> None:
    image = photograph(33, 47)
    unaries = np.stack([energies(labels, 33, 47, seed) for seed in range(3)])
    together = ours(image, unaries, **IRN)
    for unary, found in zip(unaries, together, strict=True):
        np.testing.assert_array_equal(ours(image, unary[None], **IRN)[0], found)


@built
def test_threads_on_one_photograph() -> None:
    image, unary = photograph(90, 121), energies(3, 90, 121)[None]
    alone = ours(image, unary, **PSA)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ours, image, unary, **PSA) for _ in range(8)]
    for job in jobs:
        np.testing.assert_array_equal(job.result(), alone)


@built
def test_threads_on_photographs_of_many_sizes() -> None:
    sizes = [(20 + n, 30 + n % 3) for n in range(24)]  # more than the cache of positions holds
    problems = [(photograph(*size), energies(2, *size)[None]) for size in sizes]
    alone = [ours(*problem, **IRN) for problem in problems]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda problem: ours(*problem, **IRN), problems))
    for first, second in zip(alone, found, strict=True):
        np.testing.assert_array_equal(first, second)


@built
@pytest.mark.parametrize("variant", range(len(native.variants())))
@pytest.mark.parametrize("labels", [2, 3, 6, 10])
def test_every_variant_of_the_engine_agrees(variant, labels) -> None:
    from tag2mask.refine import _crf

    image, unary = photograph(33, 47), energies(labels, 33, 47)[None]
    found = np.empty_like(unary)
    shape = (33, 47, 1, labels)
    kernels = (1, *IRN["gaussian"]), (1, *IRN["bilateral"])
    _crf.mean_field(image, unary, None, found, shape, 10, *kernels, variant)
    np.testing.assert_allclose(found, ours(image, unary, **IRN), atol=2e-5)


@built
def test_one_pixel_keeps_its_order() -> None:
    unary = np.array([0.2, 1.5, 0.9], np.float32).reshape(1, 3, 1, 1)
    found = ours(photograph(1, 1), unary, **IRN)
    np.testing.assert_allclose(found.sum(), 1, rtol=1e-6)
    assert found.flatten().argsort().tolist() == [1, 2, 0]


@built
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (16, 1), (5, 3)])
def test_small_and_thin_photographs(size) -> None:
    found = ours(photograph(*size), energies(2, *size)[None], **IRN)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)


@built
def test_one_label_is_certain() -> None:
    found = ours(photograph(6, 9), energies(1, 6, 9)[None], **IRN)
    np.testing.assert_array_equal(found, 1)


@built
def test_a_constant_photograph_smooths_by_position() -> None:
    image = np.full((40, 60, 3), 93, np.uint8)
    unary = np.where(np.arange(60) < 30, 0.2, 1.8) + np.zeros((40, 60))
    unary = np.stack([unary, 2 - unary])[None].astype(np.float32)
    found = ours(image, unary, **IRN)
    np.testing.assert_array_equal(found[0].argmax(0), (np.arange(60) >= 30) + np.zeros((40, 60)))


@built
def test_equal_beliefs_stay_equal() -> None:
    found = ours(photograph(20, 30), np.zeros((1, 4, 20, 30), np.float32), **IRN)
    np.testing.assert_allclose(found, 0.25, rtol=1e-5)


@built
@pytest.mark.filterwarnings("error")
def test_energies_far_apart_stay_finite() -> None:
    unary = energies(3, 20, 30)[None]
    unary[:, 1] = 1e30
    unary[:, 2, :10] = -1e30
    found = ours(photograph(20, 30), unary, **IRN)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0, 2, :10], 1)


@built
def test_memory_of_any_order() -> None:
    image, unary = photograph(20, 30), energies(2, 20, 30)[None]
    expected = ours(image, unary, **IRN)
    turned = np.asfortranarray(image), np.asfortranarray(unary)
    np.testing.assert_array_equal(ours(*turned, **IRN), expected)


@built
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e31])
def test_energies_that_are_not_numbers_are_refused(value) -> None:
    unary = energies(2, 5, 6)[None]
    unary[0, 1, 2, 3] = value
    with pytest.raises(ValueError, match="unary holds NaN, infinity"):
        ours(photograph(5, 6), unary, **IRN)


@built
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gaussian": (0.0, 3.0)}, "standard deviations"),
        ({"gaussian": (3.0, np.nan)}, "weight"),
        ({"bilateral": (50.0, -1.0, 10.0)}, "standard deviations"),
        ({"bilateral": (np.inf, 5.0, 10.0)}, "standard deviations"),
        ({"bilateral": (50.0, 5.0, 1e7)}, "weight"),
        ({"bilateral": (50.0, 1e-7, 10.0)}, "too small"),
        ({"compatibility": np.full((2, 2), np.nan, np.float32)}, "compatibility"),
        ({"iterations": -1}, "iterations"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        ours(photograph(5, 6), energies(2, 5, 6)[None], **{**IRN, **change})


@built
@pytest.mark.parametrize(
    ("image", "unary"),
    [
        ((5, 6, 3), (1, 2, 6, 5)),
        ((5, 6, 3), (2, 5, 6)),
        ((5, 6, 4), (1, 2, 5, 6)),
        ((0, 6, 3), (1, 2, 0, 6)),
        ((5, 6, 3), (0, 2, 5, 6)),
        ((5, 6, 3), (1, 0, 5, 6)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(image, unary) -> None:
    with pytest.raises(REFUSED):
        ours(np.zeros(image, np.uint8), np.zeros(unary, np.float32), **IRN)


@built
def test_types_that_do_not_fit_are_refused() -> None:
    image, unary = photograph(5, 6), energies(2, 5, 6)[None]
    for wrong in [(image.astype(np.float32), unary), (image, unary.astype(np.float64))]:
        with pytest.raises(REFUSED):
            ours(*wrong, **IRN)
    with pytest.raises(REFUSED):
        ours(image, unary, **IRN, compatibility=np.zeros((3, 3), np.float32))


def test_what_is_missing_is_said(monkeypatch) -> None:
    monkeypatch.setattr(native, "_ENGINE", None)
    monkeypatch.setattr(native, "_REASON", "no compiler")
    assert not native.available()
    assert native.reason() == "no compiler"
    assert native.variants() == []
    with pytest.raises(InputError, match="no compiler"):
        ours(photograph(5, 6), energies(2, 5, 6)[None], **IRN)
