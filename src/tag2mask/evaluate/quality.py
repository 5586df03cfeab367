"""How good a mask probably is, judged without truth.

Every measure looks at one photograph and is a share in 0 … 1, higher where masks tend to be better.
None of them is an IoU, nor is their mean: it orders photographs. How well, is measured in
docs/results.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.evaluate.bootstrap import mean_iou
from tag2mask.evaluate.confusion import confusion
from tag2mask.types import BACKGROUND, UNKNOWN

GAP: Final = 0.15  # evidence nearer to the level than this may fall on either side
RISE: Final = 0.1  # how far the level is moved, up and down, to see what hangs on it
SMALL: Final = 0.01  # share of a photograph; less becomes implausible
LARGE: Final = 0.3  # and more
# What the estimate is the mean of, in the order told. Chosen by looking at truth: of the measures
# of this module those that agreed with it on the four sets of docs/results.md.
COMBINED: Final = ("scales", "refinement", "agreement", "edges", "certainty", "stability")
DOUBTFUL: Final = 0.55  # an estimate below; chosen by looking at truth on the same sets
WEAK: Final = 0.5  # a measure below is given as the reason
REASONS: Final = {
    "scales": "the maps of different scales disagree",
    "refinement": "refinement changed the mask a lot",
    "agreement": "the network sees something else",
    "edges": "its contour does not follow edges of the picture",
    "certainty": "much of the evidence is close to the level",
    "stability": "a small change of the level changes it a lot",
}


@dataclass(frozen=True)
class QualityOptions:
    """How masks are judged without truth."""

    look_again: bool = False
    """Also ask the classifier again: mirrored, with the mask alone, and with the mask erased. Told,
    but not in the estimate (measured, docs/results.md); as slow as the maps."""


def agreement(one: UInt8[Tensor, "H W"], other: UInt8[Tensor, "H W"], classes: int) -> float:
    """Mean IoU of two decisions over the labels that either has; unknown pixels are left out."""
    unknown = (one == UNKNOWN) | (other == UNKNOWN)
    counts = confusion(one.masked_fill(unknown, UNKNOWN), other, classes).counts
    return float(mean_iou(counts[None].double())[0])


def certainty(best: Float[Tensor, "h w"], level: float) -> float:
    """Share of cells whose best evidence is more than 0.15 away from the level."""
    return float(((best - level).abs() > GAP).double().mean())


def edge_alignment(image: UInt8[Tensor, "3 H W"], labels: UInt8[Tensor, "H W"]) -> float:
    """Mean over the contour of the share of the photograph's pixels with a weaker gradient.

        1/|E| · sum over i in E of  |{j : g_j < g_i}| / |{j}|

    E are the pixels whose left or upper neighbour has another label. A contour put anywhere gets
    about one half; without a contour 0.
    """
    gradient = gradients(image)
    contour = torch.zeros(labels.shape, dtype=torch.bool)
    contour[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    contour[1:] |= labels[1:] != labels[:-1]
    if not contour.any():
        return 0.0
    every = gradient.flatten().sort().values
    weaker = torch.searchsorted(every, gradient[contour])
    return float(weaker.double().mean() / len(every))


def gradients(image: UInt8[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
    """Length of the brightness gradient: central differences after a mean over 3 × 3."""
    grey = image.float().mean(dim=0)[None, None]
    smooth = functional.avg_pool2d(grey, 3, 1, 1, count_include_pad=False)
    wide = functional.pad(smooth, (1, 1, 1, 1), mode="replicate")[0, 0]
    across, down = wide[1:-1, 2:] - wide[1:-1, :-2], wide[2:, 1:-1] - wide[:-2, 1:-1]
    return (across.square() + down.square()).sqrt()


def area_plausibility(labels: UInt8[Tensor, "H W"]) -> float:
    """1 while the foreground covers 1 % to 30 %, falling to 0 at nothing and at everything.

    min(1, a / 0.01) · min(1, (1 − a) / 0.7)
    """
    area = float(((labels != BACKGROUND) & (labels != UNKNOWN)).double().mean())
    return min(1.0, area / SMALL) * min(1.0, (1 - area) / (1 - LARGE))


def map_agreement(one: Float[Tensor, "K h w"], other: Float[Tensor, "K h w"]) -> float:
    """Mean over classes of sum min(a, b) / sum max(a, b), each map divided by its maximum."""
    if not len(one):
        return 0.0
    a, b = (m / m.amax(dim=(1, 2), keepdim=True).clamp(min=1e-5) for m in (one, other))
    shared, joined = torch.minimum(a, b).sum(dim=(1, 2)), torch.maximum(a, b).sum(dim=(1, 2))
    return float((shared / joined.clamp(min=1e-5)).mean())


def recognised(scores: Float[Tensor, "K"]) -> float:
    """Mean over classes of the logistic of their scores; 0 without any."""
    return float(scores.sigmoid().mean()) if len(scores) else 0.0


def with_mask_alone(
    image: Float[Tensor, "3 H W"], mask: Bool[Tensor, "H W"]
) -> Float[Tensor, "3 H W"]:
    """The photograph inside a mask, its mean colour outside."""
    return torch.where(mask, image, image.mean(dim=(1, 2), keepdim=True))


def estimate(measures: Mapping[str, float]) -> float:
    """The plain mean of the measures in `COMBINED` that there are."""
    known = [measures[name] for name in COMBINED if name in measures]
    return sum(known) / len(known) if known else 0.0


def doubts(measures: Mapping[str, float], empty: Sequence[str]) -> tuple[str, ...]:
    """Why a person should look at a mask, a phrase each; nothing if nothing speaks against it.

    A mask is doubtful if a tagged class has no pixel, or the estimate is below 0.55; then the
    measures below one half are the reasons, or the lowest if none is.

    Args:
        empty: names of tagged classes without a pixel.
    """
    found = [f"no pixel of {name}" for name in empty]
    known = sorted((measures[name], name) for name in COMBINED if name in measures)
    if known and estimate(measures) < DOUBTFUL:
        weak = [name for value, name in known if value < WEAK] or [known[0][1]]
        found += [REASONS[name] for name in weak]
    return tuple(found)
