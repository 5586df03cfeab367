"""Numbers from one confusion matrix over the whole set; never a mean over photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Int64
from torch import Tensor

from tag2mask.types import Confusion

Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares in 0 … 1; per label, background first, None where the label never occurs.

    Over- and under-activation are counted as IRN's evaluation counts them (Ahn et al., 2019): both
    over the union, so that with IoU they add up to 1.

    Attributes:
        miou: mean of IoU = TP / (TP + FP + FN) over labels that occur in truth or decision.
        over_activation: mean over foreground classes of FP / (TP + FP + FN).
        under_activation: mean over foreground classes of FN / (TP + FP + FN).
    """

    miou: float
    iou: Values
    precision: Values
    recall: Values
    over_activation: float
    under_activation: float
    pixel_accuracy: float

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """As scores.json holds it.

        Args:
            names: of all labels, background first.
        """
        by_name = {
            key: dict(zip(names, getattr(self, key), strict=True))
            for key in ("iou", "precision", "recall")
        }
        return {
            "miou": self.miou,
            **by_name,
            "over_activation": self.over_activation,
            "under_activation": self.under_activation,
            "pixel_accuracy": self.pixel_accuracy,
        }


def scores(confusion: Confusion) -> Scores:
    """All scores; zeros where nothing was counted."""
    counts = confusion.counts.double()
    hit = counts.diagonal()
    false, missed = counts.sum(0) - hit, counts.sum(1) - hit
    union = hit + false + missed
    iou = _shares(hit, union)
    return Scores(
        miou=_mean(iou),
        iou=iou,
        precision=_shares(hit, hit + false),
        recall=_shares(hit, hit + missed),
        over_activation=_mean(_shares(false, union)[1:]),
        under_activation=_mean(_shares(missed, union)[1:]),
        pixel_accuracy=float(hit.sum() / counts.sum().clamp(min=1)),
    )


def mean_ious(counts: Int64[Tensor, "N L L"]) -> list[float]:
    """`scores(…).miou` of N confusions, without all else that scores say."""
    exact = counts.double()
    hit = exact.diagonal(dim1=1, dim2=2)
    union = exact.sum(dim=1) + exact.sum(dim=2) - hit
    return [_mean(_shares(*pair)) for pair in zip(hit, union, strict=True)]


def _shares(part: Tensor, whole: Tensor) -> Values:
    pairs = zip(part.tolist(), whole.tolist(), strict=True)
    return tuple(p / w if w > 0 else None for p, w in pairs)


def _mean(values: Values) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0
