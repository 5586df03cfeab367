"""Fine-grained background representation (FBR).

Background that comes with a class is mistaken for it: water for the boat, rails for the train. FBR
finds kinds of background in every photograph, remembers them over many batches, and pushes
uncertain foreground away from them, and from other classes.

X. Yin, W. Im, D. Min, Y. Huo, F. Pan, S.-E. Yoon: Fine-grained Background Representation for Weakly
Supervised Semantic Segmentation, IEEE TCSVT 2024.

| paper | here | function |
|---|---|---|
| thresholded average pooling | `threshold` | `thresholded_mean` |
| φ_fg, φ_bg, φ_seg | `Heads` | `Heads.forward` |
| uncertain pixels | queries | `uncertain` |
| NROI | kinds of background | `background_kinds` |
| memory bank | `Bank` | `Bank.push`, `Bank.draw` |
| prototypes | as named | `top_prototypes` |
| L_pcl^bg, Eq. 7 | "against background" | `contrast_loss` |
| L_pcl^fg, Eq. 9, active sampling | "among classes" | `contrast_loss`, `pixels_elsewhere` |
| L_seg, Eq. 6 | "segmentation" | `segmentation_loss` |
| L_sim (code alone) | "similarity" | `similarity_loss` |

Differs from the paper: nothing known but what docs/methods/fbr.md names; weights and counts are the
code's.

Differs from the official code: there the background contrast has no gradient and compares along
the wrong axis, and in the variant on AMN the foreground contrast has no gradient either; here Eq. 7
and Eq. 9 as printed. Prototypes come from photographs with the tag alone; padding is in no term;
the queries of a class share the negatives drawn for it in a step; k-means runs in torch; views
share one bank, and are compared on the host's own grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.optim import AdamW, Optimizer

from tag2mask.errors import InputError
from tag2mask.method import OnHost
from tag2mask.methods.fbr.bank import Bank, background_kinds
from tag2mask.methods.fbr.cells import is_foreground, uncertain
from tag2mask.methods.fbr.contrast import contrast_loss, numbered, pixels_elsewhere
from tag2mask.methods.fbr.heads import WIDTH, Heads, segmentation_loss, similarity_loss
from tag2mask.nn.amn import AMNHost
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.eps import EPSHost, PPCOnEPSHost
from tag2mask.nn.host import CAMHost, DRSHost, View, two_rates
from tag2mask.nn.labels import cell_labels
from tag2mask.nn.padding import photographed
from tag2mask.nn.ppc import PPCHost
from tag2mask.nn.prototypes import top_prototypes
from tag2mask.nn.seam import SEAMHost
from tag2mask.nn.seeds import SeedOptions
from tag2mask.types import BACKGROUND, Cue, Scalar, TagBatch

NEGATIVES: Final = 256  # of a class in a step, official code
ONE_IN: Final = 16  # a prototype is made of 16 of 256 cells, official code on PPC
REPLACED: Final = "intra view"  # PPC's term in whose place the contrast among classes steps
HOSTS: Final[dict[str, type[CAMHost]]] = {
    "amn": AMNHost,
    "cam": CAMHost,
    "drs": DRSHost,
    "eps": EPSHost,
    "ppc": PPCHost,
    "ppc-eps": PPCOnEPSHost,
    "seam": SEAMHost,
}

Host = Literal["amn", "cam", "drs", "eps", "ppc", "ppc-eps", "seam"]
SALIENT: Final[dict[Host, Host]] = {"cam": "eps", "ppc": "ppc-eps"}  # the same host with saliency


@dataclass(frozen=True)
class FBROptions:
    """The host, the four terms on it, and what the training may vary."""

    host: Host = "cam"
    """Whose features and maps are used; on ppc the contrast among classes steps in the place of its
    intra-view term (official code). With --saliency cam becomes eps, and ppc becomes ppc-eps, PPC
    in front of EPS (official code)."""
    threshold: float | None = None
    """The tag loss averages features above this share of their channel's maximum (official code
    on PPC: 0.1); None averages all cells, which is better on a few hundred photographs of objects
    (docs/journal.md). On amn there is no tag loss, and nothing to pool."""
    against_background: float = 0.05
    """Weight of the contrast against kinds of background, Eq. 7 (official code on AMN; on PPC
    0.01); 0 switches it off."""
    among_classes: float = 0.1
    """Weight of the contrast among classes, Eq. 9 (official code); 0 switches it off."""
    segmentation: float = 0.0
    """Weight of the background's segmentation, Eq. 6 (official code: off on AMN, its host that
    learns from tags alone; 0.1 on PPC with saliency); 0 switches it off."""
    similarity: float = 0.1
    """Weight of what the two projections share (official code); 0 switches it off."""
    background: float = 0.5
    """Evidence that a class must beat where cells are labelled (official code on AMN: what is left
    to the background, which is this with one tag; on PPC 0.1, which on a few hundred photographs
    asks cells around the object and spoils its maps, docs/journal.md)."""
    sure: float = 0.4
    """Position among a class's cells, by evidence, above which they are sure and are not asked
    (official code on AMN; on PPC 0.6)."""
    clear: float = 0.25
    """Quantile of the entropy up to which cells are clear and are not asked (official code on AMN;
    on PPC 0.1)."""
    clusters: int = 8
    """Kinds of background in a photograph (official code)."""
    capacity: int = 50_000
    """Kinds that are remembered, over all photographs (official code on PPC; on AMN 100,000)."""
    temperature: float = 0.5
    """τ of both contrasts (official code)."""
    rate: float = 1e-3
    """Learning rate of the host's pretrained layers (as CAM)."""
    head: float = 10.0
    """New layers learn this many times faster (official code)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""

    def __post_init__(self) -> None:
        weights = {
            "against-background": self.against_background,
            "among-classes": self.among_classes,
            "segmentation": self.segmentation,
            "similarity": self.similarity,
        }
        wrong = [name for name, weight in weights.items() if weight < 0]
        if wrong:
            raise InputError(
                f"--fbr.{wrong[0]} {weights[wrong[0]]} came; expected a weight of 0 or more."
            )
        if not any(weights.values()):
            raise InputError(
                "All weights of FBR are 0, which leaves its host; use --method "
                f"{self.host.removeprefix('ppc-')}, or give one of "
                f"{', '.join(f'--fbr.{name}' for name in weights)}."
            )
        shares = {"background": self.background, "sure": self.sure, "clear": self.clear}
        for name, share in {**shares, "threshold": self.threshold or 0.0}.items():
            if not 0 <= share <= 1:
                raise InputError(f"--fbr.{name} {share} came; expected a share from 0 to 1.")
        if self.clusters < 1 or self.capacity < 1 or self.temperature <= 0:
            raise InputError(
                f"--fbr.clusters {self.clusters}, --fbr.capacity {self.capacity} and "
                f"--fbr.temperature {self.temperature} came; expected counts of 1 or more, and a "
                "temperature above 0."
            )

    @property
    def needs(self) -> frozenset[Cue]:
        """What the host asks for."""
        return HOSTS[self.host].needs

    @property
    def seeds(self) -> SeedOptions:
        """What the host amn is taught by."""
        return SeedOptions()


@final
class FBR(OnHost):
    """A host whose uncertain foreground is held apart from kinds of background."""

    Options: ClassVar[type[FBROptions]] = FBROptions

    def __init__(self, options: FBROptions, backbone: Backbone, classes: int) -> None:
        super().__init__()
        o = self.options = options
        self.host: CAMHost = (
            AMNHost(backbone, classes)
            if o.host == "amn"
            else HOSTS[o.host](backbone, classes, threshold=o.threshold)
        )
        self.heads = Heads(backbone.channels)
        self.bank = Bank(o.capacity, WIDTH)
        # what no term reaches is not trained: several processes wait for every gradient
        shared = o.similarity > 0
        contrasted = o.against_background > 0 or o.among_classes > 0
        self.heads.foreground.requires_grad_(shared or contrasted)
        self.heads.background.requires_grad_(shared or o.segmentation > 0)
        self.heads.segmenter.requires_grad_(o.segmentation > 0)

    def losses(self, batch: TagBatch, progress: float) -> dict[str, Scalar]:
        """The host's terms and FBR's four, these the mean over the host's views."""
        terms, views = self.host.look(batch, progress)
        if self.options.among_classes > 0:
            terms.pop(REPLACED, None)
        found = [self.terms(view, batch) for view in views]
        for name in found[0]:
            terms[name] = torch.stack([one[name] for one in found]).mean()
        return terms

    def terms(self, view: View, batch: TagBatch) -> dict[str, Scalar]:
        """FBR's weighted terms in one view; the bank learns its background first."""
        o = self.options
        foreground, raw = self.heads(view.features)
        background, maps = raw.relu(), view.maps.to(torch.promote_types(raw.dtype, torch.float32))
        inside = photographed(batch.images, (maps.shape[2], maps.shape[3]))
        labels = cell_labels(maps.flatten(2), inside.flatten(1), o.background)
        terms: dict[str, Scalar] = {}
        if o.similarity > 0:
            terms["similarity"] = o.similarity * similarity_loss(foreground, background, inside)
        if o.segmentation > 0:
            logits = self.heads.segmenter(raw)
            terms["segmentation"] = o.segmentation * segmentation_loss(logits, maps, inside)
        if o.against_background > 0:
            rows = background.detach().permute(0, 2, 3, 1).flatten(1, 2)
            self.bank.push(background_kinds(rows, labels == BACKGROUND, o.clusters))
        return terms | self.contrasts(foreground, maps.flatten(2), labels)

    def contrasts(
        self,
        foreground: Float[Tensor, "B P h w"],
        maps: Float[Tensor, "B C N"],
        labels: Int64[Tensor, "B N"],
    ) -> dict[str, Scalar]:
        """The weighted contrasts of the uncertain cells, against background and among classes."""
        o = self.options
        own = maps * (
            labels[:, None] == torch.arange(1, maps.shape[1] + 1, device=maps.device)[:, None]
        )
        vectors, present = top_prototypes(foreground.detach(), own, ONE_IN)
        prototypes, cells = vectors[present], foreground.permute(0, 2, 3, 1).flatten(0, 2)
        asked = uncertain(maps, labels, o.background, o.sure, o.clear)
        queries = numbered(labels.flatten(), present, asked.flatten())
        groups = numbered(labels.flatten(), present, is_foreground(labels).flatten())
        terms: dict[str, Scalar] = {}
        if o.against_background > 0:
            kinds = self.bank.draw(len(prototypes), NEGATIVES)
            loss = contrast_loss(cells, queries, prototypes, kinds, o.temperature)
            terms["against background"] = o.against_background * loss
        if o.among_classes > 0:
            others = pixels_elsewhere(cells, groups, prototypes, NEGATIVES, o.temperature)
            loss = contrast_loss(cells, queries, prototypes, others, o.temperature)
            terms["among classes"] = o.among_classes * loss
        return terms

    def optimizers(self) -> Sequence[Optimizer]:
        """The host's AdamW, and one for the heads, which learn as fast as other new layers."""
        o = self.options
        heads = [p for p in self.heads.parameters() if p.requires_grad]
        host = two_rates(self.host, o.rate, o.head, o.decay)
        return [host, AdamW(heads, lr=o.rate * o.head, weight_decay=o.decay)]
