"""AMN's host: features weighed by the tags, and a label for every cell, taught by seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.nn.backbones import Backbone
from tag2mask.nn.equivariance import spanned
from tag2mask.nn.host import INITIAL, CAMHost, View
from tag2mask.nn.seeds import balanced_loss, on_cells
from tag2mask.types import Cue, Scalar, TagBatch

SMOOTHING: Final = 0.4  # ε, official code
DROPOUT: Final = 0.1  # before the pyramid, official code
RATES: Final = (6, 12, 18, 24)  # of the pyramid, in cells; DeepLabV2, official code
PLACES: Final = 9  # that a 3 × 3 convolution looks at
CELLS: Final = 32  # along the side of the grid that these rates are for: 512 pixels at stride 16


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: dilated 3 × 3 convolutions, added up.

    The rates are for a grid of 32 cells a side and follow the grid's longer side,

        r' = max(1, round(r · max(h, w) / 32)),

    for on 14 cells a rate of 24 would see padding alone. What every cell gives to those around it
    is one product for all rates and places; that is quicker than a convolution a rate.
    """

    def __init__(self, channels: int, labels: int, rates: Sequence[int] = RATES) -> None:
        super().__init__()
        self.rates = tuple(rates)
        self.products = nn.Conv2d(channels, len(self.rates) * labels * PLACES, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(labels))
        nn.init.normal_(self.products.weight, std=INITIAL)

    def forward(self, features: Float[Tensor, "B D h w"]) -> Float[Tensor, "B L h w"]:
        """Logits of every cell."""
        size = (features.shape[2], features.shape[3])
        products = self.products(features).flatten(2).chunk(len(self.rates), dim=1)
        logits = self.bias[:, None, None]
        for product, reach in zip(products, self.reaches(features), strict=True):
            logits = logits + functional.fold(product, size, 3, dilation=reach, padding=reach)
        return logits

    def reaches(self, features: Float[Tensor, "B D h w"]) -> tuple[int, ...]:
        """The rates on this grid."""
        side = max(features.shape[2:])
        return tuple(max(1, round(rate * side / CELLS)) for rate in self.rates)


class AMNHost(CAMHost):
    """A host without a tag loss: tags weigh the features, seeds teach every cell its label.

    Responses are z_c − z_background, of either sign: above zero a class beats the background.

    Args:
        smoothing: ε, the share of belief that is spread over the other labels.
        dropout: share of the features that training leaves out.
    """

    needs: ClassVar[frozenset[Cue]] = frozenset({Cue.SEEDS})

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        smoothing: float = SMOOTHING,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__(backbone, classes)
        del self.classifier  # nothing would teach it
        self.smoothing, self.classes = smoothing, classes
        self.embedding = nn.Linear(classes, backbone.channels)
        self.dropout = nn.Dropout(dropout)
        self.pyramid = ASPP(backbone.channels, classes + 1)

    def see(
        self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]
    ) -> tuple[Float[Tensor, "B D h w"], Float[Tensor, "B L h w"]]:
        """Features weighed by the tags, f_d · (W t + b)_d, and logits, background first.

        Args:
            images: RGB on 0 … 255.
            tags: what is in each.
        """
        weights = self.embedding(tags.to(self.embedding.weight.dtype))
        features = self.features(images) * weights[:, :, None, None]
        return features, self.pyramid(self.dropout(features))

    def forward(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B D h w"], Float[Tensor, "B C h w"]]:
        """Features and responses of photographs that may show every class.

        Args:
            images: RGB on 0 … 255.
        """
        every = torch.ones(len(images), self.classes, dtype=torch.bool, device=images.device)
        features, logits = self.see(images, every)
        return features, over_background(logits)

    def look(self, batch: TagBatch, progress: float) -> tuple[dict[str, Scalar], tuple[View, ...]]:
        """AMN's one term, and the batch as it saw it.

        Args:
            progress: how much of the training is done, from 0 to below 1.
        """
        features, logits = self.see(batch.images, batch.tags)
        seeds = on_cells(batch.cues[Cue.SEEDS], (logits.shape[2], logits.shape[3]))
        maps = label_maps(logits.detach(), batch.tags)
        view = View(features, over_background(logits), maps)
        return {"seeds": balanced_loss(logits, seeds, self.smoothing)}, (view,)

    def evidence(
        self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]
    ) -> Float[Tensor, "B C h w"]:
        """The probabilities of the tagged classes, each map from 0 to 1.

        Args:
            images: RGB on 0 … 255.
            tags: what is in each; only these and the background compete for cells.
        """
        return label_maps(self.see(images, tags)[1], tags)


def over_background(logits: Float[Tensor, "B L h w"]) -> Float[Tensor, "B C h w"]:
    """By how much each class beats the background: z_c − z_0."""
    return logits[:, 1:] - logits[:, :1]


def label_maps(
    logits: Float[Tensor, "B L h w"], tags: Bool[Tensor, "B C"]
) -> Float[Tensor, "B C h w"]:
    """Probabilities of the tagged classes, each map from 0 to 1 over its photograph.

        p_c = exp z_c / ( exp z_0 + sum over tagged k of exp z_k ),   then `spanned`

    In single precision or better; zero for classes that the tags do not name.
    """
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    absent = functional.pad(~tags, (1, 0), value=False)[:, :, None, None]
    probabilities = exact.masked_fill(absent, -torch.inf).softmax(dim=1)
    return spanned(probabilities[:, 1:])
