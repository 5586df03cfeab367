"""Explicit pseudo-pixel supervision (EPS).

Tags say what is there and not how far it reaches, and not what always comes with it. Saliency shows
outlines, without names, and misses what does not stand out. EPS gives the background a map of its
own and asks the maps to explain the saliency: the tags together are what stands out, unless the
saliency contradicts a tag.

S. Lee, M. Lee, J. Lee, H. Shim: Railroad Is Not a Train: Saliency as Pseudo-Pixel Supervision for
Weakly Supervised Semantic Segmentation, CVPR 2021.

| paper | here | function |
|---|---|---|
| C + 1 maps | probabilities, (B, L, h, w), background in front | `EPSHost.probabilities` |
| O(M_i, M_s) | salient share of what a class claims | `overlap` |
| τ | `consistent` | `EPSOptions` |
| M_fg, M_bg | consistent tags, other tags | `estimate` |
| λ | `alpha` | `EPSOptions` |
| M̂_s | the saliency that the maps imply | `estimate` |
| L_sal | "saliency" | `saliency_loss` |
| L_cls | "tags" | `tag_loss` |

Differs from the paper: nothing known but what docs/methods/eps.md names.

Differs from the official code: a class that claims no cell is foreground, not background (measured,
docs/journal.md); saliency is the mean over each cell, not a sample; padding is in no term; AdamW
replaces SGD, as in CAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, final

from tag2mask.errors import InputError
from tag2mask.method import OnHost
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.eps import ALPHA, CONSISTENT, EPSHost, PPCOnEPSHost
from tag2mask.types import Cue

HOSTS: Final[dict[str, type[EPSHost]]] = {"cam": EPSHost, "ppc": PPCOnEPSHost}


@dataclass(frozen=True)
class EPSOptions:
    """The host, the term on it, and what the training may vary."""

    host: Literal["cam", "ppc"] = "cam"
    """In front of which the term stands; ppc is what FBR's paper adds to with saliency."""
    alpha: float = ALPHA
    """Weight of the tags in the saliency that the maps imply; the rest is the background's (paper:
    λ)."""
    consistent: float = CONSISTENT
    """Salient share of a class's claims above which the tag counts as salient (official scripts;
    paper: 0.5)."""
    rate: float = 1e-3
    """Learning rate of pretrained layers (as CAM)."""
    head: float = 10.0
    """New layers learn this many times faster (SEAM)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""

    def __post_init__(self) -> None:
        for name, share in (("alpha", self.alpha), ("consistent", self.consistent)):
            if not 0 <= share <= 1:
                raise InputError(f"--eps.{name} {share} came; expected a share from 0 to 1.")


@final
class EPS(OnHost):
    """A classifier whose maps, with one of the background, explain the saliency."""

    Options: ClassVar[type[EPSOptions]] = EPSOptions
    needs: ClassVar[frozenset[Cue]] = frozenset({Cue.SALIENCY})

    def __init__(self, options: EPSOptions, backbone: Backbone, classes: int) -> None:
        super().__init__()
        o = self.options = options
        self.host = HOSTS[o.host](backbone, classes, alpha=o.alpha, consistent=o.consistent)
