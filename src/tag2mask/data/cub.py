"""CUB-200-2011 as it is unpacked: lists of images, classes, splits and one box a photograph.

    C. Wah, S. Branson, P. Welinder, P. Perona, S. Belongie. The Caltech-UCSD Birds-200-2011
    Dataset. California Institute of Technology, 2011.

Every photograph has the tag of its class. The boxes are read for scores alone. The masks come in
another archive; their folder can be given as the truth once they hold labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from tag2mask.data.assemble import check_names, examples, photo_id, read_classes, read_text
from tag2mask.data.collection import Collection, Data, Photo, Skipped
from tag2mask.data.drawn_boxes import Box, drawn_boxes, files_fingerprint
from tag2mask.data.join import find_listed, join, leave_out
from tag2mask.data.options import DataOptions
from tag2mask.errors import InputError
from tag2mask.types import Boxes, Size

SPLITS: Final[Mapping[str, str]] = {"train": "1", "test": "0"}  # in train_test_split.txt

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Bird:
    """One line of every list.

    Attributes:
        file: below images/.
        training: as train_test_split.txt says.
    """

    file: str
    name: str
    training: str


def open_cub(options: DataOptions) -> Data:
    """List the photographs with their class as tag; nothing is decoded.

    Args:
        options: `photos` is the folder CUB_200_2011; `split` and `test_split` are "train", "test"
            or the path of a list. With `classes`, photographs of other classes are left out.

    Raises:
        InputError: a list or a photograph that is missing or does not fit.
    """
    folder = options.photos
    names = _rows(folder / "classes.txt", "a name", _text)
    known = tuple(names.values()) if options.classes is None else read_classes(options.classes)
    check_names(known)
    strange = sorted(set(known) - set(names.values()))
    if strange:
        raise InputError(
            f"{options.classes} names {examples(strange)}, not in {folder / 'classes.txt'}; "
            "expected names as they stand there, such as 001.Black_footed_Albatross."
        )
    birds = _birds(folder, names)
    source = _Source(options, known, birds)
    train = source.split(options.split or "train")
    test = source.split(options.test_split) if options.test_split else None
    labels = {name: label for label, name in enumerate(known, 1)}
    boxes = CubBoxes(folder, {photo: labels.get(bird.name, 0) for photo, bird in birds.items()})
    return replace(join("cub", options, train, test, None), boxes=boxes)


class CubBoxes:
    """The boxes of bounding_boxes.txt: x, y, width and height, taken as edges.

    Args:
        folder: CUB_200_2011.
        labels: by photograph; 0 where its class is not among the chosen ones.

    Raises:
        InputError: a broken list, or a box of a photograph that images.txt does not list.
    """

    def __init__(self, folder: Path, labels: Mapping[str, int]) -> None:
        self._path, self._labels = folder / "bounding_boxes.txt", labels
        self._boxes: dict[str, Box] = {}
        if self._path.is_file():
            files = _rows(folder / "images.txt", "a file", _file)
            boxes = _rows(self._path, "x, y, width and height", _box)
            _same_numbers(folder / "images.txt", files, self._path, boxes)
            self._boxes = {photo_id(files[number]): box for number, box in boxes.items()}

    def __contains__(self, photo: str) -> bool:
        return photo in self._boxes and self._labels.get(photo, 0) > 0

    def fingerprint(self) -> str:
        """A hash over size and time of the list."""
        return files_fingerprint([self._path])

    def read(self, photo: str, size: Size) -> Boxes:
        """The box of one photograph.

        Raises:
            InputError: there is none, or it lies outside.
        """
        if photo not in self:
            raise InputError(f"The photograph {photo!r} has no box in {self._path}.")
        listed = [(self._labels[photo], self._boxes[photo])]
        return drawn_boxes(photo, size, listed, self._path)


def _birds(folder: Path, names: Mapping[int, str]) -> dict[str, Bird]:
    """Every photograph that is listed, by its id."""
    paths = [folder / f"{name}.txt" for name in ("images", "image_class_labels")]
    splits = folder / "train_test_split.txt"
    files = _rows(paths[0], "a file below images/", _file)
    classes = _rows(paths[1], "the number of a class", int)
    training = _rows(splits, "1 (training) or 0 (test)", _bit)
    _same_numbers(paths[0], files, paths[1], classes)
    _same_numbers(paths[0], files, splits, training)
    unknown = [number for number in classes.values() if number not in names]
    if unknown:
        raise InputError(
            f"{paths[1]} has the class {unknown[0]}, which {folder / 'classes.txt'} does not list; "
            "expected the lists of one archive."
        )
    return {
        photo_id(file): Bird(file, names[classes[number]], training[number])
        for number, file in files.items()
    }


def _same_numbers(
    one: Path, first: Mapping[int, object], other: Path, second: Mapping[int, object]
) -> None:
    different = sorted(first.keys() ^ second.keys())
    if different:
        raise InputError(
            f"{one} and {other} do not list the same images; the first that only one has is "
            f"{different[0]}. Expected the lists of one archive."
        )


def _rows(path: Path, what: str, read: Callable[[str], Value]) -> dict[int, Value]:
    """A list of CUB: a number and a value a line.

    Args:
        what: the value is, for the error.

    Raises:
        InputError: a line without them, or a number twice.
    """
    found: dict[int, Value] = {}
    for place, line in enumerate(read_text(path, "list").splitlines(), 1):
        if not line.strip():
            continue
        number, _, rest = line.strip().partition(" ")
        try:
            value = read(rest.strip())
            if int(number) in found:
                raise ValueError
        except ValueError:
            raise InputError(
                f"Line {place} of {path} is {line.strip()!r}; expected a new number and "
                f"{what}. Take the file from the archive again."
            ) from None
        found[int(number)] = value
    return found


def _text(written: str) -> str:
    if not written:
        raise ValueError
    return written


def _file(written: str) -> str:
    place = PurePosixPath(written)
    if place.is_absolute() or ".." in place.parts or not place.suffix:
        raise ValueError
    return written


def _bit(written: str) -> str:
    if written not in SPLITS.values():
        raise ValueError
    return written


def _box(written: str) -> Box:
    left, top, width, height = (float(value) for value in written.split())
    if not (width > 0 and height > 0 and all(map(math.isfinite, (left, top, width, height)))):
        raise ValueError
    return left, top, left + width, top + height


@dataclass(frozen=True)
class _Source:
    options: DataOptions
    classes: tuple[str, ...]
    birds: Mapping[str, Bird]

    def split(self, name: str) -> Collection:
        """The photographs of "train", "test" or a list, of the chosen classes."""
        labels = {name: label for label, name in enumerate(self.classes, 1)}
        skipped: list[Skipped] = []
        photos = []
        for photo in sorted(self._ids(name, skipped)):
            bird = self.birds[photo]
            path = self.options.photos / "images" / bird.file
            if bird.name not in labels:
                continue
            if path.is_file():
                photos.append(Photo(photo, path, (labels[bird.name],)))
            else:
                skipped.append(Skipped(photo, f"The photograph {path} is not there."))
        return Collection(self.classes, tuple(photos), leave_out(skipped, self.options.skip_bad))

    def _ids(self, name: str, skipped: list[Skipped]) -> Iterable[str]:
        if name in SPLITS:
            return (p for p, bird in self.birds.items() if bird.training == SPLITS[name])
        if not Path(name).is_file():
            raise InputError(
                f"There is no split {name!r} of CUB; expected train, test or the path of a text "
                "file of ids."
            )
        return self._listed(Path(name), skipped)

    def _listed(self, path: Path, skipped: list[Skipped]) -> Iterator[str]:
        files = {photo: self.options.photos / bird.file for photo, bird in self.birds.items()}
        ids, gone = find_listed(read_text(path, "split").splitlines(), files)
        skipped += [
            Skipped(line, f"The line {line!r} of {path} is no photograph of images.txt.")
            for line in gone
        ]
        return iter(ids)
