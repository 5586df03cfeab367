"""What every format needs: photographs found, classes read and checked, splits, the fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tag2mask.data.collection import Collection
from tag2mask.errors import InputError
from tag2mask.types import MAX_CLASSES

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jfif"}
)
NAMED: Final = 3  # examples in one sentence


def examples(names: Iterable[str]) -> str:
    """The first few names, and how many there are beside them."""
    listed = list(names)
    shown = ", ".join(repr(name) for name in listed[:NAMED])
    return f"{shown} and {len(listed) - NAMED} more" if len(listed) > NAMED else shown


def read_text(path: Path, what: str) -> str:
    """Read a text file of the user's, with or without a byte-order mark.

    Args:
        what: what the file is, for the error ("class file").

    Raises:
        InputError: not there, a folder, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"The {what} {path} is not there. Check the path.") from None
    except UnicodeDecodeError:
        raise InputError(
            f"The {what} {path} is not UTF-8 text. Save it as UTF-8 (in Excel: CSV UTF-8)."
        ) from None
    except OSError as error:
        raise InputError(
            f"The {what} {path} cannot be read ({error.strerror}). Expected a readable text file."
        ) from None


def find_photographs(folder: Path) -> dict[str, Path]:
    """Every photograph below a folder by its id: the path below it without suffix, sorted.

    Names are composed (NFC), so that the same name typed on another system is the same id.
    Hidden files and folders are left out. Nothing is opened.

    Raises:
        InputError: not a folder, no photograph in it, or two with the same id.
    """
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "is not there"
        raise InputError(f"The folder of photographs {folder} {state}; check the path.")
    found: dict[str, Path] = {}
    for path in sorted(_walk(folder)):  # as text: tens of thousands of paths would take seconds
        name = photo_id(path)
        if name in found:
            raise InputError(
                f"The photographs {found[name]} and {folder / path} have the same id {name!r}; "
                "expected one file per id. Rename one of them."
            )
        found[name] = folder / path
    if not found:
        raise InputError(
            f"The folder {folder} holds no photograph; expected "
            f"{', '.join(sorted(SUFFIXES))} files. Check the path."
        )
    return found


def photo_id(path: str) -> str:
    """The id of a photograph from its path below the folder.

    Raises:
        InputError: the name is not Unicode, and could not be written into any list.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"The file name {os.fsencode(path)!r} is not UTF-8. Rename the file."
        ) from None
    return unicodedata.normalize("NFC", path.rpartition(".")[0])


def _walk(folder: Path) -> Iterator[str]:
    """Paths of photographs below the folder, parted by slashes."""
    seen: set[str] = set()  # a link may lead back up
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        for name in files:
            stem, dot, suffix = name.rpartition(".")
            if stem and not name.startswith(".") and f"{dot}{suffix}".lower() in SUFFIXES:
                yield prefix + name


def read_classes(path: Path) -> tuple[str, ...]:
    """The foreground classes of a text file, one a line; a first line "background" is dropped.

    Raises:
        InputError: not readable, or no class in it.
    """
    lines = [line.strip() for line in read_text(path, "class file").splitlines()]
    names = [unicodedata.normalize("NFC", line) for line in lines if line]
    if names and names[0].casefold() == "background":
        names = names[1:]
    if not names:
        raise InputError(f"The class file {path} names no class; expected one class a line.")
    check_names(names)
    return tuple(names)


def check_names(classes: Iterable[str]) -> None:
    """Refuse a list of classes that labels cannot be given to.

    Raises:
        InputError: more than 254, or one twice.
    """
    counts = Counter(classes)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InputError(f"The class {twice[0]!r} is listed twice; list every class once.")
    if len(counts) > MAX_CLASSES:
        raise InputError(
            f"There are {len(counts)} classes; at most {MAX_CLASSES} fit into a mask of bytes. "
            "Join or leave out some classes."
        )


def check_classes(collection: Collection) -> None:
    """Refuse photographs for training that some class cannot be learned from.

    Raises:
        InputError: no photograph, no class, too many classes, one twice, or one without a
            photograph.
    """
    if not collection.photos:
        raise InputError(
            "There is no photograph to train on; expected at least one. Check the folder, the "
            "tags and the split."
        )
    if not collection.classes:
        raise InputError(
            "No photograph has a tag, so there is no class; expected at least one. Add tags."
        )
    check_names(collection.classes)
    present = {tag for photo in collection.photos for tag in photo.tags}
    empty = [name for tag, name in enumerate(collection.classes, 1) if tag not in present]
    if empty:
        several = len(empty) > 1
        raise InputError(
            f"The {'classes' if several else 'class'} {examples(empty)} "
            f"{'are' if several else 'is'} empty: no training photograph has the tag. Add "
            f"photographs of {'them' if several else 'it'} or take {'them' if several else 'it'} "
            "from the list of classes."
        )


def fingerprint(collections: Iterable[Collection | None], truth: Path | None = None) -> str:
    """A hash over classes, ids, tags and file sizes of every split, and the truth's name.

    Args:
        collections: training first, then the test (None where there is none).

    Raises:
        InputError: a file has gone.
    """
    digest = hashlib.sha256()
    for number, collection in enumerate(collections):
        if collection is None:
            continue
        digest.update(_line([number, *collection.classes]))
        for photo in sorted(collection.photos, key=lambda photo: photo.id):
            try:
                size = photo.path.stat().st_size
            except OSError as error:
                raise InputError(
                    f"The photograph {photo.path} cannot be read ({error.strerror})."
                ) from None
            digest.update(_line([photo.id, *photo.tags, size]))
    digest.update(_line([truth.name if truth else None]))
    return digest.hexdigest()


def _line(values: list[object]) -> bytes:
    return json.dumps(values, ensure_ascii=True).encode("ascii") + b"\n"


class Lookup:
    """Photographs by the many ways in which a table may name them.

    "sub/cat 1", "sub/cat 1.jpg", "cat 1" (where only one is called so), "photos/sub/cat 1.jpg".
    """

    def __init__(self, photographs: Mapping[str, Path]) -> None:
        self._ids = photographs.keys()
        self._by_name: dict[str, list[str]] = {}
        for name in photographs:
            self._by_name.setdefault(name.rpartition("/")[2], []).append(name)

    def find(self, written: str) -> str | None:
        """The id of the photograph that is meant; None where there is none.

        Raises:
            InputError: several may be meant.
        """
        name = unicodedata.normalize("NFC", written.strip().replace("\\", "/"))
        name = name.removeprefix("./")
        stem, dot, suffix = name.rpartition(".")
        for candidate in (name, stem) if f"{dot}{suffix}".lower() in SUFFIXES else (name,):
            if candidate in self._ids:
                return candidate
            near = [
                other
                for other in self._by_name.get(candidate.rpartition("/")[2], ())
                if f"/{other}".endswith(f"/{candidate}") or f"/{candidate}".endswith(f"/{other}")
            ]
            if len(near) > 1:
                raise InputError(
                    f"{written!r} may mean the photographs {examples(near)}; expected one. Write "
                    "the path below the folder of photographs."
                )
            if near:
                return near[0]
        return None
