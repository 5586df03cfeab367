"""Segmentation by reconstruction from a structured decomposition (REC).

A classifier's maps follow whatever tells a class, and the background is all that is left. REC takes
a photograph apart: into mask-lets, one a label, whose sum is one at every pixel, and image-lets,
one picture a label. Put together again they have to give the photograph; and a frozen classifier,
trained before on the same tags, has to see in each label's picture that class and no other, and in
the background's none. The mask-lets are the segmentation.

Weakly Supervised Semantic Segmentation by Reconstruction from Structured Decomposition,
arXiv 2409.01472, 2024.

| paper | here | function |
|---|---|---|
| f_m, f_x | `Decomposer.masker`, `imager` | `scratch_networks`, `pretrained_networks` |
| mask-lets M | shares of the labels, sum 1 | `masklets` |
| image-lets X | in [0, 1] | `Decomposition` |
| Î = sum of M_k ⊙ X_k | the photograph again | `recomposed` |
| L_recon | "reconstruction" | `reconstruction_loss` |
| L_mask | "size" | `area_loss`, or `pooling_loss` |
| M_k ⊙ X_k | picture of one label | `composed`, or ours: `cut_out` |
| g | `guide`, a plain classifier | stage `first`, `REC.take` |
| L_cls | "guidance" | `guidance_loss` |

Differs from the paper: its text is not at hand; all here is by its abstract and its code.

Differs from the official code, always: the background is label 0, there the last channel; g keeps
its statistics, which there drift while f learns; g takes images as it was trained; padding is in no
term; classes absent from a photograph are drawn, there all are composed; AdamW with a schedule; the
upsampling of odd grids meets the encoder's.

Differs by default (`recipes/rec.py` has the released form, `rec_official`): light decoders on a
pretrained backbone; a photograph is composed of its tags and the background; g sees the photograph,
cut out by mask-lets averaged over cells, on ImageNet's mean colour, there the image-let on black;
tags are expected to take a fifth of the picture, there equal parts; image-lets are coarse; the
weights. Without tags g's scores weigh the classes. Why stands in docs/methods/rec.md.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from tag2mask.errors import InputError
from tag2mask.method import AfterClassifier, SingleStage
from tag2mask.methods.rec.composition import (
    Composition,
    composed,
    cut_out,
    masklets,
    reconstruction_loss,
)
from tag2mask.methods.rec.guidance import (
    Guidance,
    draw_labels,
    evidence_loss,
    guidance_loss,
    margin,
)
from tag2mask.methods.rec.networks import (
    Decomposition,
    coarse,
    pretrained_networks,
    scratch_networks,
)
from tag2mask.methods.rec.regulation import Regulation, area_loss, areas, pooling_loss, prior_loss
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.equivariance import onto
from tag2mask.nn.host import CAMHost, two_rates
from tag2mask.nn.padding import photographed
from tag2mask.types import Scalar, TagBatch


@dataclass(frozen=True)
class RECOptions:
    """The networks, the composition, the terms, and what the training may vary."""

    networks: Literal["pretrained", "scratch"] = "pretrained"
    """Light decoders on the backbone's stages, or the paper's U-Net from random weights."""
    shared: bool = True
    """One encoder for mask-lets and image-lets (official code), or one each (paper)."""
    width: int = 64
    """Channels of the light decoders; of the U-Net's first convolution (official code)."""
    cell: int = 4
    """Pixels per cell of the mask-lets of a pretrained network; the U-Net's have one."""
    imagelet_cell: int = 16
    """Pixels per cell of the image-lets; what is finer than that only mask-lets can tell (ours;
    official code: 1)."""
    composition: Composition = "soft"
    """How mask-lets weigh image-lets: as they are, or one label a pixel, drawn (straight-through
    Gumbel, the official code before its last form)."""
    regulation: Regulation = "prior"
    """What L_mask asks of mask-lets: that tags take `share` of the picture (ours), that all labels
    take equal parts (official code), or scores pooled under them with the focal size penalty
    (official code before its last form)."""
    share: float = 0.2
    """How much of a picture its tags are expected to take, for "prior" (ours)."""
    judged: Guidance = "tags"
    """What L_cls asks of g: tags (paper), or evidence in units of the photograph's own (ours)."""
    seen: Literal["photograph", "imagelet"] = "photograph"
    """What g sees where a label is: the photograph (ours), or the label's image-let (paper)."""
    ground: Literal["mean", "black"] = "mean"
    """What g sees elsewhere: the colour around photographs in training (ours), or black (paper)."""
    reconstruction: float = 1.0
    """Weight of L_recon (official code)."""
    size: float = 0.1
    """Weight of L_mask (measured, docs/journal.md; official code: 1e-3)."""
    guidance: float = 0.3
    """Weight of L_cls (measured, docs/journal.md; official code: 1e-3)."""
    per_margin: bool = True
    """L_cls is divided by how far g's scores of tags lie above its scores of nothing (ours): a
    confident g has steep gradients, and a hesitant one is not heard (docs/journal.md). Evidence is
    in such units by itself."""
    guidance_cell: int = 16
    """Pixels over which mask-lets are averaged where g looks (ours; official code: 1). Thin lines
    deceive g."""
    told: bool = True
    """Tags say of which labels a photograph is composed, and where there are none, g's scores weigh
    them (ours); in the paper all labels take part."""
    absent: int = 1
    """Of each photograph so many absent classes are composed, drawn at every step (ours; official
    code: all)."""
    rate: float = 1e-4
    """Learning rate of pretrained layers (official code, for all)."""
    head: float = 10.0
    """New layers learn this many times faster (ours)."""
    decay: float = 1e-2
    """Weight decay of AdamW (its default in torch)."""

    def __post_init__(self) -> None:
        counts = {"width": self.width, "cell": self.cell, "imagelet_cell": self.imagelet_cell}
        for name, count in counts.items():
            if count < 1:
                name = name.replace("_", "-")
                raise InputError(f"--rec.{name} {count} came; expected 1 or more.")
        if self.absent < 0:
            raise InputError(f"--rec.absent {self.absent} came; expected a count of classes.")
        weights = (self.reconstruction, self.size, self.guidance)
        if not 0 < self.share < 1:
            raise InputError(f"--rec.share {self.share} came; expected a share between 0 and 1.")
        for name, weight in zip(("reconstruction", "size", "guidance"), weights, strict=True):
            if weight < 0:
                raise InputError(f"--rec.{name} {weight} came; expected a weight, 0 or above.")


