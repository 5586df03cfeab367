"""The compiled counting and PyTorch's: the same pixels in the same bins, on any machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tag2mask.evaluate import Curve, tally
from tag2mask.evaluate.curve import LEVELS
from tag2mask.evaluate.tally import Tally, enlarge, rounding_of
from tag2mask.types import CamSet

CLASSES = 9
KERNEL = tally._KERNEL
SEEDS = st.integers(0, 2**32 - 1)
LEVEL_SETS = (
    [k / 100 for k in range(60)],
    list(LEVELS),
    [0.5, 0.5 + 2**-20, 0.5 + 2**-19, 0.9],  # several in one cell of the table
    [-0.5, -0.25, 0.25, 1.0, 1.5],
)
built = pytest.mark.skipif(KERNEL is None, reason="the kernel was not built")


def photograph(seed: int, values: tuple[float, float] = (0, 1)) -> tuple[CamSet, Tensor]:
    random = np.random.default_rng(seed)
    present = sorted(random.choice(np.arange(1, 10), random.integers(1, 6), replace=False).tolist())
    grid, size = (tuple(random.integers(1, most, 2).tolist()) for most in (40, 300))
    if random.random() < 0.2:
        grid = size
    maps = random.uniform(*values, (len(present), *grid)).astype(np.float32)
    if random.random() < 0.3:
        maps = np.round(maps * 8) / 8  # on levels, and classes that are equal
    truth = random.choice(np.array([*range(10), 255], np.uint8), size)
    cams = CamSet("a", torch.tensor(present), torch.from_numpy(maps.astype(np.float32)), size)
    return cams, torch.from_numpy(truth)


def counted(
    pairs: list[tuple[CamSet, Tensor]], levels: list[float], kernel: ModuleType | None
) -> Tensor:
    adding = Tally(Curve.zeros(CLASSES, levels), kernel)
    for cams, truth in pairs:
        adding.add(cams, truth)
    return adding.curve.counts


@built
@pytest.mark.parametrize("levels", LEVEL_SETS)
@settings(max_examples=25)
@given(seed=SEEDS)
def test_the_kernel_counts_what_pytorch_counts(seed: int, levels: list[float]) -> None:
    pairs = [photograph(seed), photograph(seed + 1, (-0.6, 1.7))]
    assert torch.equal(counted(pairs, levels, KERNEL), counted(pairs, levels, None))


@built
def test_a_rounding_that_was_seen_holds_for_other_maps() -> None:
    """The variant is chosen on noise; smooth maps and steps of the same shape get the same bits."""
    assert KERNEL is not None
    found = set()
    for shape, size in (
        ((2, 24, 32), (375, 500)),
        ((1, 48, 64), (333, 500)),
        ((4, 9, 7), (90, 80)),
    ):
        variant = rounding_of(KERNEL, shape, size, torch.get_num_threads())
        found.add(variant is not None)
        if variant is None:
            continue
        ramp = torch.linspace(0, 1, shape[1] * shape[2]).view(shape[1:]).expand(shape)
        for maps in (ramp.contiguous(), (ramp > 0.5).float(), torch.rand(shape)):
            full = torch.empty(shape[0], *size)
            KERNEL.enlarge(maps.numpy(), full.numpy(), shape, size, variant)
            assert torch.equal(full, enlarge(maps, size))
    assert True in found  # else the kernel is not used for what it was made for


@built
def test_where_roundings_differ_pytorch_enlarges() -> None:
    assert KERNEL is not None
    other = ModuleType("other")
    other.variants, other.tally = KERNEL.variants, KERNEL.tally  # type: ignore[attr-defined]
    other.enlarge = lambda *_: None  # type: ignore[attr-defined]
    pairs = [photograph(seed) for seed in range(5)]
    levels = LEVEL_SETS[0]
    assert torch.equal(counted(pairs, levels, other), counted(pairs, levels, None))


@built
def test_every_variant_counts_alike_what_needs_no_enlarging() -> None:
    assert KERNEL is not None
    random = np.random.default_rng(3)
    maps = random.random((3, 20, 30)).astype(np.float32)
    truth = random.integers(0, 2, (20, 30)).astype(np.uint8)
    adding = Tally(Curve.zeros(1, LEVEL_SETS[0]))
    found = []
    for variant in range(len(KERNEL.variants())):
        counts = np.full((4, 61, 3), -1)
        sizes = maps.shape, truth.shape, (4, 60, len(adding.bins.below)), variant
        tables = adding.rows.numpy(), adding.bins.marks.numpy(), adding.bins.below.numpy()
        KERNEL.tally(maps, truth, *tables, counts, *sizes)
        found.append(counts)
    assert found[0].sum() == truth.size
    assert all((one == found[0]).all() for one in found)


@built
def test_threads_count_apart() -> None:
    pairs = [photograph(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: counted([pair], LEVEL_SETS[0], KERNEL), pairs))
    assert torch.equal(torch.stack(found).sum(0), counted(pairs, LEVEL_SETS[0], None))


@built
def test_the_kernel_refuses_buffers_and_sizes_that_do_not_fit() -> None:
    assert KERNEL is not None
    maps, full = np.zeros((1, 2, 2), np.float32), np.zeros((1, 4, 4), np.float32)
    with pytest.raises(ValueError, match="no such variant"):
        KERNEL.enlarge(maps, full, (1, 2, 2), (4, 4), 9)
    with pytest.raises(ValueError, match="at least 1"):
        KERNEL.enlarge(maps, full, (1, 0, 2), (4, 4), 0)
    with pytest.raises(ValueError, match="16 bytes came, 24 were expected"):
        KERNEL.enlarge(maps, full, (1, 2, 3), (4, 4), 0)


def test_without_a_kernel_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_KERNEL", None)
    assert not tally.is_compiled()
    cams, truth = photograph(1)
    curve = Curve.zeros(CLASSES)
    Tally(curve, None).add(cams, truth)
    assert int(curve.counts.sum()) == int((truth != 255).sum())
