"""Weakly supervised object localisation: boxes of maps against boxes that people drew.

    J. Choe, S. Oh, S. Lee, S. Chun, Z. Akata, H. Shim. Evaluating Weakly Supervised Object
    Localization Methods Right. CVPR 2020.

A map becomes boxes at a level: around the largest component of what beats it (MaxBoxAcc), or
around every component (MaxBoxAccV2). A box is right where its IoU with a true box of the class is
at least δ. "Max" is the best level over the whole set: it is chosen by the truth, an oracle.

| paper | here | function |
|---|---|---|
| s(X), min–max normalised | maps, stretched to 0 … 1 | `stretched` |
| τ on a grid | the levels k / 256 | `evaluate.curve.LEVELS` |
| box(s(X), τ), largest | the last component of its level | `evaluate.components.Components` |
| BoxAcc(τ, δ) | `BoxCounts.accuracy` | `box_counts` |
| MaxBoxAcc = max over τ of BoxAcc(τ, 0.5) | `BoxCounts.max_box_acc` | |
| MaxBoxAccV2, mean over δ = 0.3, 0.5, 0.7 | `BoxCounts.max_box_acc_v2` | |
| GT-known localisation | `BoxCounts.accuracy` at one level, δ = 0.5 | |
| Top-1, Top-5 localisation | `BoxCounts.localised`: right, and the class ranks so | `class_ranks` |

Differs from the paper: one count is a class of a photograph, so that photographs with several
classes count once for each, and a class competes with those that are not in the photograph; with
one class both are the paper's. A class with a true box and no map is missed.

Differs from the released code: the largest component is the one of the most pixels, where OpenCV
measures the area inside the contour; holes have no boxes of their own; levels are not
rounded to bytes; true boxes are brought to the grid without rounding; a map of one value has no
box, and is missed, where the code takes the whole photograph or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from tag2mask.evaluate.components import components
from tag2mask.evaluate.curve import LEVELS
from tag2mask.evaluate.tally import enlarge
from tag2mask.nn.checks import check_maps
from tag2mask.types import Boxes, CamSet, Size

GRID: Final[Size] = (224, 224)  # the released code scores at this size
IOUS: Final = (0.3, 0.5, 0.7)  # MaxBoxAccV2
HALF: Final = IOUS.index(0.5)
RANKS: Final = (1, 5)


@dataclass(frozen=True, slots=True)
class BoxCounts:
    """Classes of photographs whose boxes are right, by level; adds up over photographs.

    Attributes:
        largest: (level, IoU); the box of the largest component is right.
        any: (level, IoU); the box of some component is right.
        top: (level, rank); the box of the largest is right at IoU 0.5, and the class is among the
            first one, five, of its photograph.
        objects: classes of photographs that were counted.
        ranked: those whose rank was known.
        marks: the N levels, ascending.
    """

    largest: Int64[Tensor, "N 3"]
    any: Int64[Tensor, "N 3"]
    top: Int64[Tensor, "N 2"]
    objects: int = 0
    ranked: int = 0
    marks: tuple[float, ...] = LEVELS

    def __add__(self, other: BoxCounts) -> BoxCounts:
        if self.marks != other.marks:
            raise ValueError("the counts have different levels.")
        return BoxCounts(
            self.largest + other.largest,
            self.any + other.any,
            self.top + other.top,
            self.objects + other.objects,
            self.ranked + other.ranked,
            self.marks,
        )

    @staticmethod
    def zeros(levels: Sequence[float] = LEVELS) -> BoxCounts:
        """Nothing counted yet.

        Raises:
            ValueError: levels that do not ascend, or no level.
        """
        single = torch.tensor(levels, dtype=torch.float32)
        if not len(single) or not bool((single.diff() > 0).all()):
            raise ValueError("levels must ascend, one at least.")
        hits = torch.zeros(len(levels), len(IOUS), dtype=torch.int64)
        top = torch.zeros(len(levels), len(RANKS), dtype=torch.int64)
        return BoxCounts(hits, hits.clone(), top, marks=tuple(levels))

    def accuracy(self, k: int) -> float | None:
        """BoxAcc at IoU 0.5 and the k-th level; GT-known localisation. None without objects."""
        return int(self.largest[k, HALF]) / self.objects if self.objects else None

    def max_box_acc(self) -> tuple[float, float] | None:
        """(level, share) of the best level, an oracle; the lowest of equals."""
        if not self.objects:
            return None
        k = int(self.largest[:, HALF].argmax())
        return self.marks[k], int(self.largest[k, HALF]) / self.objects

    def by_iou(self) -> dict[float, float] | None:
        """The best share for each IoU, any component's box; every IoU has its own level."""
        if not self.objects:
            return None
        best = self.any.amax(dim=0).tolist()
        return {iou: hits / self.objects for iou, hits in zip(IOUS, best, strict=True)}

    def max_box_acc_v2(self) -> float | None:
        """MaxBoxAccV2, an oracle: the mean of `by_iou`."""
        best = self.by_iou()
        return sum(best.values()) / len(best) if best else None

    def localised(self, rank: int, k: int) -> float | None:
        """Top-1 or Top-5 localisation at the k-th level; None where no rank was known.

        Args:
            rank: 1 or 5.
        """
        return int(self.top[k, RANKS.index(rank)]) / self.ranked if self.ranked else None


