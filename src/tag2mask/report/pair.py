"""Two runs on one page, photograph by photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag2mask.report.page import render


@dataclass(frozen=True, slots=True)
class PairRow:
    """What both runs score with the same photographs; shares, not percent.

    Attributes:
        what: was scored, and on which split.
        mious: of the first run and of the second.
        difference: second − first, and the interval that 95 % of resampled ones lie in.
    """

    what: str
    mious: tuple[float, float]
    difference: float
    low: float
    high: float
    images: int


def write_pair(
    path: Path,
    names: tuple[str, str],
    data: Mapping[str, Any],
    rows: Sequence[PairRow],
    supervision: Mapping[str, Sequence[str]],
) -> None:
    """Write the page of two runs as one HTML file.

    Args:
        data: from `gallery_data`; its columns are decisions of either run.
        supervision: by run, everything that touched it.
    """
    render(
        path,
        "pair.html.j2",
        data,
        title=" and ".join(names),
        names=names,
        rows=rows,
        supervision=supervision,
        start=None,
        shown_of="",
    )
