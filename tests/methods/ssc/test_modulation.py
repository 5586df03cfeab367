"""Self-modulation against loops, and what holds for every target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import ssc as oracle
from torch import Tensor
from torch.nn import functional

from tag2mask.methods.ssc.modulation import eroded, modulated, modulation_loss
from tag2mask.nn.host import over_peak


def drawn(seed: int, height: int = 12, width: int = 10) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(3, 4, 5, dtype=torch.float64, generator=generator)
    maps = functional.interpolate(coarse[None], (height, width), mode="bilinear")[0]
    regions = torch.randint(-1, 6, (3, height // 2, width // 2), generator=generator)
    return maps, regions.repeat_interleave(2, 1).repeat_interleave(2, 2)


@given(st.integers(0, 500), st.integers(1, 5), st.sampled_from([0.0, 0.3, 0.6]))
def test_the_target_is_the_papers(seed: int, window: int, threshold: float) -> None:
    maps, regions = drawn(seed)
    found = modulated(maps, regions, threshold, window)
    for one, numbers, made in zip(maps, regions, found, strict=True):
        expected = oracle.target(one.numpy(), numbers.numpy(), threshold, window)
        np.testing.assert_allclose(made.numpy(), expected, rtol=1e-9, atol=1e-12)


@given(st.integers(0, 500), st.integers(1, 9))
def test_erosion_is_a_minimum_over_the_window(seed: int, window: int) -> None:
    selected = torch.rand(2, 9, 8, generator=torch.Generator().manual_seed(seed)) < 0.8
    expected = [oracle.eroded(one.numpy(), window) for one in selected]
    assert np.array_equal(eroded(selected, window).numpy(), np.stack(expected))


@given(st.integers(0, 500))
def test_what_is_reliable_is_never_lowered(seed: int) -> None:
    maps, regions = drawn(seed)
    activation = over_peak(maps)
    kept = activation * eroded(activation > 0.3, 3)
    assert bool((modulated(maps, regions, 0.3, 3) >= kept).all())


def test_single_pixels_as_regions_change_nothing() -> None:
    maps, _ = drawn(0)
    alone = torch.arange(120).view(1, 12, 10).repeat(3, 1, 1)
    for threshold in (0.3, 2.0):  # above 1, nothing is reliable
        found = modulated(maps, alone, threshold, 3)
        torch.testing.assert_close(found, over_peak(maps), rtol=1e-12, atol=0)


def by_hand(responses: Tensor, tags: Tensor, regions: Tensor, threshold: float) -> float:
    height, width = regions.shape[1] // 2, regions.shape[2] // 2
    maps = functional.interpolate(responses, (height, width), mode="bilinear").numpy()
    small = regions[:, 1::2, 1::2].numpy()  # the nearest of two rows is the second
    window = max(1, round(0.25 * max(height, width)))
    total, count = 0.0, 0
    for image, tagged in enumerate(tags.tolist()):
        for label, there in enumerate(tagged):
            if there:
                target = oracle.target(maps[image, label], small[image], threshold, window)
                gap = (oracle.normalised(maps[image, label]) - target) ** 2
                total += gap[small[image] >= 0].sum()
                count += int((small[image] >= 0).sum())
    return total / count


def example() -> tuple[Tensor, Tensor, Tensor]:
    responses = torch.randn(3, 2, 3, 4, dtype=torch.float64)
    tags = torch.tensor([[True, True], [False, True], [False, False]])
    blocks = torch.arange(20).view(4, 5).repeat_interleave(6, 0).repeat_interleave(6, 1) // 3
    regions = blocks.repeat(3, 1, 1)
    regions[1, :, 24:] = -1  # padding
    return responses, tags, regions


def test_the_loss_is_the_papers() -> None:
    responses, tags, regions = example()
    found = float(modulation_loss(responses, tags, regions, 0.3, 0.25))
    assert found == pytest.approx(by_hand(responses, tags, regions, 0.3), rel=1e-9)


def test_classes_without_a_tag_get_no_gradient() -> None:
    responses, tags, regions = example()
    responses.requires_grad_()
    modulation_loss(responses, tags, regions, 0.3, 0.25).backward()
    assert responses.grad is not None
    assert [bool(one.any()) for one in responses.grad.flatten(0, 1)] == tags.flatten().tolist()


@pytest.mark.parametrize("still", [True, False])
def test_the_gradient_does_not_run_through_the_target(still: bool) -> None:
    """The gradient is that of the distance to a target that was written down before."""
    responses, tags, regions = example()
    tags[:] = torch.tensor([True, False])
    responses.requires_grad_()
    modulation_loss(responses, tags, regions, 0.3, 0.25, still).backward()
    assert responses.grad is not None
    found = responses.grad.clone()
    responses.grad = None

    maps = functional.interpolate(responses[:, :1], (12, 15), mode="bilinear")[:, 0]
    small = regions[:, 1::2, 1::2]
    target = modulated(maps.detach(), small, 0.3, 4)
    inside = small >= 0
    peak = maps.relu().amax(dim=(1, 2), keepdim=True) + 1e-5
    made = maps.relu() / (torch.tensor(peak.tolist(), dtype=peak.dtype) if still else peak)
    ((made - target)[inside] ** 2).mean().backward()
    torch.testing.assert_close(found, responses.grad, rtol=1e-9, atol=1e-12)


def test_without_a_tag_there_is_nothing_to_pull() -> None:
    responses, tags, regions = example()
    responses.requires_grad_()
    loss = modulation_loss(responses, torch.zeros_like(tags), regions, 0.3, 0.25)
    loss.backward()
    assert float(loss.detach()) == 0
    assert responses.grad is not None
    assert not bool(responses.grad.any())
