"""The dense CRF's settings, and those the field knows by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from tag2mask.errors import InputError


@dataclass(frozen=True)
class CRFOptions:
    """How strongly neighbours and look-alikes must agree; the defaults are AFA's (preset `afa`).

    Spreads count pixels of the working grid, as settings are found on photographs of about 500
    pixels: a larger photograph is treated as a smaller picture of the same scene.
    """

    gaussian: tuple[float, float] | None = (3.0, 3.0)
    """Smoothness: spread in pixels, weight (official AFA code)."""
    bilateral: tuple[float, float, float] | None = (64.0, 5.0, 4.0)
    """Appearance: spread in pixels, spread in colour levels, weight (official AFA code)."""
    iterations: int = 10
    """Rounds of messages (all official codes but SEAM's segmentation: 1)."""
    unary: Literal["scores", "labels"] = "scores"
    """What maps become first: scores of every label, or the best label believed by `certainty`."""
    certainty: float = 0.7
    """How much a label is believed (official IRN code: gt_prob)."""
    background: float | None = None
    """The background of maps as a constant level, 0 … 1 (IRN: 0.15)."""
    alpha: float | None = None
    """The background of maps as (1 − best class)^alpha instead (PSA: 16). If neither is given, the
    pipeline fills in a level chosen blind, over all photographs; a single call takes alpha 1."""
    long_side: int = 1024
    """Longer photographs are worked on at this many pixels, which bounds memory."""

    def __post_init__(self) -> None:
        if any(spread <= 0 for spread in (*(self.gaussian or ())[:1], *(self.bilateral or ())[:2])):
            raise InputError(
                f"--crf.gaussian {self.gaussian}, --crf.bilateral {self.bilateral} came; expected "
                "spreads above 0."
            )
        if self.iterations < 0:
            raise InputError(f"--crf.iterations {self.iterations} came; expected 0 or more.")
        if not 0 < self.certainty < 1:
            raise InputError(f"--crf.certainty {self.certainty} came; expected above 0, below 1.")
        if self.alpha is not None and self.alpha <= 0:
            raise InputError(f"--crf.alpha {self.alpha} came; expected above 0.")
        if self.alpha is not None and self.background is not None:
            raise InputError(
                f"--crf.alpha {self.alpha} and --crf.background {self.background} came; expected "
                "one of them, for maps have one background."
            )
        if self.background is not None and not 0 <= self.background <= 1:
            raise InputError(f"--crf.background {self.background} came; expected 0 to 1.")
        if self.long_side < 1:
            raise InputError(f"--crf.long-side {self.long_side} came; expected 1 or more.")


_AFA: Final = CRFOptions()
_PSA: Final = CRFOptions(bilateral=(80.0, 13.0, 10.0), alpha=16.0)

PRESETS: Final[dict[str, CRFOptions]] = {
    # jiwoon-ahn/irn, misc/imutils.py: seed labels; the same call in AMN, PPC and RTC
    "irn": CRFOptions(bilateral=(50.0, 5.0, 10.0), unary="labels", background=0.15),
    # jiwoon-ahn/psa, tool/imutils.py: soft maps with a power background; the same call in EPS
    "psa": _PSA,
    # YudeWang/SEAM: PSA's call on maps; the power of its random walk
    "seam": replace(_PSA, alpha=6.0),
    # YudeWang's segmentation codebase (SEAM, PPC): probabilities of a network, one round
    "seam-segment": replace(_AFA, bilateral=(32.0, 13.0, 10.0), iterations=1),
    # kazuto1011/deeplab-pytorch, DeepLabV2 on VOC: probabilities of a network; also SSC and EPS
    "deeplab": replace(_AFA, gaussian=(1.0, 3.0), bilateral=(67.0, 3.0, 4.0)),
    # rulixiang/afa: probabilities of a network
    "afa": _AFA,
}
