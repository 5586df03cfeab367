"""The nouns that travel between stages, and the one convention about labels.

Maps have no background channel. A label is a small integer: 0 is background, 1 … C are the
classes in the order of the class list, 255 is unknown. Channel `c` of a tag vector or of a map
over all classes belongs to label `c + 1`.

Axis letters: `B` images, `C` foreground classes, `L = C + 1` labels, `K` classes of one image,
`H W` pixels, `h w` cells, `N` flattened cells, `D` feature channels, `S` regions, `M` bank
entries. Sizes are always (H, W).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt8
from torch import Tensor

BACKGROUND: Final = 0
UNKNOWN: Final = 255
NO_REGION: Final = -1  # padding, in superpixels
MAX_CLASSES: Final = 254  # labels 1 … 254 fit between background and unknown in a byte

Scalar = Float[Tensor, ""]
Size = tuple[int, int]


class Cue(StrEnum):
    """What a method may ask for beside photograph and tags.

    SUPERPIXELS: region numbers from 0, int64 B × H × W, −1 where there is no photograph; made from
    the photographs alone. SALIENCY: float B × H × W in [0, 1], 0 where there is no photograph;
    given by the user, and supervision. SEEDS: labels, int64 B × H × W, 255 where unknown and where
    there is no photograph; made from tags, by a classifier trained first.
    """

    SUPERPIXELS = "superpixels"
    SALIENCY = "saliency"
    SEEDS = "seeds"


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """A photograph and what is in it: all that training may ever see."""

    id: str
    image: UInt8[Tensor, "3 H W"]
    tags: Bool[Tensor, "C"]


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """What a person drew; evaluation only."""

    id: str
    truth: UInt8[Tensor, "H W"]


@dataclass(frozen=True, slots=True)
class TagBatch:
    """Photographs as a network takes them, with their tags.

    `images` are RGB on 0 … 255 in floating point; each backbone normalises for itself.
    """

    ids: tuple[str, ...]
    images: Float[Tensor, "B 3 H W"]
    tags: Bool[Tensor, "B C"]
    cues: Mapping[Cue, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> TagBatch:
        """The same batch on another device."""
        cues = {cue: tensor.to(device) for cue, tensor in self.cues.items()}
        return TagBatch(self.ids, self.images.to(device), self.tags.to(device), cues)


@dataclass(frozen=True, slots=True)
class MaskBatch:
    """Photographs with a decision per pixel, for teaching a segmentation network."""

    ids: tuple[str, ...]
    images: Float[Tensor, "B 3 H W"]
    labels: Int64[Tensor, "B H W"]

    def to(self, device: torch.device) -> MaskBatch:
        """The same batch on another device."""
        return MaskBatch(self.ids, self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True)
class InstanceBatch:
    """Photographs with objects told apart, for teaching an instance network.

    Attributes:
        numbers: the object of every pixel, 1 … n; 0 is none, 255 where there is no photograph.
        classes: label (1 … C) of the n objects of each photograph.
    """

    ids: tuple[str, ...]
    images: Float[Tensor, "B 3 H W"]
    numbers: Int64[Tensor, "B H W"]
    classes: tuple[Int64[Tensor, "_"], ...]

    def to(self, device: torch.device) -> InstanceBatch:
        """The same batch on another device."""
        classes = tuple(each.to(device) for each in self.classes)
        return InstanceBatch(self.ids, self.images.to(device), self.numbers.to(device), classes)


@dataclass(frozen=True, slots=True)
class CamSet:
    """Where the classes of one photograph are, as continuous evidence.

    Attributes:
        classes: labels (1 … C) of the K maps, ascending; the photograph's tags, nothing else.
        maps: evidence in [0, 1] on a grid of h × w cells that covers the whole photograph.
        size: (H, W) of the photograph.
    """

    id: str
    classes: Int64[Tensor, "K"]
    maps: Float[Tensor, "K h w"]
    size: Size


@dataclass(frozen=True, slots=True)
class PseudoMask:
    """A decision for every pixel of one photograph: 0, 1 … C, or 255 unknown."""

    id: str
    labels: UInt8[Tensor, "H W"]


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of one photograph, drawn by a person or found in a map or a mask.

    Attributes:
        classes: label (1 … C) of each box.
        edges: left, top, right, bottom in pixels from the upper left corner of the photograph;
            a box of one pixel is 1 wide and 1 high.
        scores: how sure each is, 0 … 1; 1 where a person drew it.
        size: (H, W) of the photograph.
    """

    id: str
    classes: Int64[Tensor, "n"]
    edges: Float64[Tensor, "n 4"]
    scores: Float64[Tensor, "n"]
    size: Size


@dataclass(frozen=True, slots=True)
class Instances:
    """Objects of one photograph, told apart: drawn by a person, or found.

    Attributes:
        classes: label (1 … C) of each object.
        runs: the pixels of each, as COCO's compressed run lengths.
        scores: how sure each is, 0 … 1; 1 where a person drew it.
        size: (H, W) of the photograph.
        crowds: which are groups that nobody told apart; in truth only, none where it is empty.
    """

    id: str
    classes: Int64[Tensor, "n"]
    runs: tuple[bytes, ...]
    scores: Float64[Tensor, "n"]
    size: Size
    crowds: tuple[bool, ...] = ()

    def __len__(self) -> int:
        return len(self.runs)


@dataclass(frozen=True, slots=True)
class Confusion:
    """Pixel counts, rows truth, columns decision; adds up over images and shards."""

    counts: Int64[Tensor, "L L"]

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(self.counts + other.counts)

    @staticmethod
    def zeros(labels: int) -> Confusion:
        """An empty count for `labels` labels (background counted)."""
        return Confusion(torch.zeros(labels, labels, dtype=torch.int64))
