"""What the writers of other programs' formats are given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, UInt8

from tag2mask.types import BACKGROUND, UNKNOWN, Size


@dataclass(frozen=True, slots=True)
class Labelled:
    """A photograph's name and its labels.

    Attributes:
        name: of the file, with its folders; unique.
    """

    name: str
    labels: UInt8[np.ndarray, "H W"]

    @property
    def size(self) -> Size:
        return (self.labels.shape[0], self.labels.shape[1])

    def present(self) -> list[int]:
        """The classes (1 … C) that have a pixel, ascending; unknown is none."""
        found = np.unique(self.labels).tolist()
        return [label for label in found if label not in (BACKGROUND, UNKNOWN)]


def runs(mask: Bool[np.ndarray, "n"]) -> npt.NDArray[np.int64]:
    """Lengths of the runs of a row of bits, alternately of zeros and ones; zeros come first.

    The first is 0 where the row starts with a one; an empty row has no runs.
    """
    if not len(mask):
        return np.zeros(0, dtype=np.int64)
    changes = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    edges = np.concatenate([[0], changes, [len(mask)]])
    lengths = np.diff(edges)
    return np.concatenate([[0], lengths]) if mask[0] else lengths
