"""Pixel-to-prototype contrast (PPC).

What a cell shows should be near to its class's prototype and far from the others, in both views of
SEAM: by the prototypes of the other view, by the labels of the other view, and by what is nearly
mistaken within one view.

Y. Du, Z. Fu, Q. Liu, Y. Wang: Weakly Supervised Semantic Segmentation by Pixel-to-Prototype
Contrast, CVPR 2022.

| paper | here | function |
|---|---|---|
| projection | `projection`, 1 × 1, cut at zero | `PPCHost.cells` |
| pseudo labels | labels, by `background` | `cell_labels` |
| prototypes | as named | `label_prototypes` |
| cross-prototype contrast | "cross prototype" | `contrast_loss` |
| cross-CAM contrast | "cross label" | `contrast_loss` |
| intra-view contrast | "intra view" | `semi_hard_loss` |
| the rest | SEAM's terms | `SEAMHost.look` |

Differs from the paper: nothing known but what docs/methods/ppc.md names; weights and counts are the
code's.

Differs from the official code: prototypes come from photographs with the tag alone, there absent
classes are normalised and have prototypes too, which serve as negatives; the background's prototype
is made of the cells that show least of any class, there all cells are equal; semi-hard prototypes
are a share of those present, not ranks 4 to 13 of 21; padding is in no term; what SEAM changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from tag2mask.errors import InputError
from tag2mask.method import HostMethod
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.ppc import BACKGROUND_LEVEL, CONTRAST, PPCHost
from tag2mask.nn.seam import SCALE


@dataclass(frozen=True)
class PPCOptions:
    """The second view, the contrasts, and what the training may vary."""

    scale: float = SCALE
    """Side of the second view as a share of the first's (official code: 128 of 448 pixels, 16 × 16
    cells; of 224 pixels at stride 16 it would leave 4 × 4)."""
    contrast: float = CONTRAST
    """Weight of each of the three contrasts (official code)."""
    background: float = BACKGROUND_LEVEL
    """Evidence that a class must beat where cells are labelled (official code)."""
    rate: float = 1e-3
    """Learning rate of pretrained layers (as CAM)."""
    head: float = 10.0
    """New layers learn this many times faster (official code)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""

    def __post_init__(self) -> None:
        if not 0 < self.scale < 1:
            raise InputError(
                f"--ppc.scale {self.scale} came; expected a share of the side between 0 and 1."
            )
        if self.contrast <= 0:
            raise InputError(
                f"--ppc.contrast {self.contrast} came; expected a weight above 0. Without the "
                "contrasts the method is SEAM: use --method seam."
            )
        if not 0 <= self.background < 1:
            raise InputError(
                f"--ppc.background {self.background} came; expected a level from 0 to below 1."
            )


@final
class PPC(PPCHost, HostMethod):
    """SEAM with cells held to class prototypes."""

    Options: ClassVar[type[PPCOptions]] = PPCOptions

    def __init__(self, options: PPCOptions, backbone: Backbone, classes: int) -> None:
        super().__init__(backbone, classes, options.scale, options.contrast, options.background)
        self.options = options
