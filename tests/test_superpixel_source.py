"""Regions of photographs by number, and on disk under their content."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from oracles.shapes import draw_set

from tag2mask import sources
from tag2mask.data import DataOptions, open_data
from tag2mask.nn.superpixels import SuperpixelOptions, superpixels
from tag2mask.sources import Photographs, Superpixels


@pytest.fixture
def photographs(tmp_path: Path) -> Photographs:
    drawn = draw_set(tmp_path / "set", train=3, test=1)
    data = open_data(DataOptions(drawn / "photos", tags=drawn / "labels.csv"))
    return Photographs(data.train.photos, 2, 64)


def test_they_are_those_of_the_photographs(photographs: Photographs, tmp_path: Path) -> None:
    source = Superpixels(photographs, SuperpixelOptions(), tmp_path / "cues")
    assert len(source) == len(photographs)
    for number in range(len(source)):
        expected = superpixels(photographs[number].image, SuperpixelOptions())
        assert torch.equal(source[number], expected)
        assert torch.equal(source[number], expected)  # from disk


def test_what_is_there_is_not_made_again(
    photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Superpixels(photographs, SuperpixelOptions(), tmp_path / "cues").fill()
    names = sorted(path.name for path in (tmp_path / "cues").iterdir())
    assert len(names) == len(photographs)

    def never(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(sources, "superpixels", never)
    Superpixels(photographs, SuperpixelOptions(), tmp_path / "cues").fill()
    monkeypatch.undo()
    Superpixels(photographs, SuperpixelOptions(count=5), tmp_path / "cues").fill()
    assert len(list((tmp_path / "cues").iterdir())) == 2 * len(names)  # other options, other files
