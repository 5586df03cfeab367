"""Self-supervised equivariant attention (SEAM).

Tags stay as they are when a photograph is made smaller, and a classifier's maps should then just be
the smaller maps; they are not. SEAM asks for it, and refines the maps by letting cells that look
alike share their evidence.

Y. Wang, J. Zhang, M. Kan, S. Shan, X. Chen: Self-supervised Equivariant Attention Mechanism for
Weakly Supervised Semantic Segmentation, CVPR 2020.

| paper | here | function |
|---|---|---|
| A(·), the affine transform | second view | `smaller` |
| PCM | shares, (B, N, N) | `Correlation`, `affinity`, `spread` |
| L_cls | "tags" | `tag_loss` |
| L_ER | "equivariance" | `equivariance_loss` |
| L_ECR | "cross" | `cross_loss` |
| min-pooling (code alone) | "lowest" | `lowest_loss` |

Differs from the paper: nothing known but what docs/methods/seam.md names.

Differs from the official code: the second view is half as large, not .3 (`scale`); only tagged
classes compete for a cell, there all do; the background has no channel in the classifier, whose
response was never used; maps are compared on the first view's cells, there on the second view's
pixels; colours of a cell are its mean; a photograph without tags is in no comparison of refined
maps; AdamW replaces SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from tag2mask.errors import InputError
from tag2mask.method import HostMethod
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.seam import SCALE, SEAMHost


@dataclass(frozen=True)
class SEAMOptions:
    """The second view, and what the training may vary."""

    scale: float = SCALE
    """Side of the second view as a share of the first's. The official .3 leaves 17 × 17 of 56 × 56
    cells; of the 14 × 14 that 224 pixels have at stride 16 it would leave 4 × 4."""
    rate: float = 1e-3
    """Learning rate of pretrained layers (as CAM)."""
    head: float = 10.0
    """New layers learn this many times faster (official code)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""

    def __post_init__(self) -> None:
        if not 0 < self.scale < 1:
            raise InputError(
                f"--seam.scale {self.scale} came; expected a share of the side between 0 and 1."
            )


@final
class SEAM(SEAMHost, HostMethod):
    """A multi-label classifier whose maps agree between two sizes of a photograph."""

    Options: ClassVar[type[SEAMOptions]] = SEAMOptions

    def __init__(self, options: SEAMOptions, backbone: Backbone, classes: int) -> None:
        super().__init__(backbone, classes, options.scale)
        self.options = options
