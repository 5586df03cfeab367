"""Average precision of instances, by the overlap of their masks.

VOC style (IRN, chainercv): a found object is right where the true object of its class that it
overlaps most has an IoU of at least δ with it, and no surer one was right there before. The
precision at every recall is the best at that recall or a higher one; AP is the area below, the
mean over the classes that have a true object. COCO style: AP over δ = 0.5, 0.55 … 0.95, by
pycocotools. Crowds, groups that nobody told apart, count in COCO's way in COCO's numbers and not at
all in VOC's.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float64, UInt8
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from tag2mask.evaluate.components import SHARE
from tag2mask.nn.parts import large_parts, numbered_instances
from tag2mask.types import Instances

IOUS: Final = (0.25, 0.5, 0.7, 0.75)
HALF: Final = IOUS.index(0.5)
DETECTIONS: Final = 100  # of a photograph, COCO


class InstanceScores:
    """Found and true objects, photograph by photograph, and what their overlaps are worth.

    Args:
        classes: C.
    """

    def __init__(self, classes: int) -> None:
        self.classes, self.images = classes, 0
        self.true = np.zeros(classes, dtype=np.int64)
        self._sure: list[list[npt.NDArray[np.float64]]] = [[] for _ in range(classes)]
        self._right: list[list[npt.NDArray[np.bool_]]] = [[] for _ in range(classes)]
        self._sizes: list[dict[str, int]] = []
        self._truths: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []

    def add(self, found: Instances, truth: Instances) -> None:
        """Count one photograph.

        Raises:
            ValueError: the two are of different photographs.
        """
        if (found.id, found.size) != (truth.id, truth.size):
            raise ValueError(f"{found.id!r} {found.size} is not {truth.id!r} {truth.size}.")
        self.images += 1
        height, width = truth.size
        self._sizes.append({"id": self.images, "height": height, "width": width})
        self._truths += _annotations(truth, self.images)
        self._found += _annotations(found, self.images)
        crowds = np.array(truth.crowds or [False] * len(truth), dtype=bool)
        ours, theirs = found.classes.numpy(), truth.classes.numpy()
        overlaps = iou(found, truth)
        for number in range(1, self.classes + 1):
            rows = np.flatnonzero(ours == number)
            rows = rows[np.argsort(-found.scores.numpy()[rows], kind="stable")]
            columns = np.flatnonzero((theirs == number) & ~crowds)
            self.true[number - 1] += len(columns)
            self._sure[number - 1].append(found.scores.numpy()[rows])
            self._right[number - 1].append(right(overlaps[np.ix_(rows, columns)]))

    def voc(self) -> Float64[np.ndarray, "C T"]:
        """VOC's AP of every class at every one of `IOUS`; NaN for a class without a true object."""
        result = np.full((self.classes, len(IOUS)), np.nan)
        for number in np.flatnonzero(self.true):
            sure = np.concatenate(self._sure[number])
            order = np.argsort(-sure, kind="stable")
            hits = np.concatenate(self._right[number])[order]
            result[number] = average_precision(hits, int(self.true[number]))
        return result

    def coco(self) -> tuple[float | None, float | None, float | None]:
        """COCO's AP, AP50 and AP75; None where there is no true object."""
        if not self.true.sum():
            return None, None, None
        truth, found = self._dataset(self._truths), self._dataset(self._found)
        with redirect_stdout(io.StringIO()):
            truth.createIndex()
            found.createIndex()
            judge = COCOeval(truth, found, "segm")
            judge.params.maxDets = [DETECTIONS]
            judge.evaluate()
            judge.accumulate()
        # IoU × recall × class × size × detections; −1 where a class has no true object
        precision = judge.eval["precision"][:, :, :, 0, 0]
        kept = [precision[at] for at in (slice(None), [0], [5])]
        ap, half, strict = (float(part[part > -1].mean()) for part in kept)
        return ap, half, strict

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """All of it for scores.json.

        Args:
            names: of the classes.
        """
        every = self.voc()
        known = self.true > 0
        means = every[known].mean(axis=0).tolist() if known.any() else [None] * len(IOUS)
        ap, half, strict = self.coco()
        pairs = zip(names, every[:, HALF].tolist(), known.tolist(), strict=True)
        return {
            "images": self.images,
            "objects": int(self.true.sum()),
            "ap": {f"{iou}": mean for iou, mean in zip(IOUS, means, strict=True)},
            "ap50_by_class": {name: value if there else None for name, value, there in pairs},
            "coco": {"ap": ap, "ap50": half, "ap75": strict},
        }

    def _dataset(self, annotations: list[dict[str, Any]]) -> COCO:
        made = COCO()
        made.dataset = {
            "images": self._sizes,
            "categories": [{"id": number} for number in range(1, self.classes + 1)],
            "annotations": [{**one, "id": n} for n, one in enumerate(annotations, 1)],
        }
        return made