@final
class REC(AfterClassifier, SingleStage):
    """Mask-lets and image-lets that give the photograph, and a classifier that names them."""

    Options: ClassVar[type[RECOptions]] = RECOptions

    def __init__(self, options: RECOptions, backbone: Backbone, classes: int) -> None:
        super().__init__()
        o, labels = options, classes + 1
        self.options = options
        self.guide = CAMHost(copy.deepcopy(backbone), classes).requires_grad_(False).eval()
        if o.networks == "scratch":
            self.networks = scratch_networks(o.width, labels, o.shared, o.imagelet_cell)
        else:
            cells = (o.cell, o.imagelet_cell)
            self.networks = pretrained_networks(backbone, o.width, labels, o.shared, cells)

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """G is the classifier that was trained first."""
        self.guide.load_state_dict(weights)

    def train(self, mode: bool = True) -> REC:
        """Train or evaluate; g never trains, its statistics included."""
        super().train(mode)
        self.guide.eval()
        return self

    def losses(self, batch: TagBatch, progress: float) -> dict[str, Scalar]:
        """λ_r L_recon + λ_m L_mask + λ_c L_cls."""
        o, found = self.options, self.networks(batch.images)
        present = functional.pad(batch.tags, (1, 0), value=True)
        logits = among(found.logits, present) if o.told else found.logits
        shares = masklets(logits, o.composition)
        inside = photographed(batch.images, (shares.shape[2], shares.shape[3]))
        again = reconstruction_loss(batch.images, shares, found.imagelets, inside)
        size = self.sized(found.logits, inside, present)
        return {
            "reconstruction": o.reconstruction * again,
            "size": o.size * size,
            "guidance": o.guidance * self.guided(batch, found, shares),
        }

    def sized(
        self,
        logits: Float[Tensor, "B L h w"],
        inside: Bool[Tensor, "B h w"],
        present: Bool[Tensor, "B L"],
    ) -> Scalar:
        """L_mask, of soft mask-lets of all labels: absent classes learn from it alone.

        Args:
            inside: cells that show the photograph.
            present: tags, behind the background, which is always there.
        """
        o, shares = self.options, masklets(logits, "soft")
        if o.regulation == "pooling":
            return pooling_loss(logits, shares, inside, present)
        taken = areas(shares, inside)
        if o.regulation == "area":
            return area_loss(taken, present)
        return prior_loss(taken, present, o.share)

    def guided(
        self, batch: TagBatch, found: Decomposition, shares: Float[Tensor, "B L h w"]
    ) -> Scalar:
        """L_cls: one look of g at the pictures of all drawn labels of the batch."""
        o, tags = self.options, batch.tags
        weights = draw_labels(tags, 0 if o.told else o.absent)
        shares = coarse(shares, max(1, o.guidance_cell // self.networks.cell))
        photos, labels = weights.nonzero(as_tuple=True)
        ground = self.guide.backbone.mean * (o.ground == "mean")
        if o.seen == "imagelet":
            size = (batch.images.shape[2], batch.images.shape[3])
            pictures = composed(found.imagelets, shares, (photos, labels), size, ground)
        else:
            pictures = cut_out(batch.images, shares, (photos, labels), ground)
        scores, pairs = self.guide.classify(pictures), (photos, labels)
        if o.judged == "evidence":
            known = self.known(batch.images, ground)
            return evidence_loss(scores, pairs, weights, tags, known)
        loss = guidance_loss(scores, pairs, weights, tags)
        return loss / margin(*self.known(batch.images, ground), tags) if o.per_margin else loss

    @torch.no_grad()
    def known(
        self, images: Float[Tensor, "B 3 H W"], ground: Float[Tensor, "1 3 1 1"]
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "1 C"]]:
        """What g says of the photographs, g(I), and of the ground alone, g(∅)."""
        return self.guide.classify(images), self.guide.classify(ground.expand_as(images[:1]))

    def optimizers(self) -> Sequence[Optimizer]:
        """One AdamW, two groups: pretrained layers and the new ones."""
        return [two_rates(self, self.options.rate, self.options.head, self.options.decay)]

    def localize(
        self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]
    ) -> Float[Tensor, "B C h w"]:
        """The mask-lets of the tags, between which and the background a pixel is shared out.

        Args:
            images: RGB on 0 … 255.
            tags: what is in each; other classes have no share.
        """
        known = functional.pad(tags, (1, 0), value=True)
        return masklets(among(self.networks.logits(images), known), "soft")[:, 1:]

    def classify(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C"]:
        """The scores of g.

        Args:
            images: RGB on 0 … 255.
        """
        return self.guide.classify(images)

    def segment(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L H W"]:
        """The logits of the mask-lets; where training was told tags, g's scores stand for them.

            z'_c = z_c + log σ(g_c),   z'_0 = z_0

        So the softmax weighs every class by the probability of its tag, and no tags are needed.

        Args:
            images: RGB on 0 … 255.
        """
        logits = self.networks.logits(images)
        if self.options.told:
            weights = functional.pad(functional.logsigmoid(self.classify(images)), (1, 0))
            logits = logits + weights[:, :, None, None]
        return onto(logits, (images.shape[2], images.shape[3]))


def among(
    logits: Float[Tensor, "B L h w"], present: Bool[Tensor, "B L"]
) -> Float[Tensor, "B L h w"]:
    """Logits with which labels that are not there get no share."""
    return logits.masked_fill(~present[:, :, None, None], -torch.inf)
