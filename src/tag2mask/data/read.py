"""Decode photographs, whatever they are, into upright RGB bytes; refuse by name what is broken."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from tag2mask.data.collection import Collection, Photo, Skipped
from tag2mask.errors import InputError
from tag2mask.progress import track
from tag2mask.types import Size, TaggedImage

LARGEST: Final = 200_000_000  # pixels
WORKERS: Final = 2

Image.MAX_IMAGE_PIXELS = LARGEST // 2  # Pillow warns from here on and refuses twice as many
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_UPRIGHT: Final = {  # EXIF orientation → what turns the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: Path) -> UInt8[Tensor, "3 H W"]:
    """Read a photograph as upright RGB.

    EXIF rotation is applied, 16 bits are scaled to 8, what is transparent becomes white; of
    several frames the first is read.

    Raises:
        InputError: it is not there, broken, of more than 200 megapixels, or holds numbers that
            are not those of a photograph.
    """
    with _opened(path) as picture:
        picture.load()
        turn = _UPRIGHT.get(_orientation(picture))
        upright = picture if turn is None else picture.transpose(turn)
        values = np.array(_rgb(path, upright))
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()


def image_size(path: Path) -> Size:
    """Height and width of the upright photograph, from its header where that says all.

    Raises:
        InputError: it is not there, is no picture, or has more than 200 megapixels.
    """
    with _opened(path) as picture:
        if picture.format == "TIFF":
            picture.load()  # Pillow turns it while loading; which size it tells before, varies
        swapped = _orientation(picture) >= 5
        width, height = picture.size
    return (width, height) if swapped else (height, width)


def read_tagged(photo: Photo, classes: int) -> TaggedImage:
    """Read a photograph with its tags.

    Args:
        classes: length of the tag vector; 0 where no tags are wanted.

    Raises:
        InputError: see `read_image`.
    """
    tags = torch.zeros(classes, dtype=torch.bool)
    if classes:
        tags[[tag - 1 for tag in photo.tags]] = True
    return TaggedImage(photo.id, read_image(photo.path), tags)


def verify(collection: Collection, skip_bad: bool) -> Collection:
    """Decode every photograph once; hand back the collection without those that are broken.

    Args:
        skip_bad: move broken photographs to `skipped`, instead of raising.

    Raises:
        InputError: naming the first broken photograph, or no photograph is left.
    """
    reasons: list[str | None] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        results = pool.map(_broken, [photo.path for photo in collection.photos])
        for reason in track(results, "Checking photographs", len(collection.photos)):
            if reason is not None and not skip_bad:
                pool.shutdown(cancel_futures=True)
                raise InputError(reason)
            reasons.append(reason)
    checked = list(zip(collection.photos, reasons, strict=True))
    kept = tuple(photo for photo, reason in checked if reason is None)
    skipped = tuple(Skipped(photo.id, reason) for photo, reason in checked if reason is not None)
    if skipped and not kept:
        raise InputError(
            f"None of the {len(skipped)} photographs can be read; the first: {skipped[0].reason}"
        )
    return replace(collection, photos=kept, skipped=collection.skipped + skipped)


def _broken(path: Path) -> str | None:
    try:
        read_image(path)
    except InputError as error:
        return str(error)
    return None


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; whatever a decoder raises meanwhile becomes one sentence."""
    try:
        with Image.open(path) as picture:
            yield picture
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"The photograph {path} is not there.") from None
    except Image.DecompressionBombError:
        raise InputError(
            f"The photograph {path} has more than {LARGEST // 1_000_000} megapixels. Shrink it "
            "or leave it out with --skip-bad."
        ) from None
    except Exception as error:  # decoders raise nearly anything on broken bytes
        raise InputError(
            f"The photograph {path} cannot be read ({_plain(error, path)}). Repair it, take it "
            "away, or leave it out with --skip-bad."
        ) from None


def _plain(error: Exception, path: Path) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is empty" if path.stat().st_size == 0 else "it is no picture"
    return str(error) or type(error).__name__


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF does not make a photograph broken
        return 1


def _rgb(path: Path, picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        return _from_numbers(path, picture)
    if picture.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def _from_numbers(path: Path, picture: Image.Image) -> Image.Image:
    """Scale 16 bits to 8: 65535 / 255 = 257."""
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise InputError(
            f"The photograph {path} holds numbers of mode {picture.mode}, beyond 16 bits; "
            "expected 8 or 16 bits a channel. Convert it."
        )
    grey = np.rint(values.astype(np.float32) / 257).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
