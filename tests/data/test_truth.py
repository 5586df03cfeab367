from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tag2mask.data.truth import MaskFolder
from tag2mask.errors import InputError
from tag2mask.storage import write_labels

LABELS = torch.tensor([[0, 1, 2], [255, 2, 0]], dtype=torch.uint8)


def test_masks_are_found_by_id_also_in_folders(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.b.png", LABELS)
    write_labels(tmp_path / "Tür" / "a.png", LABELS.flip(1))
    truth = MaskFolder(tmp_path, 2)
    assert "a.b" in truth
    assert "Tür/a" in truth
    assert "a" not in truth
    assert torch.equal(truth.read("a.b", (2, 3)).truth, LABELS)
    assert torch.equal(truth.read("Tür/a", (2, 3)).truth, LABELS.flip(1))


def test_a_label_out_of_range_is_named_with_its_file(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.png", LABELS)
    with pytest.raises(InputError, match=r"a\.png has the label 2; expected 0 .* 1 to 1 .*255"):
        MaskFolder(tmp_path, 1).read("a", (2, 3))


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.png", LABELS)
    with pytest.raises(InputError, match=r"a\.png is 3 pixels wide and 2 high.* 2 and 3"):
        MaskFolder(tmp_path, 2).read("a", (3, 2))


def test_a_mask_in_colours_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png is a RGB picture"):
        MaskFolder(tmp_path, 2).read("a", (2, 3))


def test_a_missing_mask_an_empty_folder_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no PNG"):
        MaskFolder(tmp_path, 2)
    write_labels(tmp_path / "a.png", LABELS)
    with pytest.raises(InputError, match=r"'b' has no true mask; expected b\.png"):
        MaskFolder(tmp_path, 2).read("b", (2, 3))
    with pytest.raises(InputError, match=r"gone is not there"):
        MaskFolder(tmp_path / "gone", 2)
    with pytest.raises(InputError, match=r"a\.png is not a folder"):
        MaskFolder(tmp_path / "a.png", 2)
