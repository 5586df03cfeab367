from __future__ import annotations

from pathlib import Path

import pytest

from tag2mask.data.folders import folder_tags
from tag2mask.errors import InputError


def listed(*names: str) -> dict[str, Path]:
    return {name: Path("photos", f"{name}.jpg") for name in names}


def test_the_uppermost_folder_is_the_tag_and_some_folders_mean_none() -> None:
    found = folder_tags(listed("cat/1", "cat/old/1", "Background/1", "none/2", "negative/3"))
    assert found == {
        "cat/1": ("cat",),
        "cat/old/1": ("cat",),
        "Background/1": (),
        "none/2": (),
        "negative/3": (),
    }


def test_a_photograph_in_no_folder_is_named() -> None:
    with pytest.raises(InputError, match=r"loose\.jpg' lie in no class folder.*--tags"):
        folder_tags(listed("cat/1", "loose"))


def test_a_folder_that_is_no_class_is_named() -> None:
    with pytest.raises(InputError, match=r"folder 'dgo' of photos/dgo/1\.jpg is not a class"):
        folder_tags(listed("cat/1", "dgo/1"), ("cat", "dog"))
