"""A power of the background is a level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag2mask.errors import InputError
from tag2mask.masks import MaskOptions, alpha_level

ALPHAS = st.floats(0.05, 64)


@given(ALPHAS, st.floats(0, 1, width=32))
def test_the_level_decides_as_the_power_does(alpha: float, value: float) -> None:
    assert (value > alpha_level(alpha)) == (value > (1 - value) ** alpha)


@given(ALPHAS)
def test_it_is_sharp_to_the_last_bit(alpha: float) -> None:
    level = alpha_level(alpha)
    above = float(np.nextafter(np.float32(level), np.float32(1)))
    assert not level > (1 - level) ** alpha
    assert above > (1 - above) ** alpha


def test_known_levels() -> None:
    assert alpha_level(1.0) == 0.5
    assert alpha_level(2.0) == pytest.approx((3 - 5**0.5) / 2, abs=1e-7)


def test_the_option_sets_the_level() -> None:
    options = MaskOptions(alpha=16.0)
    assert options.background == alpha_level(16.0)
    assert MaskOptions(background=options.background, alpha=16.0) == options


def test_both_at_once_are_refused() -> None:
    with pytest.raises(InputError, match="both"):
        MaskOptions(background=0.3, alpha=16.0)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_a_power_must_be_above_zero(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        alpha_level(alpha)
