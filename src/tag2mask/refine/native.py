"""The compiled dense CRF, where it could be built; see `tag2mask.refine.csrc` for the engine.

Fully connected CRF with Gaussian edge potentials, mean-field inference with filters on the
permutohedral lattice: the energy, the kernels' symmetric normalisation and the truncations are
those of the reference implementation, and so are the results (`tests/refine/test_native.py`).

The work is done without holding the GIL: threads may work on several photographs, or on one.
"""

from __future__ import annotations

import importlib
import math
from types import ModuleType
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, UInt8

from tag2mask.errors import InputError

Gaussian = tuple[float, float]
Bilateral = tuple[float, float, float]

MOST_ENERGY: Final = 1e30  # differences of energies stay finite
MOST_WEIGHT: Final = 1e6


def _load() -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module("tag2mask.refine._crf"), ""
    except ImportError as error:
        return None, f"{error}; install a C++ compiler, then install tag2mask again"


_ENGINE, _REASON = _load()


def available() -> bool:
    """Whether the compiled part was built and loads here."""
    return _ENGINE is not None


def reason() -> str:
    """Why it is not available, or the empty string."""
    return _REASON


def variants() -> list[str]:
    """Instruction sets that the engine can use here, the one in use first: avx512, avx2, plain."""
    return [] if _ENGINE is None else list(_ENGINE.variants())


def mean_field(
    image: UInt8[np.ndarray, "H W 3"],
    unary: Float32[np.ndarray, "U K H W"],
    gaussian: Gaussian | None,
    bilateral: Bilateral | None,
    compatibility: Float32[np.ndarray, "K K"] | None,
    iterations: int,
) -> Float32[np.ndarray, "U K H W"]:
    """Probabilities of the labels after some steps of mean-field inference.

        Q_i(l) ∝ exp(−U_i(l) − sum over l' of μ(l, l') · sum over j ≠ i of k_ij · Q_j(l'))

    The unaries share one lattice of the photograph; each gets what it would get alone. With no
    kernel or no iteration, the softmax of the negative energies.

    Args:
        unary: energies, −log of probabilities; finite.
        gaussian: standard deviation of the positions in pixels, and weight.
        bilateral: standard deviations of positions and of colours (0 … 255), and weight.
        compatibility: cost μ of two labels, made symmetric; None means Potts (1 − identity).

    Raises:
        InputError: the compiled part is missing.
        ValueError: shapes do not fit, a value is not finite, or a deviation is not positive.
    """
    engine = _engine()
    _check_shapes(image, unary, compatibility, iterations)
    _check_numbers(unary, gaussian, bilateral, compatibility)
    probabilities = np.empty(unary.shape, np.float32)
    if compatibility is not None:
        compatibility = np.ascontiguousarray(0.5 * (compatibility + compatibility.T), np.float32)
    engine.mean_field(
        np.ascontiguousarray(image),
        np.ascontiguousarray(unary),
        compatibility,
        probabilities,
        (*unary.shape[2:], *unary.shape[:2]),
        iterations,
        (0, 1.0, 0.0) if gaussian is None else (1, *gaussian),
        (0, 1.0, 1.0, 0.0) if bilateral is None else (1, *bilateral),
    )
    return probabilities


def _engine() -> ModuleType:
    if _ENGINE is None:
        raise InputError(f"No compiled dense CRF: {_REASON}; or use the one in torch.")
    return _ENGINE


def _check_shapes(image: Any, unary: Any, compatibility: Any, iterations: int) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"image is {image.dtype} {image.shape}, expected uint8 (H, W, 3).")
    if unary.dtype != np.float32 or unary.ndim != 4 or not unary.size:
        raise ValueError(f"unary is {unary.dtype} {unary.shape}, expected float32 (U, K, H, W).")
    if unary.shape[2:] != image.shape[:2]:
        raise ValueError(f"unary is {unary.shape} where the image is {image.shape}.")
    labels = unary.shape[1]
    if compatibility is not None and compatibility.shape != (labels, labels):
        raise ValueError(f"compatibility is {compatibility.shape} for {labels} labels.")
    if iterations < 0:
        raise ValueError(f"{iterations} iterations, expected 0 or more.")


def _check_numbers(
    unary: Any, gaussian: Gaussian | None, bilateral: Bilateral | None, compatibility: Any
) -> None:
    if not (unary.min() >= -MOST_ENERGY and unary.max() <= MOST_ENERGY):
        raise ValueError("unary holds NaN, infinity or energies beyond ±1e30; clip probabilities.")
    if compatibility is not None and not abs(compatibility).max() <= MOST_WEIGHT:
        raise ValueError("compatibility holds NaN or costs beyond ±1e6.")
    for kernel in (gaussian, bilateral):
        if kernel is None:
            continue
        *deviations, weight = kernel
        if not all(0 < deviation < math.inf for deviation in deviations):
            raise ValueError(f"standard deviations {deviations}, expected positive numbers.")
        if not abs(weight) <= MOST_WEIGHT:
            raise ValueError(f"weight {weight}, expected a number up to 1e6.")
