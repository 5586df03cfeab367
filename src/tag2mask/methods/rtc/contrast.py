"""Cross-transform regularisation (CTR): prototypes in the places that another view found."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from tag2mask.nn.contrast import contrast_loss
from tag2mask.nn.equivariance import onto, spanned
from tag2mask.nn.labels import cell_labels
from tag2mask.nn.ppc import ONE_IN, TEMPERATURE, Cells, cross_label, cross_prototype
from tag2mask.nn.prototypes import label_prototypes
from tag2mask.nn.seam import Sight
from tag2mask.types import Scalar


def contrasts(
    first: Sight, second: Sight, inside: Bool[Tensor, "B h w"], level: float
) -> dict[str, Scalar]:
    """The three contrasts, each the mean of both views.

        "intra view"        cells and labels of one view, prototypes in the places of that view
        "cross label"       cells of one view, its prototypes, labels of the other
        "cross prototype"   cells and labels of one view, prototypes of the other

    Args:
        inside: cells that show the photograph, of the grid on which views are compared.
        level: evidence that a class must beat.
    """
    one, other = cells(first, second, inside, level), cells(second, first, inside, level)
    return {
        "intra view": (intra_view(one) + intra_view(other)) / 2,
        "cross label": (cross_label(one, other) + cross_label(other, one)) / 2,
        "cross prototype": (cross_prototype(one, other) + cross_prototype(other, one)) / 2,
    }


def shown(view: Sight, inside: Bool[Tensor, "B h w"]) -> Float[Tensor, "B C h w"]:
    """A view's refined maps from 0 to 1, without gradient, on the grid of `inside`.

    Args:
        inside: cells that show the photograph; the others have no evidence.
    """
    maps = onto(view.refined[:, 1:].detach(), (inside.shape[1], inside.shape[2]))
    return spanned(maps) * inside[:, None]


def cells(own: Sight, other: Sight, inside: Bool[Tensor, "B h w"], level: float) -> Cells:
    """A view's cells and labels, and the prototypes of what the other view has in those places.

        p_c = sum over i in T_c of A_ci f'_i / sum over i in T_c of A_ci,   f' the other view's

    Args:
        inside: cells that show the photograph; the others are unknown.
        level: evidence that a class must beat.
    """
    size = (inside.shape[1], inside.shape[2])
    maps = shown(own, inside)
    labels = cell_labels(maps, inside, level)
    prototypes, present = label_prototypes(onto(other.features, size), maps, labels, ONE_IN)
    rows = onto(own.features, size).flatten(2).transpose(1, 2).flatten(0, 1)
    return Cells(rows, labels.flatten(), prototypes, present)


def intra_view(cells: Cells) -> Scalar:
    """Cells, by their own labels, against the prototypes in the places of their view."""
    return contrast_loss(cells.rows, cells.labels, cells.prototypes, cells.present, TEMPERATURE)
