"""True objects, told apart: VOC's SegmentationObject, or COCO's instances; scoring only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from tag2mask.data.coco_truth import CocoTruth
from tag2mask.data.pngs import fingerprint, listed
from tag2mask.data.truth import MaskFolder
from tag2mask.errors import InputError
from tag2mask.nn.parts import numbered_instances
from tag2mask.storage import read_labels
from tag2mask.types import BACKGROUND, UNKNOWN, Instances, Size

JSON: Final = "instances.json"  # beside the folder of masks, where pictures are composed
OBJECTS: Final = "SegmentationObject"


class CocoInstances:
    """Objects as COCO's JSON outlines them.

    Args:
        truth: what is drawn, by photograph.
    """

    def __init__(self, truth: CocoTruth, source: str = "COCO's instances") -> None:
        self._truth, self.source = truth, source

    def __contains__(self, photo: str) -> bool:
        return photo in self._truth

    def fingerprint(self) -> str:
        """A hash over names, sizes and times of the JSON files."""
        return self._truth.fingerprint()

    def read(self, photo: str, size: Size) -> Instances:
        """The true objects of one photograph.

        Raises:
            InputError: none are known, the photograph has another size, or a broken segmentation.
        """
        return self._truth.objects(photo, size)


class VocInstances:
    """Objects as VOC paints them: `ID.png` with a number per object, 255 on the edges between.

    Args:
        masks: folder of the masks that say which class a pixel has.
        objects: folder of the masks that say which object.
        classes: C.

    Raises:
        InputError: not a folder, or no mask in it.
    """

    source = "VOC's SegmentationObject"

    def __init__(self, masks: Path, objects: Path, classes: int) -> None:
        self._masks = MaskFolder(masks, classes)
        self._objects = listed(objects, "mask of objects")

    def __contains__(self, photo: str) -> bool:
        return photo in self._objects and photo in self._masks

    def fingerprint(self) -> str:
        """A hash over names, sizes and times of the masks."""
        return fingerprint(self._objects) + self._masks.fingerprint()

    def read(self, photo: str, size: Size) -> Instances:
        """The true objects of one photograph; their pixels are those that have a class, too.

        Raises:
            InputError: no mask, an unreadable one, labels out of range, or another size.
        """
        labels = self._masks.read(photo, size).truth
        path = self._objects.get(photo)
        if path is None:
            raise InputError(f"The photograph {photo!r} has no mask of objects; expected its PNG.")
        ids = read_labels(path)
        if ids.shape != labels.shape:
            raise InputError(
                f"The mask of objects {path} is {ids.shape[1]} pixels wide and {ids.shape[0]} "
                f"high, its photograph {size[1]} and {size[0]}; expected the same size."
            )
        none = (ids == UNKNOWN) | (labels == BACKGROUND) | (labels == UNKNOWN)
        return numbered_instances(photo, labels, torch.where(none, 0, ids))
