"""EPS's hosts: maps of the tags and of the background, held to saliency.

S. Lee, M. Lee, J. Lee, H. Shim: Railroad Is Not a Train: Saliency as Pseudo-Pixel Supervision for
Weakly Supervised Semantic Segmentation, CVPR 2021.

Saliency says where something stands out, and not what; tags say what, and not where. A background
of its own beside the classes takes what no tag explains.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.nn.backbones import Backbone
from tag2mask.nn.host import INITIAL, CAMHost, View
from tag2mask.nn.padding import photographed
from tag2mask.nn.ppc import PPCHost
from tag2mask.types import Cue, Scalar, TagBatch

ALPHA: Final = 0.5  # paper, and official code
CONSISTENT: Final = 0.4  # official scripts; the paper has 0.5
CERTAIN: Final = 0.5  # probabilities and saliency are rounded here; official code


def overlap(
    probabilities: Float[Tensor, "B C h w"],
    saliency: Float[Tensor, "B h w"],
    inside: Bool[Tensor, "B h w"],
) -> Float[Tensor, "B C"]:
    """The salient share of the cells that each class claims.

        O_c = sum over i of [p_ci > ½] [S_i > ½] / sum over i of [p_ci > ½]

    One for a class that claims no cell: nothing contradicts it yet.

    Args:
        inside: cells that show the photograph; the others do not count.
    """
    claimed = (probabilities > CERTAIN) & inside[:, None]
    salient = claimed & (saliency > CERTAIN)[:, None]
    exact = probabilities.dtype
    counts = claimed.sum(dim=(2, 3), dtype=exact)
    shares: Tensor = salient.sum(dim=(2, 3), dtype=exact) / counts.clamp(min=1)
    return shares.where(counts > 0, 1.0)


def estimate(
    probabilities: Float[Tensor, "B L h w"],
    tags: Bool[Tensor, "B C"],
    consistent: Bool[Tensor, "B C"],
    alpha: float,
) -> Float[Tensor, "B h w"]:
    """The saliency that the maps imply.

        Ŝ = α · sum over c in F of p_c + (1 − α) · (1 − p_0 − sum over c in B of p_c)

    F the tags that are consistent with the saliency, B the other tags: those are taken for objects
    that do not stand out.

    Args:
        probabilities: background in front.
        consistent: classes whose claims the saliency supports.
        alpha: weight of the foreground, from 0 to 1.
    """
    classes = probabilities[:, 1:]
    shown = (classes * (tags & consistent)[:, :, None, None]).sum(dim=1)
    hidden = (classes * (tags & ~consistent)[:, :, None, None]).sum(dim=1)
    return alpha * shown + (1 - alpha) * (1 - probabilities[:, 0] - hidden)


def saliency_loss(
    probabilities: Float[Tensor, "B L h w"],
    tags: Bool[Tensor, "B C"],
    saliency: Float[Tensor, "B h w"],
    inside: Bool[Tensor, "B h w"],
    alpha: float = ALPHA,
    consistent: float = CONSISTENT,
) -> Scalar:
    """L_sal: the mean of (Ŝ_i − S_i)² over the cells that show a photograph; zero without any.

    Args:
        probabilities: background in front.
        saliency: in [0, 1].
        consistent: overlap above which a tag's class is foreground.
    """
    with torch.no_grad():
        supported = overlap(probabilities[:, 1:], saliency, inside) > consistent
    gaps = (estimate(probabilities, tags, supported, alpha) - saliency).square() * inside
    return gaps.sum() / inside.sum().clamp(min=1)


class EPSHost(CAMHost):
    """A host with a map for the background, whose maps explain the saliency.

    It can be put in front of another host, whose terms and views it keeps.

    Args:
        alpha: weight of the foreground in the saliency that the maps imply.
        consistent: salient share of a class's claims above which it is foreground.
        others: what the other host takes.
    """

    needs: ClassVar[frozenset[Cue]] = frozenset({Cue.SALIENCY})

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        threshold: float | None = None,
        alpha: float = ALPHA,
        consistent: float = CONSISTENT,
        **others: Any,
    ) -> None:
        super().__init__(backbone, classes, threshold=threshold, **others)
        self.alpha, self.consistent = alpha, consistent
        self.rest = nn.Conv2d(backbone.channels, 1, 1, bias=False)
        nn.init.normal_(self.rest.weight, std=INITIAL)

    def look(self, batch: TagBatch, progress: float) -> tuple[dict[str, Scalar], tuple[View, ...]]:
        """The host's terms and "saliency", the mean over its views; the views are the host's.

        Args:
            progress: how much of the training is done, from 0 to below 1.
        """
        terms, views = super().look(batch, progress)
        found = [self.explain(view, batch) for view in views]
        return terms | {"saliency": torch.stack(found).mean()}, views

    def explain(self, view: View, batch: TagBatch) -> Scalar:
        """How far the saliency that one view's maps imply is from the given one."""
        size = (view.responses.shape[2], view.responses.shape[3])
        probabilities = self.probabilities(view.features, view.responses)
        given = batch.cues[Cue.SALIENCY].to(probabilities.dtype)
        saliency = functional.adaptive_avg_pool2d(given[:, None], size)[:, 0]
        inside = photographed(batch.images, size)
        return saliency_loss(
            probabilities, batch.tags, saliency, inside, self.alpha, self.consistent
        )

    def probabilities(
        self, features: Float[Tensor, "B D h w"], responses: Float[Tensor, "B C h w"]
    ) -> Float[Tensor, "B L h w"]:
        """The softmax over background and classes, in single precision or better."""
        logits = torch.cat([self.rest(features).to(responses.dtype), responses], dim=1)
        exact = torch.promote_types(logits.dtype, torch.float32)
        return logits.softmax(dim=1, dtype=exact)

    def evidence(
        self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]
    ) -> Float[Tensor, "B C h w"]:
        """The classes' probabilities.

        Args:
            images: RGB on 0 … 255.
            tags: what is in each.
        """
        return self.probabilities(*self(images))[:, 1:]


class PPCOnEPSHost(EPSHost, PPCHost):
    """PPC's host with EPS's background and saliency: FBR's, where it learns from both."""
