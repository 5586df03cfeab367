"""Cross-representation refinement (CRR): what cells show, by shallow and by deep features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tag2mask.nn.affinity import Correlation

Representations = Literal["both", "shallow", "deep"]
SHALLOW: Final = 64  # channels of the inner stage, and of the embedding; official code
DEEP: Final = 128  # channels of each of the two deep inputs; official code


class CrossRepresentation(nn.Module):
    """The mean of two affinities: of colours with a shallow stage, and of the two deepest ones.

        A = (a_shallow + a_deep) / 2

    Maps refined by the mean are the mean of the maps refined by each, for refining is linear.

    Args:
        channels: of the shallow stage, of the stage before the last, and of what comes last.
        representations: both, or one of the two alone (ablation).
    """

    def __init__(self, channels: Sequence[int], representations: Representations = "both") -> None:
        super().__init__()
        early, inner, last = channels
        self.shallow, self.deep = None, None
        if representations != "deep":
            self.shallow = Correlation([early], [SHALLOW], SHALLOW)
        if representations != "shallow":
            self.deep = Correlation([inner, last], [DEEP, DEEP], 2 * DEEP, colours=False)

    def forward(
        self,
        images: Float[Tensor, "B 3 H W"],
        features: Sequence[Float[Tensor, "B _ _ _"]],
        size: tuple[int, int],
    ) -> Float[Tensor, "B N N"]:
        """How much each of the h × w cells hears of each.

        Args:
            images: as the network takes them, normalised.
            features: of the shallow stage, of the stage before the last, and the last.
            size: (h, w) of the grid.
        """
        found = []
        if self.shallow is not None:
            found.append(self.shallow(images, features[:1], size))
        if self.deep is not None:
            found.append(self.deep(images, features[1:], size))
        return torch.stack(found).mean(dim=0)
