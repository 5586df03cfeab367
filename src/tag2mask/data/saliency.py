"""Saliency from a folder of grey PNG files: what stands out in each photograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from tag2mask.data.collection import Photo, Skipped
from tag2mask.data.pngs import fingerprint, listed
from tag2mask.data.read import image_size
from tag2mask.errors import BROKEN, InputError
from tag2mask.progress import track
from tag2mask.types import Size

WHITE: Final = {"1": 1.0, "L": 255.0, "I;16": 65535.0}  # of the grey pictures that Pillow opens
MODELS: Final = (".onnx", ".pt")


class SaliencyFolder:
    """Saliency as `ID.png`: grey, black 0 to white 1, as large as the photograph.

    Raises:
        InputError: not a folder, or no PNG in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = listed(folder, "saliency map")

    def __contains__(self, photo: str) -> bool:
        return photo in self._paths

    def fingerprint(self) -> str:
        """A hash over names, sizes and times of the maps."""
        return fingerprint(self._paths)

    def read(self, photo: str, size: Size) -> Float[Tensor, "H W"]:
        """The saliency of one photograph, 0 … 1.

        Args:
            size: (H, W) of the photograph.

        Raises:
            InputError: no map, an unreadable one, a coloured one, or another size.
        """
        path = self._paths.get(photo)
        if path is None:
            raise InputError(
                f"The photograph {photo!r} has no saliency map in {self.folder}; expected "
                f"{photo}.png. Make it, or leave the photograph out with --skip-bad."
            )
        values = _grey(path)
        if tuple(values.shape) != size:
            raise InputError(
                f"The saliency map {path} is {values.shape[1]} pixels wide and {values.shape[0]} "
                f"high, its photograph {size[1]} and {size[0]}; expected the same size. Resize it."
            )
        return values

    def missing(self, photos: Sequence[Photo], skip_bad: bool) -> list[Skipped]:
        """The photographs whose saliency map is not there or does not fit.

        Raises:
            InputError: the first such, unless they are to be skipped; or none would be left.
        """
        gone = []
        for photo in track(photos, "Checking saliency maps", len(photos)):
            try:
                self.read(photo.id, image_size(photo.path))
            except InputError as error:
                if not skip_bad:
                    raise
                gone.append(Skipped(photo.id, str(error)))
        if gone and len(gone) == len(photos):
            raise InputError(
                f"No photograph has a saliency map that fits; the first: {gone[0].reason}"
            )
        return gone


def saliency_source(path: Path | None) -> str:
    """Where the saliency comes from, for the supervision card."""
    name = path.name if path is not None else ""
    if path is not None and path.is_dir():
        return f"from the folder {name} (given by the user; what made it is not known here)"
    return f"made by the model {name} (given by the user; its training data is not known here)"


def open_saliency(path: Path | None) -> SaliencyFolder | None:
    """The folder of saliency maps; None where there is none, or a model makes them.

    Raises:
        InputError: neither folder nor model.
    """
    if path is None:
        return None
    if path.suffix.lower() in MODELS and not path.is_dir():
        if not path.is_file():
            raise InputError(f"The saliency model {path} is not there; check the path.")
        return None
    if path.is_file():
        raise InputError(
            f"--saliency {path} is neither a folder of grey PNG files nor a saliency model "
            f"({', '.join(MODELS)}). Check the path."
        )
    return SaliencyFolder(path)


def _grey(path: Path) -> Float[Tensor, "H W"]:
    try:
        with Image.open(path) as picture:
            if picture.mode not in WHITE:
                raise InputError(
                    f"The saliency map {path} is a {picture.mode} picture; expected a grey one, "
                    "black where nothing stands out. Save it as grey."
                )
            values = np.array(picture, dtype=np.float32) / WHITE[picture.mode]
    except BROKEN as error:
        raise InputError(f"The saliency map {path} cannot be read ({error}).") from None
    return torch.from_numpy(values)
