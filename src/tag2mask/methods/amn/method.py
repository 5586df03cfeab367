"""Activation manipulation network (AMN).

A classifier's maps peak at the most telling part of an object, so that no level cuts out objects
whole. AMN trains a second network on what the first one's maps are sure of: to tell every cell's
label, evenly over the object, for smoothed labels do not reward extremes. It is told the tags.

M. Lee, D. Kim, H. Shim: Threshold Matters in WSSS: Manipulating the Activation for the Robust and
Accurate Segmentation Model Against Thresholds, CVPR 2022.

| paper | here | function |
|---|---|---|
| first network | plain CAM | stages `first`, `first-maps` |
| refined pseudo labels | cue `SEEDS` | stage `seeds`, `irn_labels` |
| label conditioning | features weighed by the tags | `AMNHost.see` |
| per-pixel classification loss | "seeds" | `balanced_loss` |
| label smoothing, ε | `smoothing` | `balanced_loss` |
| activation | maps | `label_maps` |

Differs from the paper: nothing known but what docs/methods/amn.md names.

Differs from the official code: the pyramid's rates follow the size of the grid; only tagged classes
compete with the background for a cell; every map reaches from 0 to 1 over the whole photograph,
there over what its seed does not call background, and no seeds are needed for it here; scales
are added up as maps, there as logits; AdamW replaces Adam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from tag2mask.errors import InputError
from tag2mask.method import HostMethod
from tag2mask.nn.amn import DROPOUT, SMOOTHING, AMNHost
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.seeds import SeedOptions


@dataclass(frozen=True)
class AMNOptions:
    """What seeds are sure of, and what the second training may vary."""

    foreground: float = 0.30
    """Level above which the first classifier's maps are sure of a class (official code)."""
    background: float = 0.05
    """Level below which they are sure of none (official code); seeds between are unknown."""
    smoothing: float = SMOOTHING
    """Share ε of belief that is spread over the other labels (official code)."""
    dropout: float = DROPOUT
    """Share of the features that the training leaves out (official code)."""
    rate: float = 1e-4
    """Learning rate of pretrained layers (official code: 5e-6, for a whole network that learns)."""
    head: float = 10.0
    """New layers learn this many times faster (official code: 20)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""

    def __post_init__(self) -> None:
        for name, share in (("smoothing", self.smoothing), ("dropout", self.dropout)):
            if not 0 <= share < 1:
                raise InputError(f"--amn.{name} {share} came; expected a share from 0 to below 1.")
        if not 0 < self.background <= self.foreground < 1:
            raise InputError(
                f"--amn.background {self.background} and --amn.foreground {self.foreground} came; "
                "expected levels between 0 and 1, the first not above the second."
            )

    @property
    def seeds(self) -> SeedOptions:
        """What the cue is made of."""
        return SeedOptions(self.foreground, self.background)


@final
class AMN(AMNHost, HostMethod):
    """A network that tells every cell's label, taught by seeds, told the tags."""

    Options: ClassVar[type[AMNOptions]] = AMNOptions

    def __init__(self, options: AMNOptions, backbone: Backbone, classes: int) -> None:
        super().__init__(backbone, classes, options.smoothing, options.dropout)
        self.options = options
