from __future__ import annotations

import sys

import pytest
import torch
from torch.nn import functional

from tag2mask.segment.predict import decide


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 20), (64, 47), (3, 90)])
@pytest.mark.parametrize("strip", [1, 200, 1 << 24])
def test_strips_decide_as_the_whole_enlarged_map_does(size, strip, monkeypatch):
    monkeypatch.setattr(sys.modules["tag2mask.segment.predict"], "STRIP", strip)
    scores = torch.rand(4, 9, 6, dtype=torch.float64)
    whole = functional.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)
    assert torch.equal(decide(scores, size).long(), whole[0].argmax(dim=0))
