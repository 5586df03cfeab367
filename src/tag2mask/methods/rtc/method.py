"""Representation, transform, compensator (RTC): maps and a segmentation from one training.

Maps are refined by what shallow and what deep features say of the likeness of cells, two views of a
photograph lend each other prototypes, and a compensator tells rough maps what the strongest cells
of a class show. From a stated moment on the refined maps become pseudo masks at every step, and
teach a segmentation branch of the same network.

RTC, arXiv 2309.00871, 2023; IEEE TCSVT 2024. After SEAM, PPC, and N. Araslanov, S. Roth:
Single-Stage Semantic Segmentation from Image Labels, CVPR 2020.

| paper | here | function |
|---|---|---|
| A(·) | second view | `smaller` |
| embedding f | features, D = 256 | `RTC.embed` |
| CRR | mean of two affinities | `CrossRepresentation`, `spread` |
| L_cls | "tags", "lowest" | `tag_loss`, `lowest_loss` |
| L_er, L_ecr | "equivariance", "cross" | `agreement_terms` |
| CTR, prototypes | of the other view's features | `label_prototypes` |
| L_nce | "intra view", "cross label", "cross prototype" | `contrast_loss` |
| compensator, L_com | "compensation" | `compensation_loss` |
| VARM | refinement of masks | `neighbour_shares`, `propagate` |
| pseudo masks | labels | `pseudo_labels` |
| L_seg | "segmentation" | `masked_loss` |
| decoder | the same | `Decoder` |

Differs from the paper: its text is not at hand; all here is by its abstract, figure and code.

Differs from the official code: prototypes come from tagged photographs alone, and labels without
one are no negatives; the background's is made of the cells that show least of any class, there of
cells at chance; maps reach from 0 to 1 where masks are made of them, there each is over its maximum
(measured, docs/methods/rtc.md); masks are refined and compared on a grid of `cell` pixels, there
refined at 2, compared at 1; the branch's input is brought to `width` channels first, and its
dilation follows the grid, as do those by which masks are refined; the two levels of masks come
from the maps (`two_levels`); the compensator tells cells as much as they are alike; the early stage
the branch reads passes no gradient; labels are decided without a constant level of the background;
the class-relation loss, computed there and never added, is left out; padding is in no term; what
SEAM changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.method import HostMethod, SingleStage
from tag2mask.methods.rtc.compensator import compensation_loss
from tag2mask.methods.rtc.contrast import contrasts, shown
from tag2mask.methods.rtc.decoder import Decoder
from tag2mask.methods.rtc.refinement import CrossRepresentation, Representations
from tag2mask.methods.rtc.teaching import grid_size, masked_loss, pseudo_labels, two_levels
from tag2mask.nn.affinity import spread
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.equivariance import onto, smaller, spanned, strongest
from tag2mask.nn.host import normalised, stages
from tag2mask.nn.padding import photographed
from tag2mask.nn.ppc import BACKGROUND_LEVEL, CONTRAST, ONE_IN
from tag2mask.nn.seam import SEAMHost, Sight, agreement_terms, tagged
from tag2mask.nn.taps import as_grid, inner_stages, showing, watching
from tag2mask.types import Scalar, Size, TagBatch

EMBEDDING: Final = 256  # channels that the classifier reads; official code
DROPOUT: Final = 0.5  # of the channels before them; official code
EARLY: Final = 4  # reduction of the stage that the branch reads besides; official code


@dataclass(frozen=True)
class RTCOptions:
    """The second view, the terms, the branch, and what the training may vary."""

    scale: float = 0.6
    """Side of the second view as a share of the first's. The official 128 of 448 pixels leave
    16 × 16 cells of 8 pixels; .6 leaves 6 × 6 of 16 pixels where the side is 160, and 9 × 9 where
    it is 224."""
    representations: Representations = "both"
    """By which features maps are refined: shallow, deep, or both (paper)."""
    contrast: float = CONTRAST
    """Weight of each of the three contrasts (official code); 0 switches them off."""
    compensation: float = 1.0
    """Weight of the compensator's loss (official code); 0 switches it off."""
    alike: bool = True
    """The compensator tells cells as much as they are alike; without, all cells the same (official
    code), which widens maps over the whole photograph (measured, docs/journal.md)."""
    background: float = BACKGROUND_LEVEL
    """Evidence that a class must beat where the contrasts label cells (official code)."""
    middle: float | None = None
    """Middle of the pseudo masks' two levels of the background (official code: 0.375, the middle of
    0.2 and 0.55); None takes it from the maps of every batch, which finds 0.35 to 0.38 for objects
    and 0.61 for broad maps of texture (measured, docs/journal.md)."""
    unsure: float = 0.175
    """Both levels are so far from their middle; between them nothing is known (official code)."""
    warmup: float = 0.28
    """Share of the training before the branch is taught (official code: 7 of 25 epochs)."""
    balanced: bool = True
    """Labels that fill a photograph weigh less in what the branch learns (official code). Small
    objects need it in a short training; broad maps of texture are drawn tighter without (measured,
    docs/journal.md)."""
    complete: bool = False
    """Only photographs teach whose mask holds every tag and the background (official code). With 12
    classes in 150 steps that leaves too little to learn from (measured, docs/journal.md)."""
    cell: int = 4
    """Pixels per cell of the grid on which masks are refined and compared with the branch (official
    code: refined at 2 of 448)."""
    width: int = 128
    """Channels of the branch (official code: 256)."""
    rate: float = 3e-4
    """Learning rate of pretrained layers. With CAM's 1e-3 the embedding and the branch, which start
    from nothing, learn at 1e-2: too fast (measured, docs/journal.md)."""
    head: float = 10.0
    """New layers learn this many times faster (official code)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""

    def __post_init__(self) -> None:
        for name in ("scale", "warmup"):
            share = getattr(self, name)
            if not 0 <= share < 1 or (name == "scale" and share == 0):
                raise InputError(f"--rtc.{name} {share} came; expected a share between 0 and 1.")
        if self.contrast < 0 or self.compensation < 0:
            raise InputError(
                f"--rtc.contrast {self.contrast} and --rtc.compensation {self.compensation} came; "
                "expected weights of 0 or more."
            )
        if not 0 < self.background < 1:
            raise InputError(
                f"--rtc.background {self.background} came; expected a level between 0 and 1."
            )
        middle = 0.5 if self.middle is None else self.middle
        if not 0 <= self.unsure < min(middle, 1 - middle):
            raise InputError(
                f"--rtc.middle {self.middle} and --rtc.unsure {self.unsure} came; expected both "
                "levels, middle - unsure and middle + unsure, between 0 and 1."
            )
        if self.cell < 1 or self.width < 1:
            raise InputError(
                f"--rtc.cell {self.cell} and --rtc.width {self.width} came; expected 1 or more."
            )


@dataclass(frozen=True, slots=True)
class Glance(Sight):
    """One view of a batch, and what the branch reads of it.

    Attributes:
        last: what the backbone puts out; the gradient passes.
        early: of the early stage, without gradient.
    """

    last: Float[Tensor, "B E h w"]
    early: Float[Tensor, "B F _ _"]


@final
class RTC(SEAMHost, HostMethod, SingleStage):
    """A classifier of two views whose refined maps teach its own segmentation branch."""

    Options: ClassVar[type[RTCOptions]] = RTCOptions

    def __init__(self, options: RTCOptions, backbone: Backbone, classes: int) -> None:
        channels = inner_stages(backbone.network)[1]
        taps = (channels[0], channels[-1], backbone.channels)
        correlation = CrossRepresentation(taps, options.representations)
        super().__init__(backbone, classes, options.scale, correlation=correlation)
        self.options = options
        self.dropout = nn.Dropout2d(DROPOUT)
        self.embedding = nn.Conv2d(backbone.channels, EMBEDDING, 1, bias=False)
        self.classifier = nn.Conv2d(EMBEDDING, classes, 1, bias=False)
        nn.init.xavier_uniform_(self.classifier.weight)  # behind an embedding .01 learns slowly
        early = int(early_stage(backbone.network)["num_chs"])
        self.decoder = Decoder(backbone.channels, early, classes + 1, options.width)

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """What the classifier reads.

        Args:
            images: RGB on 0 … 255.
        """
        return self.embed(self.backbone(images))

    def embed(self, last: Float[Tensor, "B E h w"]) -> Float[Tensor, "B D h w"]:
        """The features in which cells are compared and classified: max(0, W · dropout(x))."""
        embedded: Tensor = self.embedding(self.dropout(last)).relu()
        return embedded

    def see(self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]) -> Glance:
        """One view, its maps refined by both representations.

        Args:
            images: RGB on 0 … 255.
            tags: what is in each.
        """
        network = self.backbone.network
        with watching(inner_stages(network)[0]) as seen:
            last, early = self.trunk(images)
        features = self.embed(last)
        responses = self.classifier(features)
        responses = responses.to(torch.promote_types(responses.dtype, torch.float32))
        size = (last.shape[2], last.shape[3])
        inner = [as_grid(network, found, size) for found in (seen[0], seen[-1])]
        pictures = (images - self.backbone.mean) / self.backbone.deviation
        shares = self.correlation(pictures, [*inner, last.detach()], size)
        refined = spread(strongest(normalised(responses.detach(), tags)), shares)
        return Glance(features, responses, refined, last, early)

    def trunk(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B E h w"], Float[Tensor, "B F _ _"]]:
        """What the backbone puts out, and its early stage.

        Args:
            images: RGB on 0 … 255.
        """
        network = self.backbone.network
        with watching([showing(network, early_stage(network))]) as seen:
            last: Tensor = self.backbone(images)
        return last, as_grid(network, seen[0], (last.shape[2], last.shape[3]))

    def losses(self, batch: TagBatch, progress: float) -> dict[str, Scalar]:
        """L_cls + L_er + L_ecr + L_nce + L_com, and from the warm-up on + L_seg."""
        first = self.see(batch.images, batch.tags)
        second = self.see(smaller(batch.images, self.scale), batch.tags)
        terms = self.tag_terms(first, second, batch.tags)
        terms |= agreement_terms(first, second, batch.tags)
        terms |= self.cross_view_terms(first, second, batch)
        terms["segmentation"] = self.segmentation_loss(first, batch, progress)
        return terms

    def cross_view_terms(self, first: Glance, second: Glance, batch: TagBatch) -> dict[str, Scalar]:
        """The three contrasts, each the mean of both views, and the compensator's loss, their sum.

        Cells are compared on the second view's grid.
        """
        o, terms = self.options, dict[str, Scalar]()
        inside = photographed(batch.images, (second.features.shape[2], second.features.shape[3]))
        if o.contrast > 0:
            found = contrasts(first, second, inside, o.background)
            terms |= {name: o.contrast * loss for name, loss in found.items()}
        if o.compensation > 0:
            size, both = (first.features.shape[2], first.features.shape[3]), (first, second)
            losses = [
                compensation_loss(
                    onto(tagged(spanned(own.responses), batch.tags), size),
                    shown(own, inside),
                    onto(other.features, (inside.shape[1], inside.shape[2])),
                    batch.tags,
                    ONE_IN,
                    o.alike,
                )
                for own, other in (both, both[::-1])
            ]
            terms["compensation"] = o.compensation * torch.stack(losses).sum()
        return terms

    def segmentation_loss(self, first: Glance, batch: TagBatch, progress: float) -> Scalar:
        """The branch against the pseudo masks of the step; zero before the warm-up is over.

        Then it still is a function of the branch's layers: processes that train together ask every
        layer for a gradient at every step.
        """
        o = self.options
        if progress < o.warmup:
            return torch.stack([p.sum() for p in self.decoder.parameters()]).sum() * 0
        size = grid_size((batch.images.shape[2], batch.images.shape[3]), o.cell)
        labels = self.masks(first, batch.images, batch.tags, size)
        logits = onto(self.decoder(first.last, first.early), size)
        return masked_loss(logits, labels, batch.tags, o.balanced, o.complete)

    def masks(
        self,
        view: Sight,
        images: Float[Tensor, "B 3 H W"],
        tags: Bool[Tensor, "B C"],
        size: Size,
    ) -> Int64[Tensor, "B h w"]:
        """The pseudo masks that teach the branch.

        Args:
            view: what was seen of the photographs.
            images: RGB on 0 … 255.
            size: (h, w) of the masks.
        """
        o, maps = self.options, view.refined[:, 1:].detach()
        if o.middle is None:
            inside = photographed(images, (maps.shape[2], maps.shape[3]))
            levels = two_levels(maps, tags, inside, o.unsure)
        else:
            levels = o.middle - o.unsure, o.middle + o.unsure
        return pseudo_labels(images, maps, tags, levels, size)

    def segment(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L H W"]:
        """The branch's logits, the classes' lowered where the classifier does not see them.

            z'_c = z_c + log σ(s_c),   s_c the pooled response; z'_0 = z_0

        So the softmax weighs every class by σ(s_c), the predicted tags, and no tags are needed. In
        single precision or better.

        Args:
            images: RGB on 0 … 255.
        """
        last, early = self.trunk(images)
        logits, features = self.decoder(last, early), self.embed(last)
        scores = self.pooled(features, self.classifier(features)).mean(dim=(2, 3))
        exact = torch.promote_types(logits.dtype, torch.float32)
        weights = functional.pad(functional.logsigmoid(scores.to(exact)), (1, 0))
        weighed = logits.to(exact) + weights[:, :, None, None]
        return onto(weighed, (images.shape[2], images.shape[3]))


def early_stage(network: nn.Module) -> dict[str, Any]:
    """The last stage of reduction 4 or less; the first where all are beyond (transformers)."""
    known = stages(network)
    return ([s for s in known if s["reduction"] <= EARLY] or known[:1])[-1]