def box_counts(
    cams: CamSet,
    truth: Boxes,
    levels: Sequence[float] = LEVELS,
    ranks: Mapping[int, int] | None = None,
    grid: Size = GRID,
    stretch: bool = True,
) -> BoxCounts:
    """Count the classes of one photograph that have a true box.

    Args:
        levels: ascending; a pixel beats a level that its value is above.
        ranks: place of a class by the classifier's scores, from 1 (`class_ranks`); of the classes
            that are not in it, Top-1 and Top-5 know nothing.
        grid: (H, W) that the maps are brought to (bilinear).
        stretch: as the protocol does (`stretched`); without it a level means what it means where
            masks are decided.

    Raises:
        InputError: maps with NaN or infinity; the message names the photograph.
        ValueError: truth of a photograph of another size, or levels do not ascend.
    """
    check_maps(cams)
    _same_size(cams.id, cams.size, truth)
    counts = BoxCounts.zeros(levels)
    places = {int(label): place for place, label in enumerate(cams.classes)}
    marks = torch.tensor(levels, dtype=torch.float32)
    for label in torch.unique(truth.classes).tolist():
        largest = best = np.zeros(len(levels))
        if label in places:
            values = enlarge(cams.maps[[places[label]]].detach().float().cpu(), grid)[0]
            values = stretched(values) if stretch else values
            beaten = torch.bucketize(values, marks, out_int32=True).numpy()
            largest, best = overlaps(beaten, _on_grid(truth, label, grid), len(levels))
        counts += _counted(largest, best, (ranks or {}).get(label), counts.marks)
    return counts


def label_counts(
    labels: UInt8[Tensor, "H W"], truth: Boxes, ranks: Mapping[int, int] | None = None
) -> BoxCounts:
    """Count where there is only a decision per pixel: one level, and nothing chosen by truth.

    Args:
        ranks: as `box_counts` takes them.

    Raises:
        ValueError: truth of a photograph of another size.
    """
    _same_size(truth.id, (labels.shape[0], labels.shape[1]), truth)
    counts = BoxCounts.zeros((0.0,))
    for label in torch.unique(truth.classes).tolist():
        beaten = (labels == label).int().cpu().numpy()
        pair = overlaps(beaten, _on_grid(truth, label, truth.size), 1)
        counts += _counted(*pair, (ranks or {}).get(label), counts.marks)
    return counts


def class_ranks(logits: Float[Tensor, "C"], truth: Boxes) -> dict[int, int]:
    """The place of every class that has a true box among those that have none, from 1.

        rank of c = 1 + number of classes without a true box whose score is not below that of c

    So the classes of one photograph do not stand in each other's way: with only one it is the
    place among all. What ties with a wrong class comes after it.

    Args:
        logits: the classifier's scores of the photograph.
    """
    labels = torch.unique(truth.classes)
    absent = torch.ones_like(logits, dtype=torch.bool)
    absent[labels - 1] = False
    others = logits[absent]
    return {label: 1 + int((~(others < logits[label - 1])).sum()) for label in labels.tolist()}


def stretched(values: Float[Tensor, "H W"]) -> Float[Tensor, "H W"]:
    """A map brought to 0 … 1; one of a single value becomes zero.

    (s − min s) / (max s − min s)
    """
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def overlaps(
    beaten: npt.NDArray[np.int32], edges: Float64[np.ndarray, "g 4"], levels: int
) -> tuple[Float64[np.ndarray, "N"], Float64[np.ndarray, "N"]]:
    """By level, the best IoU of the largest component's box with a true one, and of any box.

    0 where nothing beats the level.

    Args:
        beaten: H × W, how many of the levels each pixel's value is above.
        edges: of the true boxes, on the same grid.
    """
    found = components(beaten)
    with_truth = iou(found.edges.astype(np.float64), edges).max(axis=1, initial=0.0)
    level, component = found.by_level()
    largest, best = np.zeros(levels), np.zeros(levels)
    largest[level] = with_truth[component]  # the largest comes last and stays
    np.maximum.at(best, level, with_truth[component])
    return largest, best


def iou(
    ours: Float64[np.ndarray, "n 4"], theirs: Float64[np.ndarray, "g 4"]
) -> Float64[np.ndarray, "n g"]:
    """Intersection over union of every pair of boxes (left, top, right, bottom).

    With edges between pixels this is what the field computes from first and last pixels and +1.
    """
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    sizes = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (ours, theirs)]
    joined = sizes[0][:, None] + sizes[1][None] - shared
    shares: npt.NDArray[np.float64] = np.zeros(joined.shape)
    np.divide(shared, joined, out=shares, where=joined > 0)
    return shares


def _same_size(photo: str, size: Size, truth: Boxes) -> None:
    if tuple(size) != tuple(truth.size):
        raise ValueError(f"{photo!r} is {tuple(size)}, its true boxes are of {tuple(truth.size)}.")


def _on_grid(truth: Boxes, label: int, size: Size) -> Float64[np.ndarray, "g 4"]:
    """The true boxes of a class, brought from the photograph to a grid."""
    (height, width), (rows, columns) = truth.size, size
    edges: npt.NDArray[np.float64] = truth.edges[truth.classes == label].numpy()
    scaled: npt.NDArray[np.float64] = edges * np.tile([columns / width, rows / height], 2)
    return scaled


def _counted(
    largest: Float64[np.ndarray, "N"],
    best: Float64[np.ndarray, "N"],
    rank: int | None,
    marks: tuple[float, ...],
) -> BoxCounts:
    """One class of one photograph, from its IoU at every level."""
    hits, some = (torch.from_numpy(v[:, None] >= np.array(IOUS)).long() for v in (largest, best))
    known = torch.tensor([rank is not None and rank <= most for most in RANKS])
    top = hits[:, HALF, None] * known.long()
    return BoxCounts(hits, some, top, 1, int(rank is not None), marks)
