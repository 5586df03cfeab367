from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tag2mask.data import backgrounds
from tag2mask.data.backgrounds import Area, crop, find_areas, part_areas, pixel_box
from tag2mask.errors import InputError


def save_photographs(folder: Path, count: int, size: tuple[int, int] = (31, 17)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(count)
    for number in range(count):
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")


def test_the_default_photographs_are_inside_the_packages() -> None:
    areas = find_areas(None)
    assert len(areas) == len(backgrounds.STOCK)
    assert not {"chelsea.png", "motorcycle_left.png", "horse.png"} & {area.name for area in areas}
    for area in areas:
        left, top, right, bottom = pixel_box(area)
        assert min(right - left, bottom - top) >= 100


@pytest.mark.parametrize("size", [(31, 17), (17, 31), (2, 1)])
def test_few_photographs_are_cut_without_a_common_pixel(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    save_photographs(tmp_path, 3, size)
    train, test = part_areas(find_areas(tmp_path), seed=0)
    assert [area.name for area in train] == [area.name for area in test]
    for first, second in zip(train, test, strict=True):
        used = np.zeros((size[1], size[0]), dtype=int)
        for area in (first, second):
            left, top, right, bottom = pixel_box(area)
            assert left < right
            assert top < bottom
            used[top:bottom, left:right] += 1
        np.testing.assert_array_equal(used, 1)


def test_of_many_photographs_whole_ones_are_held_out(tmp_path: Path) -> None:
    save_photographs(tmp_path, backgrounds.ENOUGH)
    train, test = part_areas(find_areas(tmp_path), seed=0)
    assert len(test) == backgrounds.ENOUGH // 4
    names = [area.name for area in (*train, *test)]
    assert len(set(names)) == len(names) == backgrounds.ENOUGH
    assert {area.name for area in part_areas(find_areas(tmp_path), seed=1)[1]} != {
        area.name for area in test
    }


def test_a_crop_sees_its_own_area_only(tmp_path: Path) -> None:
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, 40:] = 255  # the other half; its light would show
    Image.fromarray(pixels).save(tmp_path / "a.png")
    dark = Area("a.png", tmp_path / "a.png", (0.0, 0.0, 0.5, 1.0))
    light = Area("a.png", tmp_path / "a.png", (0.5, 0.0, 1.0, 1.0))
    for seed in range(50):
        assert crop(dark, 16, random.Random(seed)).max() == 0
        square = crop(light, 16, random.Random(seed))
        assert (square == square[0, 0]).all()
        assert square.min() > 100


def test_folders_and_files_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="is not there; expected a folder of photographs"):
        find_areas(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no photograph"):
        find_areas(tmp_path)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"bad\.jpg cannot be read"):
        part_areas(find_areas(tmp_path), seed=0)
    monkeypatch.setattr(backgrounds, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"package skimage.*pip install 'tag2mask\[demo\]'"):
        find_areas(None)
