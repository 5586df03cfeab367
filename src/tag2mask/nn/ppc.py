"""PPC's host: SEAM's, whose cells are also held to the class prototypes of both views.

Y. Du, Z. Fu, Q. Liu, Y. Wang: Weakly Supervised Semantic Segmentation by Pixel-to-Prototype
Contrast, CVPR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tag2mask.nn.backbones import Backbone
from tag2mask.nn.contrast import contrast_loss, semi_hard_loss
from tag2mask.nn.equivariance import onto, spanned
from tag2mask.nn.host import View
from tag2mask.nn.labels import cell_labels
from tag2mask.nn.padding import photographed
from tag2mask.nn.prototypes import label_prototypes
from tag2mask.nn.seam import SCALE, SEAMHost
from tag2mask.types import Scalar, TagBatch

PROJECTION: Final = 128  # channels in which cells are compared; official code
ONE_IN: Final = 8  # a prototype is made of 32 of 256 cells; official code
BACKGROUND_LEVEL: Final = 0.2  # evidence that a class must beat; official code
TEMPERATURE: Final = 0.1  # official code
CONTRAST: Final = 0.1  # weight of each contrast; official code


@dataclass(frozen=True, slots=True)
class Cells:
    """One view's cells in a row, what they show, and its prototypes."""

    rows: Float[Tensor, "P D"]
    labels: Int64[Tensor, "P"]
    prototypes: Float[Tensor, "L D"]
    present: Bool[Tensor, "L"]


class PPCHost(SEAMHost):
    """SEAM's host with a projection in which cells are compared with prototypes.

    Args:
        scale: side of the second view as a share of the first's.
        contrast: weight of each of the three contrasts.
        background: evidence that a class must beat where cells are labelled.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        scale: float = SCALE,
        contrast: float = CONTRAST,
        background: float = BACKGROUND_LEVEL,
        threshold: float | None = None,
    ) -> None:
        super().__init__(backbone, classes, scale, threshold)
        self.contrast, self.background = contrast, background
        self.projection = nn.Conv2d(backbone.channels, PROJECTION, 1, bias=False)
        nn.init.xavier_uniform_(self.projection.weight)

    def look(self, batch: TagBatch, progress: float) -> tuple[dict[str, Scalar], tuple[View, ...]]:
        """SEAM's terms and three contrasts, on the second view's grid, and both views.

        Args:
            progress: how much of the training is done, from 0 to below 1.
        """
        terms, views = super().look(batch, progress)
        size = (views[1].maps.shape[2], views[1].maps.shape[3])
        inside = photographed(batch.images, size)
        one, other = (self.cells(view, inside) for view in views)
        found = {
            "cross prototype": cross_prototype(one, other) + cross_prototype(other, one),
            "cross label": cross_label(one, other) + cross_label(other, one),
            "intra view": intra_view(one) + intra_view(other),
        }
        return terms | {name: self.contrast / 2 * loss for name, loss in found.items()}, views

    def cells(self, view: View, inside: Bool[Tensor, "B h w"]) -> Cells:
        """A view's projected cells, their labels and prototypes; padding is unknown.

        Args:
            inside: cells that show the photograph, of the grid on which views are compared.
        """
        size = (inside.shape[1], inside.shape[2])
        projected = onto(self.projection(view.features).relu(), size)
        maps = spanned(onto(view.maps, size))
        labels = cell_labels(maps, inside, self.background)
        prototypes, present = label_prototypes(projected, maps, labels, ONE_IN)
        rows = projected.flatten(2).transpose(1, 2).flatten(0, 1)
        return Cells(rows, labels.flatten(), prototypes, present)


def cross_prototype(one: Cells, other: Cells) -> Scalar:
    """Cells, by their own labels, against the other view's prototypes."""
    return contrast_loss(one.rows, one.labels, other.prototypes, other.present, TEMPERATURE)


def cross_label(one: Cells, other: Cells) -> Scalar:
    """Cells, by the other view's labels, against their own view's prototypes."""
    return contrast_loss(one.rows, other.labels, one.prototypes, one.present, TEMPERATURE)


def intra_view(cells: Cells) -> Scalar:
    """Semi-hard cells against semi-hard prototypes of their own view."""
    return semi_hard_loss(cells.rows, cells.labels, cells.prototypes, cells.present, TEMPERATURE)
