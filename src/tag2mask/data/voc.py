"""VOC 2012 as it is unpacked: JPEGImages, ImageSets, Annotations, SegmentationClass.

Tags come from the boxes in Annotations/ID.xml, the difficult ones counted as the field's
`cls_labels.npy` counts them, or from such a file. SBD's longer list and its masks
(SegmentationClassAug) are taken where they lie in the folder.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from tag2mask.data.annotation import read_annotation
from tag2mask.data.assemble import find_photographs, read_classes, read_text
from tag2mask.data.cls_labels import Tags, read_cls_labels
from tag2mask.data.collection import Collection, Data, Photo, Skipped
from tag2mask.data.join import find_listed, join, leave_out
from tag2mask.data.options import DataOptions
from tag2mask.data.true_instances import OBJECTS, VocInstances
from tag2mask.data.truth import MaskFolder
from tag2mask.errors import InputError

VOC_CLASSES: Final = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
TRAINING_SPLITS: Final = ("train_aug", "trainaug", "train")  # the first that is there
LIST_FOLDERS: Final = ("Segmentation", "SegmentationAug", "Main")
MASK_FOLDERS: Final = ("SegmentationClassAug", "SegmentationClass")

_PAIR: Final = re.compile(r"(?P<photo>.+\.jpe?g)\s+\S.*\.png", re.IGNORECASE)  # SBD's lists
_ONE_CLASS: Final = re.compile(r".*\S\s+(-1|0|1)")  # Main/cat_train.txt


def open_voc(options: DataOptions) -> Data:
    """List the photographs of VOC with their tags; nothing is decoded.

    Args:
        options: `photos` is the folder VOC2012, `split` and `test_split` are names in ImageSets
            or paths of lists; without a split, train_aug where it is there, else train.

    Raises:
        InputError: a list, an annotation or a photograph that is missing or does not fit.
    """
    folder = options.photos
    classes = VOC_CLASSES if options.classes is None else read_classes(options.classes)
    tags: _FromBoxes | _FromFile = _FromBoxes(folder / "Annotations", classes)
    if options.tags is not None:
        tags = _FromFile(options.tags, classes)
    photographs = find_photographs(folder / "JPEGImages")
    source = _Source(photographs, classes, tags, options.skip_bad)
    train = source.split(_split_file(folder, options.split))
    test = source.split(_split_file(folder, options.test_split)) if options.test_split else None
    masks = [folder / name for name in MASK_FOLDERS if (folder / name).is_dir()]
    own = MaskFolder(masks[0], len(classes)) if masks and options.truth is None else None
    return join("voc", options, train, test, own, _objects(folder, classes) if own else None)


def _objects(folder: Path, classes: Sequence[str]) -> VocInstances | None:
    masks, painted = folder / "SegmentationClass", folder / OBJECTS
    if not masks.is_dir() or not painted.is_dir():
        return None
    return VocInstances(masks, painted, len(classes))


def _split_file(folder: Path, split: str | None) -> Path:
    if split is not None and Path(split).is_file():
        return Path(split)
    names = TRAINING_SPLITS if split is None else (split,)
    sets = folder / "ImageSets"
    for name in names:
        for place in LIST_FOLDERS:
            if (path := sets / place / f"{name}.txt").is_file():
                return path
    raise InputError(
        f"There is no split {names[-1]!r} in {sets}; expected {LIST_FOLDERS[0]}/{names[-1]}.txt or "
        f"{LIST_FOLDERS[-1]}/{names[-1]}.txt. Give the name of a list there, or the path of one."
    )


def _photographs_of(path: Path) -> Iterator[str]:
    """The photograph of every line: an id, or a photograph and its mask as in SBD's lists."""
    for number, line in enumerate(read_text(path, "split").splitlines(), 1):
        pair = _PAIR.fullmatch(line.strip())
        if pair is None and _ONE_CLASS.fullmatch(line.strip()):
            raise InputError(
                f"Line {number} of {path} is {line.strip()!r}, as in the list of a single class; "
                "expected an id a line. Give the list of all classes."
            )
        yield pair["photo"] if pair else line


class _FromFile:
    """Tags of the field's cls_labels.npy."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        if path.suffix.lower() != ".npy":
            raise InputError(
                f"The tags {path} are no cls_labels.npy; expected one beside a folder of VOC. For "
                "a table of tags give JPEGImages as the folder of photographs."
            )
        self._path = path
        self._tags = read_cls_labels(path, len(classes))

    def of(self, photo: str) -> Tags:
        """Labels of one photograph.

        Raises:
            InputError: there are none.
        """
        if photo not in self._tags:
            raise InputError(f"The photograph {photo!r} has no tags in {self._path}.")
        return self._tags[photo]


class _FromBoxes:
    """Tags of the objects that people drew boxes around."""

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self._folder = folder
        self._labels = {name: label for label, name in enumerate(classes, 1)}

    def of(self, photo: str) -> Tags:
        """Labels of one photograph, the difficult objects counted.

        Raises:
            InputError: no annotation, a broken one, or an object of no known class.
        """
        path = self._folder / f"{photo}.xml"
        root = read_annotation(
            path,
            f"The photograph {photo!r} has no annotation {path}; expected one, or --tags "
            "cls_labels.npy.",
        )
        names = {_name(path, found) for found in root.findall("object")}
        unknown = sorted(names - self._labels.keys())
        if unknown:
            raise InputError(
                f"The annotation {path} has an object {unknown[0]!r}, which is no class; expected "
                f"one of the {len(self._labels)} classes. Give your own with --classes."
            )
        return tuple(sorted(self._labels[name] for name in names))


def _name(path: Path, found: ElementTree.Element) -> str:
    name = unicodedata.normalize("NFC", (found.findtext("name") or "").strip())
    if not name:
        raise InputError(f"The annotation {path} has an object without a name.")
    return name


@dataclass(frozen=True)
class _Source:
    photographs: Mapping[str, Path]
    classes: tuple[str, ...]
    tags: _FromBoxes | _FromFile
    skip_bad: bool

    def split(self, path: Path) -> Collection:
        """The photographs that a list names, with their tags, in the order of their ids."""
        ids, gone = find_listed(_photographs_of(path), self.photographs)
        skipped = [
            Skipped(line, f"The line {line!r} of {path} has no photograph in JPEGImages.")
            for line in gone
        ]
        photos = []
        for name in sorted(ids):
            try:
                photos.append(Photo(name, self.photographs[name], self.tags.of(name)))
            except InputError as error:
                skipped.append(Skipped(name, str(error)))
        return Collection(self.classes, tuple(photos), leave_out(skipped, self.skip_bad))
