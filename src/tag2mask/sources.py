"""Photographs as the trainings and the networks take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as pictures

from tag2mask.data import Photo, image_size, read_tagged
from tag2mask.storage import read_labels
from tag2mask.types import PseudoMask, Size, TaggedImage

CACHE_BYTES = 1 << 30  # decoded photographs kept in memory while training


@dataclass(slots=True)
class Photographs:
    """Tagged photographs by number, decoded once and kept small while there is room."""

    photos: Sequence[Photo]
    classes: int
    long_side: int
    kept: dict[int, TaggedImage] = field(default_factory=dict)
    used: int = 0

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, number: int) -> TaggedImage:
        if number in self.kept:
            return self.kept[number]
        item = read_tagged(self.photos[number], self.classes)
        item = TaggedImage(item.id, shrink(item.image, self.long_side), item.tags)
        size = item.image.numel()
        if self.used + size <= CACHE_BYTES:
            self.used += size
            self.kept[number] = item
        return item


@dataclass(slots=True)
class MaskedPhotographs:
    """Photographs with the pseudo masks of a folder."""

    photographs: Photographs
    folder: Path

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, number: int) -> tuple[UInt8[Tensor, "3 H W"], PseudoMask]:
        item = self.photographs[number]
        return item.image, PseudoMask(item.id, read_labels(self.folder / f"{item.id}.png"))


def shrink(image: UInt8[Tensor, "3 H W"], long_side: int) -> UInt8[Tensor, "3 h w"]:
    """A photograph with its long side at most this; smaller ones as they are."""
    factor = long_side / max(image.shape[-2:])
    if factor >= 1:
        return image
    size = [max(1, round(extent * factor)) for extent in image.shape[-2:]]
    small: Tensor = pictures.resize(image, size, antialias=True)
    return small


def same_size_batches(photos: Sequence[Photo], batch: int) -> list[list[Photo]]:
    """Photographs in batches of one size; the batches depend on the photographs alone."""
    groups: dict[Size, list[Photo]] = {}
    for photo in photos:
        groups.setdefault(image_size(photo.path), []).append(photo)
    return [
        group[start : start + batch]
        for _, group in sorted(groups.items())
        for start in range(0, len(group), batch)
    ]
