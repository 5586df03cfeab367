"""True masks from a folder of PNG files; scoring only."""

from __future__ import annotations

from pathlib import Path

import torch

from tag2mask.data.pngs import fingerprint, listed
from tag2mask.errors import InputError
from tag2mask.storage import read_labels
from tag2mask.types import UNKNOWN, AnnotatedImage, Size


class MaskFolder:
    """True masks as `ID.png`, indexed or grey: 0 background, 1 … C, 255 not counted.

    Args:
        classes: C.

    Raises:
        InputError: not a folder, or no mask in it.
    """

    def __init__(self, folder: Path, classes: int) -> None:
        self.classes = classes
        self._paths = listed(folder, "true mask")

    def __contains__(self, photo: str) -> bool:
        return photo in self._paths

    def fingerprint(self) -> str:
        """A hash over names, sizes and times of the masks."""
        return fingerprint(self._paths)

    def read(self, photo: str, size: Size) -> AnnotatedImage:
        """The true labels of one photograph.

        Raises:
            InputError: no mask, an unreadable one, labels out of range, or another size.
        """
        path = self._paths.get(photo)
        if path is None:
            raise InputError(f"The photograph {photo!r} has no true mask; expected {photo}.png.")
        labels = read_labels(path)
        if tuple(labels.shape) != size:
            raise InputError(
                f"The mask {path} is {labels.shape[1]} pixels wide and {labels.shape[0]} high, its "
                f"photograph {size[1]} and {size[0]}; expected the same size. Draw it anew."
            )
        wrong = torch.unique(labels[(labels > self.classes) & (labels != UNKNOWN)])
        if wrong.numel():
            raise InputError(
                f"The mask {path} has the label {int(wrong[0])}; expected 0 (background), 1 to "
                f"{self.classes} (the classes) or {UNKNOWN} (not counted). Correct it, or the list "
                "of classes."
            )
        return AnnotatedImage(photo, labels)
