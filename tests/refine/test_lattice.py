"""The lattice against points in a dictionary, and against the Gaussian it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles.dense_crf import features_of, gaussian_matrix, lattice_matrix
from torch import Tensor

from tag2mask.errors import InputError
from tag2mask.refine import lattice as module
from tag2mask.refine.lattice import build_lattice


def matrix(features: Tensor, groups: Tensor | None = None) -> Tensor:
    """What the filter does to every unit vector, one a column."""
    count = features.shape[1]
    return build_lattice(features, groups).filter(torch.eye(count, dtype=features.dtype)).T


def places(dimensions: int, count: int = 60, spread: float = 2.0) -> Tensor:
    return torch.randn(dimensions, count, dtype=torch.float64) * spread


@pytest.fixture(params=[True, False], ids=["products", "scatter"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Sparse products, as with MKL, and the operations every device has."""
    if request.param and not module.MULTIPLIES_SPARSE:
        pytest.skip("this PyTorch has no MKL")
    monkeypatch.setattr(module, "MULTIPLIES_SPARSE", request.param)
    return bool(request.param)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5, 7])
def test_it_is_the_lattice_of_the_paper(dimensions: int, both_ways: bool) -> None:
    features = places(dimensions)
    expected = torch.from_numpy(lattice_matrix(features.T.numpy()))
    torch.testing.assert_close(matrix(features), expected, rtol=0, atol=1e-9)
    assert (build_lattice(features).gather is not None) == both_ways


def test_it_is_the_lattice_of_a_photograph() -> None:
    image = torch.randint(0, 256, (3, 7, 9), dtype=torch.uint8).numpy()
    image[:, :, :4] = np.array([90, 61, 133])[:, None, None]
    features = features_of(image, 5.3, 41) + 0.01  # off the places where simplices meet
    expected = torch.from_numpy(lattice_matrix(features))
    found = matrix(torch.from_numpy(features.T.copy()))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_it_is_nearly_the_gaussian(dimensions: int) -> None:
    """Where places lie dense; a wrong spread or a lost direction is off by far more."""
    features = places(dimensions, 1500, 0.7)
    values = (features[0] > 0).double()
    exact = torch.from_numpy(gaussian_matrix(features.T.numpy())) @ values
    found = build_lattice(features).filter(values[None])[0]
    assert (found - exact).abs().mean() < 0.02
    wide = torch.from_numpy(gaussian_matrix(features.T.numpy() / 1.5)) @ values
    assert (found - wide).abs().mean() > 2 * (found - exact).abs().mean()


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_channels_do_not_touch(channels: int, both_ways: bool) -> None:
    lattice = build_lattice(places(5).float())
    values = torch.rand(channels, 60)
    each = torch.cat([lattice.filter(one[None]) for one in values])
    torch.testing.assert_close(lattice.filter(values), each)


def test_photographs_of_a_batch_do_not_touch() -> None:
    one, other = places(3, 20), places(3, 30)
    groups = torch.tensor([0] * 20 + [1] * 30)
    found = matrix(torch.cat((one, other), dim=1), groups)
    torch.testing.assert_close(found, torch.block_diag(matrix(one), matrix(other)))


def test_equal_places_share_equally() -> None:
    found = matrix(torch.full((5, 8), 0.3, dtype=torch.float64))
    torch.testing.assert_close(found, torch.full_like(found, 1 / 8))


def test_a_single_place_keeps_its_value() -> None:
    torch.testing.assert_close(matrix(torch.full((5, 1), 7.0)), torch.ones(1, 1), rtol=0, atol=1e-6)


def test_wide_keys_are_sorted_otherwise() -> None:
    """Keys too wide to carry their place below give the same lattice."""
    features = places(5, 40)
    features[:, 0] = 1000
    features[0, 1] = -1000
    expected = torch.from_numpy(lattice_matrix(features.T.numpy()))
    keys = torch.tensor([5, -3, 5, 1 << 61, 0, -3])
    arranged, order = module._sort(keys)
    assert arranged.tolist() == sorted(keys.tolist())
    assert torch.equal(keys[order], arranged)
    torch.testing.assert_close(matrix(features), expected, rtol=0, atol=1e-9)


def test_packed_keys_are_sorted() -> None:
    keys = torch.randint(-50, 50, (1000,))
    arranged, order = module._sort(keys)
    assert arranged.tolist() == sorted(keys.tolist())
    assert torch.equal(keys[order], arranged)
    assert np.array_equal(order.sort()[0].numpy(), np.arange(1000))


def test_a_span_beyond_counting_is_refused() -> None:
    features = torch.zeros(5, 2)
    features[:, 1] = 1e6
    with pytest.raises(InputError, match="larger spreads"):
        build_lattice(features)
