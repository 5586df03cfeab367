"""ImageNet-1k as it is distributed: a folder per synset, annotations with boxes, a list of synsets.

    O. Russakovsky et al. ImageNet Large Scale Visual Recognition Challenge. IJCV 2015.

The tag of a training photograph is its folder. The tags of a validation photograph are its folder
where somebody sorted them, else the objects of its annotation. Boxes are read for scores alone.
A mask is a byte, so at most 254 of the 1000 classes can be learned at once: `classes` chooses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tag2mask.data.annotation import read_annotation
from tag2mask.data.assemble import SUFFIXES, examples, photo_id, read_text
from tag2mask.data.collection import Collection, Data, Photo, Skipped
from tag2mask.data.drawn_boxes import Box, drawn_boxes, files_fingerprint
from tag2mask.data.join import find_listed, join, leave_out
from tag2mask.data.options import DataOptions
from tag2mask.errors import InputError
from tag2mask.types import MAX_CLASSES, Boxes, Size

MAPPING: Final = "LOC_synset_mapping.txt"
CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")


def open_imagenet(options: DataOptions) -> Data:
    """List the photographs with their synsets as tags; nothing is decoded.

    Args:
        options: `photos` is the folder that holds ILSVRC, or ILSVRC itself. `split` (train where
            not given) and `test_split` are "train", "val" or the path of a list of training
            photographs. `classes` is a file with a synset a line; photographs of others are left
            out.

    Raises:
        InputError: a folder, a list or an annotation that is missing or does not fit.
    """
    root = options.photos / "ILSVRC" if (options.photos / "ILSVRC").is_dir() else options.photos
    synsets = _chosen(options, root)
    source = _Source(root, synsets, options.skip_bad)
    train = source.split(options.split or "train")
    test = source.split(options.test_split) if options.test_split else None
    annotations = source.annotations
    listed = [photo.id for part in (train, test) if part for photo in part.photos]
    return replace(
        join("imagenet", options, train, test, None),
        boxes=ImageNetBoxes(annotations, source.labels, listed),
    )


class ImageNetBoxes:
    """The boxes of Annotations/CLS-LOC, a file a photograph, their corners taken as edges.

    Args:
        labels: by synset; objects of others are left out.
        photos: ids that are asked for.
    """

    def __init__(self, folder: Path, labels: Mapping[str, int], photos: Iterable[str]) -> None:
        self._folder, self._labels = folder, labels
        self._paths = {photo: _annotation(folder, photo) for photo in photos}

    def __contains__(self, photo: str) -> bool:
        return photo in self._paths and self._paths[photo].is_file()

    def fingerprint(self) -> str:
        """A hash over names, sizes and times of the annotations."""
        return files_fingerprint(self._paths.values())

    def read(self, photo: str, size: Size) -> Boxes:
        """The true boxes of one photograph.

        Raises:
            InputError: no annotation, a broken one, or a box outside.
        """
        path = self._paths.get(photo, _annotation(self._folder, photo))
        found = _objects(path)
        listed = [(self._labels[name], box) for name, box in found if name in self._labels]
        return drawn_boxes(photo, size, listed, path)


def _chosen(options: DataOptions, root: Path) -> dict[str, str]:
    """The name of each chosen class by its synset, in the order of the labels."""
    places = [folder / MAPPING for folder in (options.photos, root, root.resolve().parent)]
    mapping = next((path for path in places if path.is_file()), None)
    if mapping is None:
        known = {path.name: path.name for path in sorted(_data(root, "train").glob("n*"))}
    else:
        known = _synsets(mapping)
    if options.classes is None:
        if len(known) > MAX_CLASSES:
            raise InputError(
                f"ImageNet in {root} has {len(known)} classes; at most {MAX_CLASSES} fit into a "
                "mask of bytes. Choose some with --classes FILE, a synset such as n01440764 a line."
            )
        return known
    wanted = list(_synsets(options.classes))
    strange = [name for name in wanted if name not in known]
    if strange or not wanted:
        raise InputError(
            f"The class file {options.classes} names {examples(strange) or 'no synset'}; expected "
            f"synsets of {mapping or _data(root, 'train')}, one such as n01440764 a line."
        )
    return {name: known[name] for name in wanted}


def _synsets(path: Path) -> dict[str, str]:
    """Synset and first name of every line, such as "n01440764 tench, Tinca tinca"."""
    found: dict[str, str] = {}
    for place, line in enumerate(read_text(path, "list of synsets").splitlines(), 1):
        synset, _, names = line.strip().partition(" ")
        if not synset:
            continue
        if synset in found or not (synset[0] == "n" and synset[1:].isdecimal()):
            raise InputError(
                f"Line {place} of {path} is {line.strip()!r}; expected a synset such as n01440764 "
                "that is not listed yet. Correct it."
            )
        name = f"{synset} {names.partition(',')[0].strip()}".strip()
        found[synset] = unicodedata.normalize("NFC", name)
    return found


def _data(root: Path, split: str) -> Path:
    return root / "Data" / "CLS-LOC" / split


def _annotation(folder: Path, photo: str) -> Path:
    """Of a photograph such as train/n01440764/n01440764_10026 or val/ILSVRC2012_val_00000001.

    Annotations of the validation photographs lie in one folder, even if somebody has sorted the
    photographs themselves.
    """
    split, _, rest = photo.partition("/")
    path = folder / split / f"{rest}.xml"
    flat = folder / split / f"{rest.rpartition('/')[2]}.xml"
    return flat if flat.is_file() and not path.is_file() else path


def _objects(path: Path) -> list[tuple[str, Box]]:
    """Synset and edges of every object of an annotation.

    Raises:
        InputError: it is not there or broken, or an object has no name or box.
    """
    missing = (
        f"The annotation {path} is not there; expected one, or the photograph in a folder named "
        "after its synset."
    )
    found = []
    for entry in read_annotation(path, missing).findall("object"):
        name = (entry.findtext("name") or "").strip()
        try:
            left, top, right, bottom = (float(entry.findtext(f"bndbox/{c}") or "") for c in CORNERS)
        except ValueError:
            name = ""
        if not name:
            raise InputError(
                f"The annotation {path} has an object without a name and a box of "
                f"{', '.join(CORNERS)}; take the file from the archive again."
            )
        found.append((name, (left, top, right, bottom)))
    return found


@dataclass(frozen=True)
class _Source:
    root: Path
    synsets: Mapping[str, str]
    skip_bad: bool

    @property
    def labels(self) -> dict[str, int]:
        return {synset: label for label, synset in enumerate(self.synsets, 1)}

    @property
    def annotations(self) -> Path:
        return self.root / "Annotations" / "CLS-LOC"

    def split(self, name: str) -> Collection:
        """The photographs of "train", "val" or a list, of the chosen classes."""
        skipped: list[Skipped] = []
        if name in ("train", "val"):
            tagged = self._sorted(name) if self._is_sorted(name) else self._annotated(skipped)
        elif Path(name).is_file():
            tagged = self._listed(Path(name), skipped)
        else:
            raise InputError(
                f"There is no split {name!r} of ImageNet; expected train, val or the path of a "
                "text file of training photographs."
            )
        photos = tuple(sorted(tagged, key=lambda photo: photo.id))
        classes = tuple(self.synsets.values())
        return Collection(classes, photos, leave_out(skipped, self.skip_bad))

    def _is_sorted(self, split: str) -> bool:
        """Whether photographs lie in a folder per synset."""
        folder = _data(self.root, split)
        if not folder.is_dir():
            raise InputError(f"The folder of photographs {folder} is not there; check the path.")
        return split == "train" or any((folder / synset).is_dir() for synset in self.synsets)

    def _sorted(self, split: str) -> list[Photo]:
        """Every photograph of the chosen folders."""
        found = []
        for synset, label in self.labels.items():
            for path in _pictures(_data(self.root, split) / synset):
                name = photo_id(f"{split}/{synset}/{path.name}")
                found.append(Photo(name, path, (label,)))
        return found

    def _annotated(self, skipped: list[Skipped]) -> list[Photo]:
        """Validation photographs whose annotation has an object of a chosen class."""
        found, labels = [], self.labels
        for path in _pictures(_data(self.root, "val")):
            photo = photo_id(f"val/{path.name}")
            try:
                names = {name for name, _ in _objects(_annotation(self.annotations, photo))}
            except InputError as error:
                skipped.append(Skipped(photo, str(error)))
                continue
            tags = tuple(sorted(labels[name] for name in names if name in labels))
            if tags:
                found.append(Photo(photo, path, tags))
        return found

    def _listed(self, path: Path, skipped: list[Skipped]) -> list[Photo]:
        """Training photographs by a list such as train_cls.txt: id, and a number or nothing."""
        everything = {photo.id: photo for photo in self._sorted("train")}
        lines = [line.split()[0] for line in read_text(path, "split").splitlines() if line.strip()]
        wanted = [line for line in lines if line.split("/")[-1].split("_")[0] in self.synsets]
        ids, gone = find_listed(wanted, {name: photo.path for name, photo in everything.items()})
        skipped += [
            Skipped(line, f"The line {line!r} of {path} has no photograph in {self.root}.")
            for line in gone
        ]
        return [everything[name] for name in ids]


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
