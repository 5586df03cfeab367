"""Photographs to paste on, parted so that no pixel serves both training and test."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from tag2mask.data.cutouts import INSTALL
from tag2mask.errors import BROKEN, InputError

Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the photograph

WHOLE: Final[Box] = (0.0, 0.0, 1.0, 1.0)
ENOUGH: Final = 24  # photographs from which whole ones are held out, instead of a part of each
TEST_SHARE: Final = 0.25  # of whole photographs
TRAIN_AREA: Final = 0.6  # of a photograph that is parted
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
LARGEST: Final = 1600  # pixels of the longer side; larger photographs are shrunk


@dataclass(frozen=True, slots=True)
class Stock:
    """A photograph that a package carries.

    Attributes:
        folder: the package, and the folder inside it.
        clear: what is free of the classes of the drawings: no dahlia, pagoda, rocket or skyline.
    """

    folder: str
    file: str
    licence: str
    clear: Box = WHOLE


_SKIMAGE: Final = "skimage/data"
_SKLEARN: Final = "sklearn/datasets/images"
STOCK: Final = (
    Stock(_SKIMAGE, "coffee.png", "CC0, Rachel Michetti"),
    Stock(_SKIMAGE, "hubble_deep_field.jpg", "public domain, NASA"),
    Stock(_SKIMAGE, "ihc.png", "no known copyright restrictions, CMMI"),
    Stock(_SKIMAGE, "retina.jpg", "CC0, Mikael Häggström", (0.15, 0.15, 0.85, 0.85)),
    Stock(_SKIMAGE, "astronaut.png", "public domain, NASA", (0.0, 0.0, 0.67, 1.0)),
    Stock(_SKIMAGE, "rocket.jpg", "public domain, SpaceX", (0.14, 0.0, 0.86, 0.28)),
    Stock(_SKIMAGE, "camera.png", "CC0, Lav Varshney", (0.8, 0.5, 1.0, 1.0)),
    Stock(_SKIMAGE, "brick.png", "CC0, CC0Textures"),
    Stock(_SKIMAGE, "grass.png", "CC0, linolafett"),
    Stock(_SKIMAGE, "gravel.png", "CC0, CC0Textures"),
    Stock(_SKIMAGE, "coins.png", "no known copyright restrictions, Brooklyn Museum"),
    Stock(_SKIMAGE, "text.png", "public domain, Wikipedia"),
    Stock(_SKIMAGE, "clock_motion.png", "public domain, Stefan van der Walt"),
    Stock(_SKLEARN, "china.jpg", "CC BY 2.0, danielbuechele", (0.59, 0.0, 1.0, 1.0)),
    Stock(_SKLEARN, "flower.jpg", "CC BY 2.0, vultilion", (0.0, 0.0, 0.25, 1.0)),
)


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of a photograph from which crops are taken."""

    name: str
    path: Path
    box: Box


def find_areas(folder: Path | None) -> tuple[Area, ...]:
    """The photographs of a folder, sorted; those of the packages where no folder is given.

    Raises:
        InputError: a package or the folder is missing, or there is no photograph in it.
    """
    if folder is None:
        return tuple(Area(stock.file, _stock_path(stock), stock.clear) for stock in STOCK)
    if not folder.is_dir():
        raise InputError(
            f"The backgrounds folder {folder} is not there; expected a folder of photographs. "
            "Check the path."
        )
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(
            f"The backgrounds folder {folder} holds no photograph; expected "
            f"{', '.join(sorted(SUFFIXES))} files. Add some."
        )
    return tuple(Area(path.relative_to(folder).as_posix(), path, WHOLE) for path in paths)


def _stock_path(stock: Stock) -> Path:
    package, _, folder = stock.folder.partition("/")
    spec = find_spec(package)  # found, not imported: that would take a second
    for root in spec.submodule_search_locations or () if spec else ():
        path = Path(root) / folder / stock.file
        if path.exists():
            return path
    raise InputError(
        f"The default background {stock.file} comes with the package {package}, which is not "
        f"installed or too old. Run: {INSTALL} (or give a folder of your own photographs)."
    )


def part_areas(areas: Sequence[Area], seed: int) -> tuple[tuple[Area, ...], tuple[Area, ...]]:
    """Part the photographs into areas for training and areas for the test.

    From `ENOUGH` photographs on, whole ones are held out. Fewer are each cut in two along their
    longer side, so that training and test have the same places but no pixel in common.
    """
    shuffled = list(areas)
    random.Random(f"{seed}/backgrounds").shuffle(shuffled)
    if len(shuffled) >= ENOUGH:
        held_out = round(TEST_SHARE * len(shuffled))
        return tuple(shuffled[held_out:]), tuple(shuffled[:held_out])
    halves = [_cut(area) for area in shuffled]
    return tuple(first for first, _ in halves), tuple(second for _, second in halves)


def _cut(area: Area) -> tuple[Area, Area]:
    left, top, right, bottom = area.box
    height, width = read_photograph(area.path).shape[:2]
    if (right - left) * width >= (bottom - top) * height:
        # at a whole column, so that rounding cannot give it to both
        middle = round((left + TRAIN_AREA * (right - left)) * width) / width
        boxes = (left, top, middle, bottom), (middle, top, right, bottom)
    else:
        middle = round((top + TRAIN_AREA * (bottom - top)) * height) / height
        boxes = (left, top, right, middle), (left, middle, right, bottom)
    return Area(area.name, area.path, boxes[0]), Area(area.name, area.path, boxes[1])


@lru_cache(maxsize=64)
def read_photograph(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read a photograph upright, as RGB, at most `LARGEST` pixels long.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (LARGEST, LARGEST))
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except BROKEN as error:
        raise InputError(
            f"The background {path} cannot be read ({error}). Repair it or take it away."
        ) from None
    picture.thumbnail((LARGEST, LARGEST))
    return np.asarray(picture)


def pixel_box(area: Area) -> tuple[int, int, int, int]:
    """The area in whole pixels of its photograph: left, top, right, bottom."""
    height, width = read_photograph(area.path).shape[:2]
    left, top, right, bottom = area.box
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def crop(area: Area, size: int, rng: random.Random) -> UInt8[np.ndarray, "H W 3"]:
    """A random square of the area at `size` × `size` pixels, flipped and jittered by chance.

    The square takes half to all of the shorter side. Grey photographs are tinted more than
    coloured ones: colour alone must not tell what was pasted.
    """
    left, top, right, bottom = pixel_box(area)
    side = max(1, round(rng.uniform(0.5, 1.0) * min(right - left, bottom - top)))
    x, y = rng.randint(left, right - side), rng.randint(top, bottom - side)
    # cut first: a resampling filter must not look beyond the area
    square = Image.fromarray(read_photograph(area.path)[y : y + side, x : x + side])
    square = square.resize((size, size), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        square = ImageOps.mirror(square)
    colours = np.asarray(square, dtype=np.float64)
    grey = bool(np.all(colours == colours[..., :1]))
    low, high = (0.65, 1.15) if grey else (0.92, 1.08)
    gains = np.array([rng.uniform(low, high) for _ in range(3)]) * rng.uniform(0.8, 1.15)
    contrast, mean = rng.uniform(0.85, 1.15), colours.mean()
    jittered = ((colours - mean) * contrast + mean) * gains
    return np.asarray(np.clip(np.rint(jittered), 0, 255), dtype=np.uint8)
