"""All background levels in one pass over maps and truths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jaxtyping import UInt8
from torch import Tensor

from tag2mask.evaluate.curve import LEVELS, Curve
from tag2mask.evaluate.tally import Tally
from tag2mask.types import CamSet


def sweep(
    pairs: Iterable[tuple[CamSet, UInt8[Tensor, "_ _"]]],
    classes: int,
    levels: Sequence[float] = LEVELS,
) -> Curve:
    """Count every photograph once; the confusion at each level is that of thresholding there.

    A power α of the background, (1 − max over c of M_c)^α, is a level too: `masks.alpha_level`.

    Args:
        pairs: maps and truth of every photograph.
        levels: ascending.

    Raises:
        InputError: maps hold NaN.
        ValueError: a truth holds a label beyond `classes`, or levels do not ascend.
    """
    tally = Tally(Curve.zeros(classes, levels))
    for cams, truth in pairs:
        tally.add(cams, truth)
    return tally.curve
