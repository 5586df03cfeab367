"""Pseudo masks on line, and the loss by which they teach the segmentation branch.

The rules of the masks' two levels are RTC's; refinement and loss come from

    N. Araslanov, S. Roth. Single-Stage Semantic Segmentation from Image Labels. CVPR 2020.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from tag2mask.nn.equivariance import onto, spanned
from tag2mask.nn.padding import photographed
from tag2mask.nn.par import DILATIONS, ITERATIONS, neighbour_shares, propagate
from tag2mask.types import BACKGROUND, UNKNOWN, Scalar, Size

RELEASED: Final = 224  # cells of the grid on which the official code refines, half of 448
LOWEST: Final = 0.05  # levels stay between, so that some cells can be either; ours
HIGHEST: Final = 0.95


def grid_size(size: Size, cell: int) -> Size:
    """(h, w) of the grid on which masks are made, for photographs of (H, W) pixels."""
    return max(1, size[0] // cell), max(1, size[1] // cell)


def reaches(size: Size) -> tuple[int, ...]:
    """VARM's dilations as the released share of the longer side: 1, 2, 4, 8, 12, 24 of 224 cells.

    As they stand they would average a grid of 40 cells nearly as a whole, and leave no class.
    """
    return tuple(sorted({max(1, round(d * max(size) / RELEASED)) for d in DILATIONS}))


def two_levels(
    maps: Float[Tensor, "B C h w"],
    tags: Bool[Tensor, "B C"],
    inside: Bool[Tensor, "B h w"],
    unsure: float,
) -> tuple[float, float]:
    """The lower and the higher level of the background, from the maps alone.

        m = mu + sigma / 2 over the cells of the batch, each with its strongest tagged map;  m ∓ u

    The rule by which masks are decided blind (`tag2mask.masks.blind`).

    Args:
        maps: evidence ≥ 0; each is brought to 0 … 1.
        inside: cells of photographs, not of padding.
        unsure: u.
    """
    peaks = (spanned(maps) * tags[:, :, None, None]).amax(dim=1)[inside].double()
    middle = float(peaks.mean() + peaks.std(correction=0) / 2) if len(peaks) else 0.0
    return max(middle - unsure, LOWEST), min(middle + unsure, HIGHEST)


@torch.no_grad()
def pseudo_labels(
    images: Float[Tensor, "B 3 H W"],
    maps: Float[Tensor, "B C _ _"],
    tags: Bool[Tensor, "B C"],
    levels: tuple[float, float],
    size: Size,
) -> Int64[Tensor, "B h w"]:
    """A label for every cell of a grid: a class, background, or unknown (255).

        y_θ = argmax of VARM( softmax(θ, A_1, …, A_K) ),   A the tagged maps, each from 0 to 1

    A class where y_high is one; background where y_high and y_low are; else unknown, and padding.
    In single precision or better.

    Args:
        images: RGB on 0 … 255.
        maps: evidence ≥ 0 on cells that cover the photographs.
        levels: θ, the lower and the higher of the background.
        size: (h, w) of the grid.
    """
    with torch.autocast(images.device.type, enabled=False):
        exact = torch.promote_types(maps.dtype, torch.float32)
        chosen, classes = tagged_maps(spanned(maps.to(exact)), tags)
        scores = torch.stack([probabilities(onto(chosen, size), classes, t) for t in levels], dim=1)
        pictures = functional.adaptive_avg_pool2d(images.to(exact), size)
        dilations = reaches(size)
        shares = neighbour_shares(pictures, dilations, "varm")
        refined = propagate(scores.flatten(1, 2), shares, dilations, ITERATIONS)
        best = refined.view_as(scores).argmax(dim=2)  # B × 2 × h × w: background is 0
    labels = functional.pad(classes, (1, 0), value=BACKGROUND)
    low, high = (labels.gather(1, b.flatten(1)).view(len(b), *size) for b in best.unbind(dim=1))
    unsure = (high == BACKGROUND) & (low != BACKGROUND)
    return high.where(photographed(images, size) & ~unsure, UNKNOWN)


def tagged_maps(
    maps: Float[Tensor, "B C h w"], tags: Bool[Tensor, "B C"]
) -> tuple[Float[Tensor, "B K h w"], Int64[Tensor, "B K"]]:
    """The maps of the tags alone, and their labels; K is the highest number of tags, or 1.

    Photographs with fewer tags have maps of label 255 at the end.
    """
    count = max(1, int(tags.sum(dim=1).max()))
    found = tags.int().sort(dim=1, descending=True, stable=True)
    places = found.indices[:, :count]
    cells = places[:, :, None, None].expand(-1, -1, *maps.shape[2:])
    return maps.gather(1, cells), (places + 1).where(found.values[:, :count] > 0, UNKNOWN)


def probabilities(
    maps: Float[Tensor, "B K h w"], classes: Int64[Tensor, "B K"], level: float
) -> Float[Tensor, "B _ h w"]:
    """softmax(θ, A_1, …, A_K), the background in front; zero for maps of label 255."""
    absent = (classes == UNKNOWN)[:, :, None, None]
    values = functional.pad(maps.masked_fill(absent, -torch.inf), (0, 0, 0, 0, 1, 0), value=level)
    return values.softmax(dim=1)


def label_counts(labels: Int64[Tensor, "B *cells"], count: int) -> Int64[Tensor, "B L"]:
    """How many cells of every photograph have each of the labels 0 … count − 1."""
    flat = labels.flatten(1)
    every = flat.new_zeros(len(flat), UNKNOWN + 1)
    return every.scatter_add_(1, flat, torch.ones_like(flat))[:, :count]


def is_complete(counts: Int64[Tensor, "B L"], tags: Bool[Tensor, "B C"]) -> Bool[Tensor, "B"]:
    """Whether background and every tagged class are in a mask."""
    wanted = functional.pad(tags, (1, 0), value=True)
    return ((counts > 0) | ~wanted).all(dim=1)


def masked_loss(
    logits: Float[Tensor, "B L h w"],
    labels: Int64[Tensor, "B h w"],
    tags: Bool[Tensor, "B C"],
    balanced: bool,
    complete: bool,
) -> Scalar:
    """Cross-entropy in which a label weighs less the more cells of its photograph have it.

        w_l = (N − n_l) / (1 + N) if balanced, else 1
        L   = 1/B sum over photographs of q/M · sum over known cells i of w_y (− log p_iy)

    n_l cells of the photograph have label l, y is that of cell i; N are known of all M cells. In
    single precision or better.

    Args:
        complete: q is 1 where background and every tagged class are in the mask, else 0; without,
            it is 1 everywhere.
    """
    counts = label_counts(labels, logits.shape[1])
    known = counts.sum(dim=1, keepdim=True)
    exact = torch.promote_types(logits.dtype, torch.float32)
    decided = labels != UNKNOWN
    places = labels.where(decided, BACKGROUND)
    losses = functional.cross_entropy(logits.to(exact), places, reduction="none") * decided
    if balanced:
        weights = (known - counts).to(exact) / (1 + known)
        losses = losses * weights.gather(1, places.flatten(1)).view(labels.shape)
    each = losses.mean(dim=(1, 2))
    return (each * is_complete(counts, tags)).mean() if complete else each.mean()
