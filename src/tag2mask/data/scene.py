"""Draw one composed picture: a background, its objects, and who owns which pixel."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageFilter, ImageOps

from tag2mask.data.backgrounds import Area, crop
from tag2mask.data.cutouts import Cutout
from tag2mask.data.layers import Layer, flatten
from tag2mask.errors import InputError

ATTEMPTS: Final = 100
VISIBLE: Final = 0.005  # of the picture: what an object shows at least, or half of itself
FEWEST_PIXELS: Final = 16
TURN: Final = 25.0  # degrees to either side
OVERHANG: Final = 0.1  # of its extent: how far an object may reach out of the picture
MARGIN: Final = 4  # transparent pixels around a cut-out, room for its blur


@dataclass(frozen=True, slots=True)
class Wish:
    """What a picture shall be like.

    Attributes:
        size: pixels of either side.
        objects: fewest and most.
        object_size: smallest and largest longer side of an object, as shares of the picture's.
        co_occurrence: probability that the background is one of the first object's home.
    """

    size: int
    objects: tuple[int, int]
    object_size: tuple[float, float]
    co_occurrence: float


@dataclass(frozen=True, slots=True)
class Material:
    """What pictures of one split are made of.

    Attributes:
        cutouts: those of every label 1 … C.
        areas: parts of photographs.
    """

    cutouts: Mapping[int, Sequence[Cutout]]
    areas: Sequence[Area]

    def home(self, label: int) -> Sequence[Area]:
        """The backgrounds that belong to a class; with fewer than C, classes share one."""
        classes = len(self.cutouts)
        if len(self.areas) >= classes:
            return self.areas[label - 1 :: classes]
        return (self.areas[(label - 1) % len(self.areas)],)


@dataclass(frozen=True, slots=True)
class Scene:
    """A composed picture and everything that is true of it.

    Attributes:
        owners: number of the object that owns a pixel, 1 … n in the order of `objects`; 0 none.
    """

    picture: UInt8[np.ndarray, "H W 3"]
    owners: UInt8[np.ndarray, "H W"]
    objects: tuple[Cutout, ...]
    background: Area

    def labels(self) -> UInt8[np.ndarray, "H W"]:
        """The label of every pixel."""
        table = np.array([0, *(cutout.label for cutout in self.objects)], dtype=np.uint8)
        return np.asarray(table[self.owners])

    def mask(self, number: int) -> Bool[np.ndarray, "H W"]:
        """What is seen of object `number` (from 1)."""
        return np.asarray(self.owners == number)


def draw_scene(wish: Wish, material: Material, rng: random.Random) -> Scene:
    """Draw a picture in which every object can be seen.

    Classes are drawn with equal chances and may repeat. While an object is hidden too far
    (it shows less than `VISIBLE` of the picture and less than half of itself, or hardly a
    pixel), all objects are drawn anew, of the same classes.

    Raises:
        InputError: no attempt succeeded; the objects are too small or too many.
    """
    count = rng.randint(*wish.objects)
    labels = [rng.choice(list(material.cutouts)) for _ in range(count)]
    at_home = rng.random() < wish.co_occurrence
    area = rng.choice(material.home(labels[0]) if at_home else material.areas)
    background = crop(area, wish.size, rng)
    for _ in range(ATTEMPTS):
        objects = [rng.choice(material.cutouts[label]) for label in labels]
        layers = [
            layer
            for number, cutout in enumerate(objects, start=1)
            for layer in _place(cutout, number, wish, rng)
        ]
        picture, owners = flatten(background, layers)
        if _all_seen(owners, [layer for layer in layers if layer.owner]):
            return Scene(picture, owners, tuple(objects), area)
    raise InputError(
        f"In {ATTEMPTS} attempts no picture of {wish.size} pixels showed all of its {count} "
        f"objects of {wish.object_size[0]:g} to {wish.object_size[1]:g} of its side. Ask for "
        "fewer objects, larger ones or a larger size."
    )


def _all_seen(owners: UInt8[np.ndarray, "H W"], layers: Sequence[Layer]) -> bool:
    seen = np.bincount(owners.ravel(), minlength=len(layers) + 1)
    for layer in layers:
        whole = int((layer.rgba[..., 3] >= 128).sum())
        enough = max(FEWEST_PIXELS, min(VISIBLE * owners.size, whole / 2))
        if seen[layer.owner] < enough:
            return False
    return True


def _place(cutout: Cutout, number: int, wish: Wish, rng: random.Random) -> tuple[Layer, Layer]:
    """The object's shadow and the object, changed by chance, somewhere in the picture."""
    side = max(2, round(rng.uniform(*wish.object_size) * wish.size))
    rgba = vary(cutout.picture, side, rng)
    rows, columns = rgba.shape[:2]
    top = _position(rows, wish.size, rng)
    left = _position(columns, wish.size, rng)
    shadow = _shadow(rgba, strength=rng.uniform(0.0, 0.4))
    down, aside = rng.randint(0, max(1, side // 16)), rng.randint(-side // 16, side // 16)
    return Layer(shadow, top + down, left + aside, 0), Layer(rgba, top, left, number)


def _position(extent: int, size: int, rng: random.Random) -> int:
    first, last = -OVERHANG * extent, size - (1 - OVERHANG) * extent
    if last < first:
        return (size - extent) // 2
    return round(rng.uniform(first, last))


def vary(picture: Image.Image, side: int, rng: random.Random) -> UInt8[np.ndarray, "h w 4"]:
    """Flip, scale, turn, soften, brighten and sharpen or flatten a cut-out by chance.

    Args:
        side: its longer side in pixels, before it is turned.
    """
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    scale = side / max(picture.size)
    width, height = (max(1, round(scale * extent)) for extent in picture.size)
    # bilinear: a filter that overshoots would draw bright rims where alpha cannot follow
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    picture = ImageOps.expand(picture, border=MARGIN, fill=(0, 0, 0, 0))
    picture = picture.rotate(rng.uniform(-TURN, TURN), Image.Resampling.BILINEAR, expand=True)
    blur = ImageFilter.GaussianBlur(rng.uniform(0.0, 0.8))
    # colours times alpha while blurring: transparent pixels have no colour of their own
    rgba = np.array(picture.convert("RGBa").filter(blur).convert("RGBA"))
    colours = rgba[..., :3].astype(np.float64)
    contrast, brightness = rng.uniform(0.75, 1.2), rng.uniform(0.75, 1.2)
    colours = ((colours - 128) * contrast + 128) * brightness
    rgba[..., :3] = np.clip(np.rint(colours), 0, 255)
    return rgba


def _shadow(rgba: UInt8[np.ndarray, "h w 4"], strength: float) -> UInt8[np.ndarray, "h w 4"]:
    alpha = Image.fromarray(rgba[..., 3]).filter(ImageFilter.BoxBlur(MARGIN))
    shadow = np.zeros_like(rgba)
    shadow[..., 3] = np.asarray(alpha) * min(strength, 0.49)  # below one half: it owns nothing
    return shadow
