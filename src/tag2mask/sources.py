"""Photographs as the trainings and the networks take them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as pictures

from tag2mask.data import (
    DataOptions,
    Photo,
    SaliencyFolder,
    image_size,
    open_saliency,
    read_tagged,
)
from tag2mask.experiment import Experiment, needed_cues, uses_saliency
from tag2mask.nn.parts import numbered_instances
from tag2mask.nn.saliency import SaliencyModel
from tag2mask.nn.superpixels import SuperpixelOptions, superpixels
from tag2mask.progress import track
from tag2mask.storage import read_labels, read_tensors, write_tensors
from tag2mask.types import Cue, PseudoMask, Size, TaggedImage

CACHE_BYTES = 1 << 30  # decoded photographs kept in memory while training
WHITE = 255  # of saliency as it is kept


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


@dataclass(slots=True)
class DividedPhotographs:
    """Photographs with the objects of their pseudo masks.

    Attributes:
        masks: folder of the pseudo masks.
        objects: folder of the object of every pixel.
    """

    photographs: Photographs
    masks: Path
    objects: Path

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(
        self, number: int
    ) -> tuple[UInt8[Tensor, "3 H W"], str, UInt8[Tensor, "_ _"], Int64[Tensor, "n"]]:
        item = self.photographs[number]
        labels, ids = (read_labels(f / f"{item.id}.png") for f in (self.masks, self.objects))
        return item.image, item.id, ids, numbered_instances(item.id, labels, ids).classes


@dataclass(slots=True)
class Superpixels:
    """The regions of photographs by number, kept in a folder under their content."""

    photographs: Photographs
    options: SuperpixelOptions
    folder: Path

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, number: int) -> Int64[Tensor, "h w"]:
        image = self.photographs[number].image
        path = self.folder / f"{content(image, self.options)}.safetensors"
        if not path.is_file():
            regions = superpixels(image, self.options)
            write_tensors(path, {"regions": regions.to(torch.int16)})
        return read_tensors(path)["regions"].long()

    def fill(self) -> None:
        """Make what is not there yet."""
        for number in track(range(len(self)), "superpixels", len(self)):
            self[number]


@dataclass(slots=True)
class GivenSaliency:
    """The saliency of photographs by number, from the user's folder, as small as they are."""

    photographs: Photographs
    folder: SaliencyFolder

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, number: int) -> Float[Tensor, "h w"]:
        photo, size = self.photographs.photos[number], self.photographs[number].image.shape[1:]
        values = self.folder.read(photo.id, image_size(photo.path))
        return functional.interpolate(values[None, None], size, mode="area")[0, 0]


@dataclass(slots=True)
class ModelSaliency:
    """The saliency of photographs by number, by a model, kept in a folder under their content."""

    photographs: Photographs
    model: SaliencyModel
    folder: Path

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, number: int) -> Float[Tensor, "h w"]:
        image = self.photographs[number].image
        path = self.folder / f"{content(image, self.model.fingerprint)}.safetensors"
        if not path.is_file():
            values = (self.model(image) * WHITE).round()
            write_tensors(path, {"saliency": values.to(torch.uint8)})
        return read_tensors(path)["saliency"].float() / WHITE

    def fill(self) -> None:
        """Make what is not there yet."""
        for number in track(range(len(self)), "saliency", len(self)):
            self[number]


@dataclass(slots=True)
class Seeds:
    """The seed labels of photographs by number, from the folder of their stage."""

    photographs: Photographs
    folder: Path

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, number: int) -> Int64[Tensor, "H W"]:
        photo = self.photographs.photos[number]
        return read_labels(self.folder / f"{photo.id}.png").long()


CueSource = Superpixels | GivenSaliency | ModelSaliency | Seeds


def cue_sources(
    experiment: Experiment, photographs: Photographs, run: Path
) -> dict[Cue, CueSource]:
    """What the method asks for, by photograph; what can be made and is not there yet is made.

    Args:
        run: folder of the run; the stage `seeds` is done.
    """
    options: Any = experiment.method
    needs, found = needed_cues(options), dict[Cue, CueSource]()
    if Cue.SUPERPIXELS in needs:
        regions = Superpixels(photographs, options.superpixels, run / "cues")
        regions.fill()
        found[Cue.SUPERPIXELS] = regions
    if Cue.SALIENCY in needs:
        found[Cue.SALIENCY] = _saliency(experiment.data, photographs, run / "cues")
    if Cue.SEEDS in needs:
        found[Cue.SEEDS] = Seeds(photographs, run / "seeds")
    return found


def _saliency(
    options: DataOptions, photographs: Photographs, cues: Path
) -> GivenSaliency | ModelSaliency:
    given = open_saliency(options.saliency)
    if given is not None:
        return GivenSaliency(photographs, given)
    if options.saliency is None:
        raise ValueError("Saliency is asked for and was not given.")
    made = ModelSaliency(photographs, SaliencyModel(options.saliency, options.saliency_side), cues)
    made.fill()
    return made


def saliency_stamp(experiment: Experiment) -> dict[str, str]:
    """What decides the saliency, where the method learns from it; else nothing."""
    path = experiment.data.saliency
    if path is None or not uses_saliency(experiment):
        return {}
    given = open_saliency(path)
    if given is not None:
        return {"saliency": given.fingerprint()}
    return {"saliency": SaliencyModel(path, experiment.data.saliency_side).fingerprint}


def content(image: UInt8[Tensor, "3 H W"], maker: object) -> str:
    """The name of what is made of a photograph.

    Args:
        maker: what decides how it is made.
    """
    known = hashlib.sha256(repr((maker, tuple(image.shape))).encode())
    known.update(image.contiguous().numpy().tobytes())
    return known.hexdigest()[:32]


def shrink(image: UInt8[Tensor, "3 H W"], long_side: int) -> UInt8[Tensor, "3 h w"]:
    """A photograph with its long side at most this; smaller ones as they are."""
    factor = long_side / max(image.shape[-2:])
    if factor >= 1:
        return image
    size = [max(1, round(extent * factor)) for extent in image.shape[-2:]]
    small: Tensor = pictures.resize(image, size, antialias=True)
    return small


def unfinished(
    photos: Sequence[Photo], batch: int, folder: Path, suffix: str
) -> tuple[list[list[Photo]], int]:
    """The batches of one size in which a photograph lacks its file, and how many need nothing.

    Args:
        batch: photographs in a batch.
        suffix: of the files, one a photograph.
    """
    todo = [
        together
        for together in same_size_batches(photos, batch)
        if not all((folder / f"{photo.id}{suffix}").is_file() for photo in together)
    ]
    return todo, len(photos) - sum(len(together) for together in todo)


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
