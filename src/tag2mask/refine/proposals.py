"""Regions from outside: label maps in a folder, or a function that returns masks.

Whatever groups the pixels of a photograph (a segment-anything model, a panoptic network, published
superpixels) can vote, see `tag2mask.refine.vote`: it tells the region of every pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from PIL import Image
from torch import Tensor

from tag2mask.errors import BROKEN, InputError

NO_REGION: Final = -1
SUFFIXES: Final = (".png", ".npy")


# From a photograph's id and pixels to the region of every pixel: any numbers, below 0 no region.
Proposals = Callable[[str, UInt8[Tensor, "3 H W"]], Int64[Tensor, "H W"]]


class RegionFolder:
    """A region map for every photograph: `<folder>/<id>.png` or, where there is none, `.npy`.

    Pixels of one value are one region. A PNG is grey or indexed (the values are what counts), or
    in colours, where the value is R + 256·G + 65536·B. An NPY file is an H×W array of integers;
    below 0 is no region.

    Args:
        empty: a value that says that a pixel has no region; 0 for many tools that paint masks.
    """

    def __init__(self, folder: Path, empty: int | None = None) -> None:
        self.folder, self.empty = folder, empty
        if not folder.is_dir():
            raise InputError(
                f"The folder of region maps {folder} is not there; expected a folder with one "
                "<id>.png or <id>.npy for every photograph. Check the path."
            )

    def __call__(self, photo: str, image: UInt8[Tensor, "3 H W"]) -> Int64[Tensor, "H W"]:
        """The regions of one photograph.

        Raises:
            InputError: its file is not there, cannot be read or has another size.
        """
        path = self._path(photo)
        values = _read_png(path) if path.suffix == ".png" else _read_npy(path)
        if values.shape != image.shape[1:]:
            raise InputError(
                f"The region map {path} has {_sizes(values.shape)} pixels, photograph {photo!r} "
                f"has {_sizes(image.shape[1:])}. Make it from the photograph at its own size."
            )
        regions = torch.from_numpy(values.astype(np.int64)).to(image.device)
        return (
            regions if self.empty is None else regions.masked_fill(regions == self.empty, NO_REGION)
        )

    def _path(self, photo: str) -> Path:
        paths = [self.folder / f"{photo}{suffix}" for suffix in SUFFIXES]
        for path in paths:
            if path.exists():
                return path
        raise InputError(
            f"Photograph {photo!r} has no region map: neither {paths[0]} nor {paths[1].name} is "
            "there. Make one for every photograph, named by its id."
        )


class MaskProposals:
    """Masks that a function finds in a photograph, as a segment-anything model does.

    Where masks overlap, the smaller one lies on top (of equal ones, the later); pixels in no mask
    have no region. A mask that others hide has no pixels left and no say.

    Args:
        propose: takes the photograph (uint8 RGB, 3×H×W), returns bool masks (M×H×W).
    """

    def __init__(self, propose: Callable[[UInt8[Tensor, "3 H W"]], Tensor | np.ndarray]) -> None:
        self.propose = propose

    def __call__(self, photo: str, image: UInt8[Tensor, "3 H W"]) -> Int64[Tensor, "H W"]:
        """The uppermost mask of every pixel.

        Raises:
            InputError: what the function returns are no masks of this photograph.
        """
        masks = torch.as_tensor(self.propose(image))
        if masks.dtype != torch.bool or masks.ndim != 3 or masks.shape[1:] != image.shape[1:]:
            raise InputError(
                f"The proposals for photograph {photo!r} are {masks.dtype} of shape "
                f"{tuple(masks.shape)}; expected bool masks M×H×W with H×W = "
                f"{_sizes(image.shape[1:])}. Change the function that returns them."
            )
        return stack(masks).to(image.device)


def stack(masks: Bool[Tensor, "M H W"]) -> Int64[Tensor, "H W"]:
    """The uppermost mask of every pixel, −1 where there is none; smaller masks lie on top."""
    regions = torch.full(masks.shape[1:], NO_REGION, device=masks.device)
    sizes = masks.flatten(1).sum(dim=1)
    for number in sizes.argsort(descending=True, stable=True).tolist():
        regions[masks[number]] = number
    return regions


def _read_png(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            values: np.ndarray = np.array(picture)
    except BROKEN as error:
        raise InputError(f"The region map {path} cannot be read ({error}). Repair it.") from None
    if values.ndim == 3 and values.shape[2] == 3:
        values = np.sum(values * np.array([1, 256, 65536]), axis=2)
    if values.ndim != 2:
        raise InputError(
            f"The region map {path} has {values.shape[2]} channels; expected a grey, an indexed or "
            "an RGB picture. Save it without transparency."
        )
    return values


def _read_npy(path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"The region map {path} cannot be read ({error}). Repair it.") from None
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "iub":
        raise InputError(
            f"The region map {path} is not an H×W array of integers; expected the region of every "
            "pixel, below 0 where there is none. Save it so."
        )
    return values


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(str(extent) for extent in shape)
