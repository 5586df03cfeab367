"""Find out how the data are laid out, and open them: listings only, no photograph is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tag2mask.data.assemble import (
    Lookup,
    check_classes,
    check_names,
    examples,
    find_photographs,
    fingerprint,
    read_classes,
    read_text,
)
from tag2mask.data.collection import Collection, Data, Photo, Skipped, TrueInstances
from tag2mask.data.csv_tags import TagTable, read_tags
from tag2mask.data.folders import folder_tags
from tag2mask.data.options import DataOptions
from tag2mask.data.true_instances import JSON, OBJECTS, CocoInstances, VocInstances
from tag2mask.data.truth import MaskFolder
from tag2mask.errors import InputError

TABLES: Final = ("labels.csv", "tags.csv")  # looked for in the folder where none is given
CLASS_FILE: Final = "classes.txt"
IMAGENET: Final = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")


def open_data(options: DataOptions) -> Data:
    """List the photographs with their tags, the held-out ones and the truth.

    Raises:
        InputError: anything that does not fit together, in one sentence.
    """
    options = _with_table(options)
    layout = detect_format(options) if options.format == "auto" else options.format
    if layout == "voc":
        from tag2mask.data.voc import open_voc

        return open_voc(options)
    if layout == "coco":
        from tag2mask.data.coco import open_coco

        return open_coco(options)
    if layout == "cub":
        from tag2mask.data.cub import open_cub

        return open_cub(options)
    if layout == "imagenet":
        from tag2mask.data.imagenet import open_imagenet

        return open_imagenet(options)
    if layout == "csv" and options.tags is not None:
        return _open_table(options, options.tags)
    return _open_folders(options)


def detect_format(options: DataOptions) -> str:
    """How the data are laid out: "voc", "coco", "cub", "imagenet", "csv" or "folders".

    Raises:
        InputError: no folder, or photographs without any tags.
    """
    photos, tags = options.photos, options.tags
    if not photos.is_dir():
        state = "is not a folder" if photos.exists() else "is not there"
        raise InputError(f"The folder of photographs {photos} {state}; check the path.")
    if (photos / "JPEGImages").is_dir() and (photos / "ImageSets").is_dir():
        if tags is None or tags.suffix.lower() != ".csv":
            return "voc"
    elif tags is None and any((photos / "annotations").glob("instances_*.json")):
        return "coco"
    if tags is None:
        if (photos / "images.txt").is_file() and (photos / "image_class_labels.txt").is_file():
            return "cub"
        if any((photos / place).is_dir() for place in IMAGENET):
            return "imagenet"
        if all("/" not in name for name in find_photographs(photos)):
            raise InputError(
                f"The photographs in {photos} have no tags; expected a table of tags, or a folder "
                "per class. Give the table with --tags."
            )
        return "folders"
    return "coco" if tags.suffix.lower() == ".json" else "csv"


def _with_table(options: DataOptions) -> DataOptions:
    """Where a folder has its table in it, and nothing else is said, take it."""
    if options.tags is not None or options.format not in ("auto", "csv"):
        return options
    for name in TABLES:
        if (options.photos / name).is_file():
            inner = options.photos / "images"
            photos = inner if inner.is_dir() else options.photos
            return replace(options, photos=photos, tags=options.photos / name)
    if options.format == "csv":
        raise InputError(
            f"There is no table of tags in {options.photos}; expected {' or '.join(TABLES)}. "
            "Give the table with --tags."
        )
    return options


def _open_table(options: DataOptions, table: Path) -> Data:
    photographs = find_photographs(options.photos)
    known = _known_classes(options)
    tags = read_tags(table, options.separator, known)
    lookup = Lookup(photographs)
    given: dict[str, tuple[str, ...]] = {}
    missing: list[str] = []
    for written, names in tags.rows.items():
        found = lookup.find(written)
        if found is None:
            missing.append(written)
        elif found in given:
            raise InputError(
                f"The photograph {found!r} has two rows in {table}; expected one. Join them."
            )
        else:
            given[found] = names
    source = _Source(options, photographs, given, _order(options, tags, known))
    return source.open("csv", missing)


def _order(options: DataOptions, table: TagTable, known: tuple[str, ...] | None) -> tuple[str, ...]:
    if options.classes is None and table.columns is not None:
        return table.columns
    return table.names() if known is None else known


def _open_folders(options: DataOptions) -> Data:
    photographs = find_photographs(options.photos)
    known = _known_classes(options)
    tags = folder_tags(photographs, known)
    names = tuple(sorted({name for present in tags.values() for name in present}))
    return _Source(options, photographs, tags, known or names).open("folders", [])


def _known_classes(options: DataOptions) -> tuple[str, ...] | None:
    """The classes of the file given, or of a `classes.txt` near the data; None without one."""
    if options.classes is not None:
        return read_classes(options.classes)
    places = [folder / CLASS_FILE for folder in _places(options)]
    if options.truth is not None:
        places += [options.truth / CLASS_FILE, options.truth.resolve().parent / CLASS_FILE]
    return next((read_classes(path) for path in places if path.is_file()), None)


def _places(options: DataOptions) -> list[Path]:
    """Where files that belong to the photographs may lie."""
    beside = [options.tags.resolve().parent] if options.tags else []
    return [*beside, options.photos.resolve().parent, options.photos]


@dataclass(frozen=True)
class _Source:
    """Photographs, the tags of those that have some, and the classes in order."""

    options: DataOptions
    photographs: dict[str, Path]
    tags: dict[str, tuple[str, ...]]
    classes: tuple[str, ...]

    def open(self, layout: str, missing: Sequence[str]) -> Data:
        """Part the photographs into splits, check them, and join what belongs to them.

        Args:
            missing: rows of the table without a photograph, as written.
        """
        check_names(self.classes)
        options = self.options
        train_ids, train_gone = self._listed(options.split)
        test_ids, test_gone = self._listed(options.test_split)
        both = sorted(set(train_ids or ()) & set(test_ids or ()))
        if both:
            raise InputError(
                f"The photographs {examples(both)} are in both splits; expected training and "
                "test to be apart. Take them out of one."
            )
        if train_ids is None:
            held_out = set(test_ids or ())
            train_ids = [name for name in self.photographs if name not in held_out]
            train_gone = [*missing]
        if not train_ids:
            raise InputError("No photograph is left to train on; check the two splits.")
        train = self._collection(train_ids, train_gone)
        check_classes(train)
        test = None if test_ids is None else self._collection(test_ids, test_gone)
        truth = None if options.truth is None else self._truth(options.truth, train, test)
        objects = None if options.truth is None else _objects_beside(options.truth, self.classes)
        known = fingerprint([train, test])
        return Data(layout, train, test, truth, known, instances=objects)

    def _listed(self, split: str | None) -> tuple[list[str] | None, list[str]]:
        """The ids of a split (None: none was asked for), and what in it has no photograph."""
        if split is None:
            return None, []
        path = self._split_file(split)
        lookup = Lookup(self.photographs)
        found: dict[str, None] = {}
        gone = []
        for line in read_text(path, "split").splitlines():
            if line.strip():
                name = lookup.find(line)
                if name is None:
                    gone.append(line.strip())
                else:
                    found[name] = None
        if not found:
            raise InputError(
                f"The split {path} names no photograph of {self.options.photos}; expected an id a "
                "line. Check the file."
            )
        return list(found), gone

    def _split_file(self, split: str) -> Path:
        if Path(split).is_file():
            return Path(split)
        tried = [folder / "splits" / f"{split}.txt" for folder in _places(self.options)]
        for path in tried:
            if path.is_file():
                return path
        raise InputError(
            f"There is no split {split!r}; expected a text file of ids, or {tried[0]}. Give its "
            "path."
        )

    def _collection(self, ids: Iterable[str], missing: Sequence[str]) -> Collection:
        """The photographs of one split that have a row; the others end it or are skipped."""
        options = self.options
        ids = list(ids)
        untagged = [name for name in ids if name not in self.tags]
        if missing and not options.skip_bad:
            raise InputError(
                f"There is no photograph for {examples(missing)} in {options.photos}; expected a "
                "file for every row or id. Add it, take the row out, or skip it with --skip-bad."
            )
        if untagged and not options.skip_bad:
            raise InputError(
                f"The photographs {examples(untagged)} have no row in {options.tags}; expected "
                "one per photograph (without tags where nothing is there). Add it, or skip the "
                "photograph with --skip-bad."
            )
        skipped = [Skipped(name, "It has a row and no photograph.") for name in missing]
        skipped += [Skipped(name, "It is a photograph without a row.") for name in untagged]
        labels = {name: label for label, name in enumerate(self.classes, 1)}
        photos = tuple(
            Photo(name, self.photographs[name], tuple(sorted(labels[tag] for tag in tags)))
            for name in sorted(ids)
            if (tags := self.tags.get(name)) is not None
        )
        return Collection(self.classes, photos, tuple(skipped))

    def _truth(self, folder: Path, train: Collection, test: Collection | None) -> MaskFolder:
        truth = MaskFolder(folder, len(self.classes))
        photos = [*train.photos, *(test.photos if test else ())]
        if not any(photo.id in truth for photo in photos):
            raise InputError(
                f"No mask in {folder} belongs to a photograph; expected names such as "
                f"{photos[0].id}.png. Check the folder."
            )
        return truth


def _objects_beside(masks: Path, classes: Sequence[str]) -> TrueInstances | None:
    """Objects told apart beside a folder of true masks, as VOC and composed pictures have them."""
    from tag2mask.data.coco import read_drawn
    from tag2mask.data.coco_truth import CocoTruth

    painted, outlined = (masks.resolve().parent / name for name in (OBJECTS, JSON))
    if painted.is_dir():
        return VocInstances(masks, painted, len(classes))
    if not outlined.is_file():
        return None
    truth = CocoTruth(read_drawn(outlined, classes), [outlined])
    return CocoInstances(truth, f"{JSON} beside the masks")
