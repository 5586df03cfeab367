"""Discriminative region suppression (DRS).

A classifier needs only the most telling part of an object, and its map shows that part. Where no
feature may rise far above the rest of its channel, the rest has to be used too.

B. Kim, S. Han, J. Kim: Discriminative Region Suppression for Weakly-Supervised Semantic
Segmentation, AAAI 2021. Here without parameters, placed as the official code of SSC places it
(T. Chen, Y. Yao, X. Huang, Z. Li, L. Nie, J. Tang: Spatial Structure Constraints for Weakly
Supervised Semantic Segmentation, TIP 2024).

| paper | here | function |
|---|---|---|
| δ | `delta` | `DRSOptions` |
| min(x, δ · max x) | suppressed features | `Suppression.forward` |
| where it sits | stage at reduction 8, last stage | `DRSHost` |

Differs from the paper: DRS suppresses every layer of a VGG-16; here, as in SSC, the output of the
stage at reduction 8 in training, and the closing activations of the last stage always.

Differs from the official code: networks without ResNet's blocks are suppressed on the features that
the classifier reads (the embedded one has linear bottlenecks, and one activation after them); what
is below zero is not rectified, as linear bottlenecks carry it on; AdamW replaces SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from tag2mask.errors import InputError
from tag2mask.method import HostMethod
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.host import DELTA, DRSHost


@dataclass(frozen=True)
class DRSOptions:
    """How much is suppressed, and what the classifier's training may vary."""

    delta: float = DELTA
    """Share of a channel's maximum that nothing exceeds (official code)."""
    always: bool = False
    """Suppress after the stage at reduction 8 when maps are taken too (official code of SSC: in
    training alone)."""
    rate: float = 1e-3
    """Learning rate of pretrained layers (as CAM)."""
    head: float = 10.0
    """New layers learn this many times faster (IRN, SEAM)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""

    def __post_init__(self) -> None:
        if not 0 < self.delta <= 1:
            raise InputError(f"--drs.delta {self.delta} came; expected a share above 0, at most 1.")


@final
class DRS(DRSHost, HostMethod):
    """A multi-label classifier whose peaks are suppressed on the way."""

    Options: ClassVar[type[DRSOptions]] = DRSOptions

    def __init__(self, options: DRSOptions, backbone: Backbone, classes: int) -> None:
        super().__init__(backbone, classes, options.delta, options.always)
        self.options = options
