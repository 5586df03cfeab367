"""COCO's instances as tags: which classes a photograph has, and for scoring their outlines.

Labels are the categories by ascending id. Every image of the JSON is a photograph, those without
instances too (the field also uses lists without them; give one as the split). A crowd counts as a
tag: its class is there, and its region is painted in the truth. Photographs that the JSON does not
list are left alone, since splits often share a folder.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeGuard

from tag2mask.data.assemble import check_names, examples, photo_id, read_classes, read_text
from tag2mask.data.coco_truth import CocoTruth, Drawn, Instance
from tag2mask.data.collection import Collection, Data, Photo, Skipped
from tag2mask.data.join import find_listed, join, leave_out
from tag2mask.data.options import DataOptions
from tag2mask.data.true_instances import CocoInstances
from tag2mask.errors import InputError
from tag2mask.storage import read_json

TRAINING_SPLITS: Final = ("train2014", "train2017", "train")  # the first that is there
PREFIX: Final = "instances_"


@dataclass(frozen=True)
class _Split:
    """One JSON, read: its photographs and what is drawn on them."""

    path: Path
    photos: Collection
    drawn: Mapping[str, Drawn]

    def ids(self) -> set[str]:
        """Every id that is listed, whether its photograph is there or not."""
        return {p.id for p in self.photos.photos} | {one.id for one in self.photos.skipped}

    def only(self, ids: Iterable[str], gone: Iterable[Skipped] = ()) -> _Split:
        """The photographs with these ids; `gone` has no photograph at all."""
        wanted = set(ids)
        photos = tuple(photo for photo in self.photos.photos if photo.id in wanted)
        skipped = tuple(one for one in self.photos.skipped if one.id in wanted)
        kept = replace(self.photos, photos=photos, skipped=(*skipped, *gone))
        return replace(self, photos=kept)

    def checked(self, skip_bad: bool) -> Collection:
        """The photographs, once nothing is missing or missing is allowed."""
        return replace(self.photos, skipped=leave_out(self.photos.skipped, skip_bad))


def open_coco(options: DataOptions) -> Data:
    """List the photographs of COCO with their tags; nothing is decoded.

    Args:
        options: `photos` is COCO's folder, with annotations/instances_SPLIT.json and SPLIT/, or a
            folder of photographs with the JSON as `tags`. `split` and `test_split` are names, or
            text files of ids out of the training JSON.

    Raises:
        InputError: a JSON or a photograph that is missing or does not fit.
    """
    known = read_classes(options.classes) if options.classes else None
    everything = _read(_training_json(options), options, known, known is not None)
    train, test = everything, None
    if _is_list(options.split):
        train = _listed(everything, options.split)
    if _is_list(options.test_split):
        test = _listed(everything, options.test_split)
        if train is everything:
            train = _without(everything, test)
    elif options.test_split is not None:
        path = _json_of(_annotations(options), options.test_split)
        test = _read(path, options, everything.photos.classes, known is not None)
    own = _truth(everything, test) if options.truth is None else None
    objects = CocoInstances(own) if own else None
    held_out = test.checked(options.skip_bad) if test else None
    return join("coco", options, train.checked(options.skip_bad), held_out, own, objects)


def _truth(train: _Split, test: _Split | None) -> CocoTruth | None:
    """None where nothing is outlined: boxes alone are no truth."""
    splits = [train] if test is None or test.path == train.path else [train, test]
    drawn = {photo: one for split in reversed(splits) for photo, one in split.drawn.items()}
    outlined = any(i.segmentation is not None for one in drawn.values() for i in one.instances)
    return CocoTruth(drawn, [split.path for split in splits]) if outlined else None


def read_drawn(path: Path, classes: Sequence[str]) -> dict[str, Drawn]:
    """What is drawn of these classes on the photographs of a JSON, by id; the rest is left out.

    Raises:
        InputError: not COCO's instances.
    """
    root = read_json(path)
    entries = _entries(path, root, "categories", id=int, name=str)
    labels = {name: label for label, name in enumerate(classes, 1)}
    by_number = {e["id"]: labels.get(unicodedata.normalize("NFC", e["name"])) for e in entries}
    images = _images(path, root)
    found, _ = _instances(path, root, images, by_number)
    return {
        photo_id(entry["file_name"]): Drawn((entry["height"], entry["width"]), tuple(found[n]))
        for n, entry in images.items()
    }


def _is_list(split: str | None) -> TypeGuard[str]:
    return split is not None and Path(split).is_file()


def _listed(split: _Split, listed: str) -> _Split:
    """The photographs that a text file of ids names, wherever the lines name one."""
    known = {photo.id: photo.path for photo in split.photos.photos}
    known |= {one.id: split.path for one in split.photos.skipped}
    ids, gone = find_listed(read_text(Path(listed), "split").splitlines(), known)
    reason = f"of {listed} has no photograph in {split.path}."
    return split.only(ids, [Skipped(line, f"The line {line!r} {reason}") for line in gone])


def _without(split: _Split, held_out: _Split) -> _Split:
    return split.only(split.ids() - held_out.ids())


def _annotations(options: DataOptions) -> Path:
    return options.photos / "annotations" if options.tags is None else options.tags.parent


def _training_json(options: DataOptions) -> Path:
    folder = _annotations(options)
    named = None if _is_list(options.split) else options.split
    if options.tags is not None:
        if named is not None and options.tags.name != f"{PREFIX}{named}.json":
            raise InputError(
                f"The tags {options.tags} are not those of the split {named!r}; expected one of "
                "the two, or a text file of ids as the split."
            )
        return options.tags
    if named is not None:
        return _json_of(folder, named)
    there = sorted(path.stem.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*.json"))
    chosen = [name for name in TRAINING_SPLITS if name in there] or there
    if not chosen or (len(chosen) > 1 and chosen is there):
        raise InputError(
            f"There is no training split in {folder} (there are {examples(there) or 'none'}); "
            f"expected {PREFIX}{TRAINING_SPLITS[0]}.json. Name one with --split."
        )
    return _json_of(folder, chosen[0])


def _json_of(folder: Path, split: str) -> Path:
    path = folder / f"{PREFIX}{split}.json"
    if not path.is_file():
        there = examples(sorted(found.name for found in folder.glob(f"{PREFIX}*.json")))
        raise InputError(
            f"There is no split {split!r}; expected {path} (there are {there or 'none'}). Give "
            "another name, or the path of a text file of ids."
        )
    return path


def _read(path: Path, options: DataOptions, known: tuple[str, ...] | None, subset: bool) -> _Split:
    """Read one JSON.

    Args:
        known: the classes in the order of their labels; None where the JSON decides.
        subset: instances of other classes are background, not a mistake.
    """
    root = read_json(path)
    names = {
        entry["id"]: unicodedata.normalize("NFC", entry["name"])
        for entry in _entries(path, root, "categories", id=int, name=str)
    }
    classes = known or tuple(names[number] for number in sorted(names))
    check_names(classes)
    strange = sorted(set(names.values()) - set(classes)) if not subset else []
    strange += sorted(set(classes) - set(names.values())) if subset else []
    if strange:
        raise InputError(
            f"The classes and the categories of {path} differ: {examples(strange)}; expected the "
            "same names. Name the classes with --classes."
        )
    labels = {name: label for label, name in enumerate(classes, 1)}
    images = _images(path, root)
    instances, skipped = _instances(path, root, images, {n: labels.get(names[n]) for n in names})
    drawn = {
        photo_id(entry["file_name"]): Drawn((entry["height"], entry["width"]), tuple(instances[n]))
        for n, entry in images.items()
    }
    photos, gone = _photos(path, options.photos, images, drawn)
    return _Split(path, Collection(classes, photos, (*skipped, *gone)), drawn)


def _entries(path: Path, root: Any, listed: str, /, **fields: type) -> list[dict[str, Any]]:
    """A list of the JSON whose entries all have the fields."""
    entries = root.get(listed) if isinstance(root, dict) else None
    if not isinstance(entries, list):
        raise InputError(
            f"{path} has no list {listed!r}; expected COCO's instances (images, annotations, "
            "categories). Check the file."
        )
    for number, entry in enumerate(entries):
        for field, kind in fields.items():
            if not isinstance(entry, dict) or not isinstance(entry.get(field), kind):
                raise InputError(
                    f"Entry {number} of {listed!r} in {path} has no {field!r} that is "
                    f"{kind.__name__}; expected COCO's instances. Correct it."
                )
    return entries


def _images(path: Path, root: Any) -> dict[int, dict[str, Any]]:
    """The images by number; their names stay below the folder and are told apart."""
    images: dict[int, dict[str, Any]] = {}
    seen: dict[str, str] = {}
    for entry in _entries(path, root, "images", id=int, file_name=str, height=int, width=int):
        file = entry["file_name"]
        place = PurePosixPath(file)
        if place.is_absolute() or ".." in place.parts or not place.suffix or "\\" in file:
            raise InputError(
                f"The image {file!r} of {path} is no file below the folder of photographs; "
                "expected a name such as 000000000009.jpg. Correct it."
            )
        name = photo_id(file)
        if name in seen or entry["id"] in images:
            raise InputError(
                f"The image {file!r} of {path} has the id or the name of another "
                f"({seen.get(name, entry['id'])!r}); expected one entry per image. Rename it."
            )
        seen[name] = file
        images[entry["id"]] = entry
    return images


def _instances(
    path: Path, root: Any, images: Mapping[int, Any], labels: Mapping[int, int | None]
) -> tuple[dict[int, list[Instance]], list[Skipped]]:
    """Instances by number of the image, and those that belong to nothing."""
    found: dict[int, list[Instance]] = {number: [] for number in images}
    skipped = []
    for entry in _entries(path, root, "annotations", image_id=int, category_id=int):
        image, category = entry["image_id"], entry["category_id"]
        if image not in images or category not in labels:
            what = f"image {image}" if image not in images else f"category {category}"
            name = f"annotation {entry.get('id')}"
            skipped.append(Skipped(name, f"The {name} of {path} is of the {what}, not listed."))
        elif (label := labels[category]) is not None:
            crowd = bool(entry.get("iscrowd", 0))
            found[image].append(Instance(label, crowd, entry.get("segmentation")))
    return found, skipped


def _photos(
    path: Path, place: Path, images: Mapping[int, dict[str, Any]], drawn: Mapping[str, Drawn]
) -> tuple[tuple[Photo, ...], list[Skipped]]:
    """The photographs that are there, in the order of their ids, and those that are not."""
    files = {photo_id(entry["file_name"]): entry["file_name"] for entry in images.values()}
    folder = _folder_of(path, place, files)
    photos, gone = [], []
    for name in sorted(files):
        if (folder / files[name]).is_file():
            tags = {instance.label for instance in drawn[name].instances}
            photos.append(Photo(name, folder / files[name], tuple(sorted(tags))))
        else:
            gone.append(Skipped(name, f"The photograph {folder / files[name]} is not there."))
    return tuple(photos), gone


def _folder_of(path: Path, place: Path, files: Mapping[str, str]) -> Path:
    """Where the photographs of a JSON lie: the folder given, or one named like the split."""
    split = path.stem.removeprefix(PREFIX)
    inner = (place, place / split, place / "images" / split, place / "images")
    for folder in (*inner, place.resolve().parent / split):  # beside: the other split's
        if any((folder / file).is_file() for file in files.values()):
            return folder
    first = next(iter(files.values()), "an image")
    raise InputError(
        f"None of the {len(files)} photographs of {path} is there; expected such as "
        f"{place / split / first}. Check the folder of photographs."
    )
