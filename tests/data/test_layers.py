from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.compositing import flatten_slowly

from tag2mask.data.layers import Layer, flatten


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_equals_compositing_pixel_by_pixel(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    background = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    layers = [
        Layer(
            rng.integers(0, 256, (*rng.integers(1, 8, 2), 4), dtype=np.uint8),
            top=int(rng.integers(-9, 9)),
            left=int(rng.integers(-9, 11)),
            owner=number,
        )
        for number in range(1, count + 1)
    ]

    picture, owners = flatten(background, layers)

    expected, expected_owners = flatten_slowly(background, layers)
    np.testing.assert_array_equal(owners, expected_owners)
    # a value that lies exactly between two bytes may round either way
    assert np.abs(picture.astype(int) - expected.astype(int)).max() <= 1
    assert (picture == expected).mean() > 0.99


def test_owns_from_one_half_on() -> None:
    alphas = np.array([[0, 127, 128, 255]], dtype=np.uint8)
    rgba = np.zeros((1, 4, 4), dtype=np.uint8)
    rgba[..., 3] = alphas
    _, owners = flatten(np.zeros((1, 4, 3), dtype=np.uint8), [Layer(rgba, 0, 0, 5)])
    np.testing.assert_array_equal(owners, [[0, 0, 5, 5]])


def test_a_faint_layer_leaves_the_owner_below() -> None:
    solid = np.full((2, 2, 4), 255, dtype=np.uint8)
    faint = solid.copy()
    faint[..., 3] = 100
    layers = [Layer(solid, 0, 0, 1), Layer(faint, 0, 0, 2)]
    _, owners = flatten(np.zeros((2, 2, 3), dtype=np.uint8), layers)
    np.testing.assert_array_equal(owners, np.ones((2, 2)))
