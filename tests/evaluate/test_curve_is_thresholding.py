"""Two rooms resize and compare on their own; every level of the curve must be the other's decision.

Coarse maps of single precision whose cells lie on levels, so that a difference in how maps are
enlarged, in whether a level is beaten or met, or at a tie of two classes shows.
"""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tag2mask.evaluate import confusion, curve_counts
from tag2mask.masks import threshold
from tag2mask.types import CamSet

CLASSES = 5
SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))
SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), SIDES, SIZES, st.sampled_from([(3,), (1, 4), (2, 3, 5)]))
def test_every_level_is_the_decision_at_that_level(
    seed: int, grid: tuple[int, int], size: tuple[int, int], present: tuple[int, ...]
) -> None:
    random = np.random.default_rng(seed)
    maps = torch.from_numpy(random.integers(0, 257, (len(present), *grid))).float() / 256
    values = np.array([0, *range(1, CLASSES + 1), 255], dtype=np.uint8)
    truth = torch.from_numpy(random.choice(values, size))
    cams = CamSet("a", torch.tensor(present), maps, size)
    curve = curve_counts(cams, truth, CLASSES)
    levels = curve.levels()
    met = (maps.flatten()[:6] * 256).long().clamp(max=255).tolist()
    for k in (0, *met, *random.integers(1, 255, 3).tolist(), 255):
        decided = threshold(cams, levels[k]).labels
        assert torch.equal(curve.confusion(k).counts, confusion(truth, decided, CLASSES).counts)
