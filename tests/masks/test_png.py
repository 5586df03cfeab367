"""What a decision is on disk: the same decision."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tag2mask.masks import threshold
from tag2mask.storage import read_labels, write_labels
from tag2mask.types import CamSet

SIDES = st.integers(1, 40)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), SIDES, SIDES)
def test_mask_to_png_to_mask_is_the_same_mask(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    labels = torch.from_numpy(random.integers(0, 256, (height, width), dtype=np.uint8))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a b" / "ä.png"
        write_labels(path, labels)
        assert torch.equal(read_labels(path), labels)


def test_every_label_a_decision_can_hold_survives(tmp_path: Path) -> None:
    classes = torch.arange(1, 255)
    maps = torch.eye(254).reshape(254, 1, 254)
    maps[:, :, 0] *= 0.2  # label 1 loses to the background
    maps[:, :, 1] *= 0.6  # label 2 stays between the levels
    mask = threshold(CamSet("p", classes, maps, (1, 254)), 0.5, 0.7)
    assert mask.labels[0].tolist() == [0, 255, *range(3, 255)]
    write_labels(tmp_path / "p.png", mask.labels)
    assert torch.equal(read_labels(tmp_path / "p.png"), mask.labels)


def test_other_readers_see_the_labels_and_the_colours_of_voc(tmp_path: Path) -> None:
    colours = {
        0: [0, 0, 0],
        1: [128, 0, 0],
        2: [0, 128, 0],
        4: [0, 0, 128],
        15: [192, 128, 128],
        20: [0, 64, 128],
        255: [224, 224, 192],
    }
    write_labels(tmp_path / "p.png", torch.tensor([list(colours)], dtype=torch.uint8))
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.mode == "P"
        assert np.asarray(picture).tolist() == [list(colours)]
        assert np.asarray(picture.convert("RGB")).tolist() == [list(colours.values())]
