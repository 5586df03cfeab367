"""Photographs with tags, as a list that knows where each one is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from tag2mask.types import AnnotatedImage, Boxes, Instances, Size


@dataclass(frozen=True, slots=True)
class Photo:
    """One photograph, not decoded yet.

    Attributes:
        id: unique; its path below the folder without suffix, never parsed as a number.
        tags: labels 1 … C, ascending.
    """

    id: str
    path: Path
    tags: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A photograph or a row that was left out, and why, in one sentence."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Collection:
    """Photographs of one split.

    Attributes:
        classes: names of the foreground classes; label = index + 1.
    """

    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...] = ()

    def tag_matrix(self) -> Bool[Tensor, "n C"]:
        """Row i: the tags of photograph i."""
        matrix = torch.zeros(len(self.photos), len(self.classes), dtype=torch.bool)
        for row, photo in enumerate(self.photos):
            matrix[row, [tag - 1 for tag in photo.tags]] = True
        return matrix


@runtime_checkable
class Truth(Protocol):
    """True masks; evaluation only."""

    def __contains__(self, photo: str) -> bool: ...

    def fingerprint(self) -> str:
        """A hash that changes when the masks do; decides what must be scored again."""
        ...

    def read(self, photo: str, size: Size) -> AnnotatedImage:
        """The true labels of one photograph.

        Raises:
            InputError: labels out of range, or a mask of another size than the photograph.
        """
        ...


@runtime_checkable
class TrueBoxes(Protocol):
    """True boxes; evaluation only."""

    def __contains__(self, photo: str) -> bool: ...

    def fingerprint(self) -> str:
        """A hash that changes when the boxes do; decides what must be scored again."""
        ...

    def read(self, photo: str, size: Size) -> Boxes:
        """The true boxes of one photograph.

        Raises:
            InputError: a file that does not fit, or a box outside the photograph.
        """
        ...


@runtime_checkable
class TrueInstances(Protocol):
    """True objects, told apart; evaluation only.

    Attributes:
        source: where they come from, in a phrase.
    """

    source: str

    def __contains__(self, photo: str) -> bool: ...

    def fingerprint(self) -> str:
        """A hash that changes when the objects do; decides what must be scored again."""
        ...

    def read(self, photo: str, size: Size) -> Instances:
        """The true objects of one photograph.

        Raises:
            InputError: a file that does not fit, or is of another size than the photograph.
        """
        ...


@dataclass(frozen=True, slots=True)
class Data:
    """Everything a run is given.

    Attributes:
        format: "csv", "folders", "voc", "coco", "cub" or "imagenet".
        test: held out, never trained on.
        truth: true masks.
        fingerprint: hash over ids, tags and file sizes, truth left out; decides what is redone.
    """

    format: str
    train: Collection
    test: Collection | None
    truth: Truth | None
    fingerprint: str
    boxes: TrueBoxes | None = None
    instances: TrueInstances | None = None
