"""The convolution as it is traced, by the one that runs."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tag2mask.methods.rtc.decoder import REACH, Dilated, shifted


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (7, 5), (16, 21), (56, 30)])
@pytest.mark.parametrize("bias", [True, False])
def test_shifted_copies_are_the_dilated_convolution(size: tuple[int, int], bias: bool) -> None:
    layer = Dilated(4, 5, 3, bias=bias).double()
    features = torch.randn(2, 4, *size, dtype=torch.float64)
    found = shifted(features, layer.weight, layer.bias)
    assert torch.allclose(found, layer(features), atol=1e-12)


@pytest.mark.parametrize("side", range(1, 120))
def test_the_reach_is_rounded_alike(side: int) -> None:
    """One cell in the middle of a row lands where the dilation puts it; ties go to the even."""
    reach = max(1, round(REACH * side))
    features = torch.zeros(1, 1, 1, side, dtype=torch.float64)
    features[..., side // 2] = 1
    weight = torch.arange(9.0, dtype=torch.float64).view(1, 1, 3, 3)
    expected = functional.conv2d(features, weight, padding=reach, dilation=reach)
    assert torch.equal(shifted(features, weight, None), expected)
