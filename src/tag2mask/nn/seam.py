"""SEAM's host: two views of a photograph, and maps refined by pixel correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tag2mask.nn.affinity import Correlation, spread
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.equivariance import (
    cross_loss,
    equivariance_loss,
    lowest_loss,
    onto,
    smaller,
    spanned,
    strongest,
    with_tags,
)
from tag2mask.nn.host import CAMHost, View, normalised, tag_loss
from tag2mask.nn.taps import as_grid, inner_stages, watching
from tag2mask.types import Scalar, TagBatch

SCALE: Final = 0.5  # of the second view; .3 of 448 (SEAM) leaves cells enough, .3 of 224 does not
HIGHEST: Final = 0.2  # of the distances count in the cross term; official code
WIDTHS: Final = (64, 128)  # of the two inner stages in the embedding; official code
EMBEDDING: Final = 192  # its channels; official code


@dataclass(frozen=True, slots=True)
class Sight:
    """One view of a batch before anything is compared.

    Attributes:
        refined: background in front, then classes; the gradient reaches the correlation alone.
    """

    features: Float[Tensor, "B D h w"]
    responses: Float[Tensor, "B C h w"]
    refined: Float[Tensor, "B L h w"]


class SEAMHost(CAMHost):
    """A host that looks twice and lets cells that look alike share their evidence.

    Args:
        scale: side of the second view as a share of the first's.
        correlation: which cells share their evidence; SEAM's, of colours and two inner stages, if
            None.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        scale: float = SCALE,
        threshold: float | None = None,
        correlation: nn.Module | None = None,
    ) -> None:
        super().__init__(backbone, classes, threshold)
        self.scale = scale
        if correlation is None:
            _, channels = inner_stages(backbone.network)
            correlation = Correlation(channels, WIDTHS[-len(channels) :], EMBEDDING)
        self.correlation = correlation

    def see(self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]) -> Sight:
        """One view: features, responses, and the maps refined by pixel correlation.

            A_j' = sum over i of A_i a_ij,   A the strongest tagged class of every cell

        Args:
            images: RGB on 0 … 255.
            tags: what is in each.
        """
        network = self.backbone.network
        with watching(inner_stages(network)[0]) as seen:
            features, responses = self(images)
        size = (features.shape[2], features.shape[3])
        inner = [as_grid(network, found, size) for found in seen]
        pictures = (images - self.backbone.mean) / self.backbone.deviation
        shares = self.correlation(pictures, inner, size)
        responses = responses.to(torch.promote_types(responses.dtype, torch.float32))
        maps = strongest(normalised(responses.detach(), tags))
        return Sight(features, responses, spread(maps, shares))

    def look(self, batch: TagBatch, progress: float) -> tuple[dict[str, Scalar], tuple[View, ...]]:
        """SEAM's four terms, and both views with their refined maps.

        Args:
            progress: how much of the training is done, from 0 to below 1.
        """
        first = self.see(batch.images, batch.tags)
        second = self.see(smaller(batch.images, self.scale), batch.tags)
        terms = self.tag_terms(first, second, batch.tags)
        terms |= agreement_terms(first, second, batch.tags)
        views = tuple(
            View(s.features, s.responses, tagged(spanned(s.refined[:, 1:]).detach(), batch.tags))
            for s in (first, second)
        )
        return terms, views

    def tag_terms(
        self, first: Sight, second: Sight, tags: Bool[Tensor, "B C"]
    ) -> dict[str, Scalar]:
        """What each view must say by itself, the mean of the two."""
        both = (first, second)
        tag_losses = [tag_loss(self.pooled(s.features, s.responses), tags) for s in both]
        lowest = [lowest_loss(tagged(s.refined[:, 1:], tags)) for s in both]
        return {"tags": torch.stack(tag_losses).mean(), "lowest": torch.stack(lowest).mean()}

    def evidence(
        self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]
    ) -> Float[Tensor, "B C h w"]:
        """The refined maps, each from 0 to 1.

        Args:
            images: RGB on 0 … 255.
            tags: what is in each; only these compete for cells.
        """
        return spanned(self.see(images, tags).refined[:, 1:])


def agreement_terms(first: Sight, second: Sight, tags: Bool[Tensor, "B C"]) -> dict[str, Scalar]:
    """ER between the two views' maps; ECR of each one's refined maps with the other's, added.

    On the first view's grid: none of its cells is lost.
    """
    size = (first.features.shape[2], first.features.shape[3])
    maps = [onto(tagged(spanned(s.responses), tags), size) for s in (first, second)]
    refined = [onto(with_tags(spanned(s.refined), tags), size) for s in (first, second)]
    references = [with_tags(strongest(one), tags) for one in maps]
    return {
        "equivariance": equivariance_loss(*maps),
        "cross": cross_loss(references[1], refined[0], HIGHEST)
        + cross_loss(references[0], refined[1], HIGHEST),
    }


def tagged(maps: Float[Tensor, "B C h w"], tags: Bool[Tensor, "B C"]) -> Float[Tensor, "B C h w"]:
    """Zero for classes that the tags do not name."""
    return maps * tags[:, :, None, None]