def iou(found: Instances, truth: Instances) -> Float64[np.ndarray, "n g"]:
    """Intersection over union of the masks of every pair."""
    if not len(found) or not len(truth):
        return np.zeros((len(found), len(truth)))
    ours, theirs = ([_packed(one, runs) for runs in one.runs] for one in (found, truth))
    shares: npt.NDArray[np.float64] = coco_mask.iou(ours, theirs, [0] * len(theirs))
    return shares


def right(overlaps: Float64[np.ndarray, "n g"]) -> Bool[np.ndarray, "n T"]:
    """Which found objects are right at every one of `IOUS`.

    Args:
        overlaps: of objects of one class in one photograph, the surest first, with the true ones.
    """
    hits = np.zeros((len(overlaps), len(IOUS)), dtype=bool)
    if not overlaps.size:
        return hits
    best = overlaps.argmax(axis=1)
    for number, least in enumerate(IOUS):
        rows = np.flatnonzero(overlaps.max(axis=1) >= least)
        _, first = np.unique(best[rows], return_index=True)
        hits[rows[first], number] = True
    return hits


def average_precision(hits: Bool[np.ndarray, "n T"], objects: int) -> Float64[np.ndarray, "T"]:
    """The area below precision over recall, where precision is the best at a recall or above.

        AP = 1/objects · sum over right k of max over j ≥ k of (right ones among the first j) / j

    Args:
        hits: which found objects are right, the surest first.
        objects: how many true ones there are.
    """
    ranks = np.arange(1, len(hits) + 1)[:, None]
    precision = hits.cumsum(axis=0) / ranks
    best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    area: npt.NDArray[np.float64] = (best * hits).sum(axis=0) / objects
    return area


def component_instances(
    photo: str, labels: UInt8[Tensor, "H W"], share: float = SHARE
) -> Instances:
    """Objects of a mask that does not tell them apart: the connected components of every class.

    Two objects of a class that touch are one here, and one that is hidden in the middle is two.

    Args:
        share: components below this share of the photograph are left out, save a class's largest.
    """
    ids = large_parts(labels, torch.zeros_like(labels, dtype=torch.int64), share)
    return numbered_instances(photo, labels, ids)


def _packed(one: Instances, runs: bytes) -> dict[str, Any]:
    return {"size": list(one.size), "counts": runs}


def _annotations(one: Instances, image: int) -> list[dict[str, Any]]:
    """Objects as pycocotools takes them."""
    crowds = one.crowds or (False,) * len(one)
    rows = zip(one.classes.tolist(), one.runs, one.scores.tolist(), crowds, strict=True)
    return [
        {
            "image_id": image,
            "category_id": label,
            "segmentation": _packed(one, runs),
            "area": float(coco_mask.area(_packed(one, runs))),
            "iscrowd": int(crowd),
            "score": score,
        }
        for label, runs, score, crowd in rows
    ]
