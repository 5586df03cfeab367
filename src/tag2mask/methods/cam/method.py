"""Class activation maps (CAM).

A classifier that pools its features over the whole photograph has, before the pooling, an
opinion about every cell; that opinion is the map.

B. Zhou, A. Khosla, A. Lapedriza, A. Oliva, A. Torralba: Learning Deep Features for
Discriminative Localization, CVPR 2016.

| paper | here | function |
|---|---|---|
| f_k(x, y) | features, (B, D, h, w) | `Backbone.forward` |
| w_k^c | `classifier.weight`, 1 × 1, no bias | `CAM.localize` |
| S_c = sum_k w_k^c F_k | scores, (B, C) | `tag_loss` |
| M_c(x, y) | maps, (B, C, h, w) | `CAM.localize` |

Differs from the paper: several tags at once, so the loss is the multi-label soft margin and not
the softmax (as in PSA, IRN, SEAM); maps are cut at zero; pooling is a mean where the paper sums,
which scales scores and leaves maps alone.

Differs from the official code: the paper's code was not looked at; against IRN's classifier,
AdamW replaces SGD and BatchNorm's affine part is trained where its layer is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from tag2mask.method import HostMethod
from tag2mask.nn.backbones import Backbone


@dataclass(frozen=True)
class CAMOptions:
    """What the classifier's training may vary."""

    rate: float = 1e-3
    """Learning rate of pretrained layers (measured with the backbone frozen up to its grid,
    docs/journal.md; 1e-4 where more of it learns, with a head of 100)."""
    head: float = 10.0
    """New layers learn this many times faster (IRN, SEAM)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""


@final
class CAM(HostMethod):
    """A multi-label classifier whose last layer is read before the pooling."""

    Options: ClassVar[type[CAMOptions]] = CAMOptions

    def __init__(self, options: CAMOptions, backbone: Backbone, classes: int) -> None:
        super().__init__(backbone, classes)
        self.options = options
