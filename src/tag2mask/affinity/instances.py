"""Instances out of IRN: cells that point to one place are one object.

J. Ahn, S. Cho, S. Kwak: Weakly Supervised Learning of Instance Segmentation with Inter-pixel
Relations, CVPR 2019.

| paper | name here | where |
|---|---|---|
| D, without its mean | `field` | `centred` |
| D iterated to a centroid | places | `settled` |
| cells of weak displacement, connected | `near` | `objects` |
| M_ck, the map of class c in object k, after the walk | `shares` | `ObjectWalk.shares` |
| argmax over c and k | | `told_apart` |

Differs from the paper and the official code: which class a pixel has, or none, is the run's pseudo
mask, so that instances cover what the mask covers; the walked maps of a class only say whose of its
objects a pixel is (the code decides all at once, above a level of 0.25). The mean that is taken
off is that of foreground cells, whose displacements cancel in every object if they point to its
middle; the code takes all cells. Parts that are too small are left out, where the code keeps them
with score 0; a class that is there keeps its largest part. How wide middles are is by default a
share of the grid and no number of cells, since small photographs have few of them. Not mirrored at
test.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from skimage.measure import label
from torch import Tensor
from torch.nn import functional

from tag2mask.affinity.irn import IRN
from tag2mask.affinity.pyramid import on_grid
from tag2mask.affinity.walking import seen
from tag2mask.errors import InputError
from tag2mask.nn.checks import check_photograph
from tag2mask.nn.parts import large_parts, present
from tag2mask.nn.runs import unpack
from tag2mask.nn.seeds import on_cells
from tag2mask.nn.walk import walk
from tag2mask.types import BACKGROUND, UNKNOWN, CamSet, Instances, Size

STEPS: Final = 300  # official code


@dataclass(frozen=True)
class InstanceOptions:
    """How objects of a class are told apart."""

    near: float = 0.02
    """Cells displaced by less are the middle of an object: below 1 a share of the longer side, from
    1 on cells (official code: 2.5 of them, of the 125 that a photograph of 500 pixels has)."""
    share: float = 0.01
    """Parts below this share of the photograph are no instance (official code)."""

    def __post_init__(self) -> None:
        if not self.near > 0 or not 0 <= self.share < 1:
            raise InputError(
                f"--instance.near {self.near} with --instance.share {self.share} came; expected "
                "more than 0, and a share from 0 to below 1."
            )


def settled(field: Float[Tensor, "2 h w"], steps: int = STEPS) -> Float[Tensor, "2 h w"]:
    """The place (row, column) to which every cell comes by following the field.

        p_0 = the cell,   p_(k+1) = p_k + D(p_k)

    D between cells is bilinear; places stay on the grid.

    Args:
        field: (down, right) in cells.
    """
    size = (field.shape[1], field.shape[2])
    rows, columns = (torch.arange(extent).to(field) for extent in size)
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    last = field.new_tensor([extent - 1 for extent in size]).view(2, 1, 1)
    for _ in range(steps):
        places = (places + between(field, places)).minimum(last).clamp(min=0)
    return places


def between(
    field: Float[Tensor, "D h w"], places: Float[Tensor, "2 h2 w2"]
) -> Float[Tensor, "D h2 w2"]:
    """Values of a field between its cells, bilinear.

    Args:
        places: (row, column) on the grid.
    """
    last = field.new_tensor([max(extent - 1, 1) for extent in field.shape[1:]])
    spots = places.flip(0).permute(1, 2, 0) * 2 / last.flip(0) - 1
    return functional.grid_sample(field[None], spots[None], align_corners=True)[0]


def objects(field: Float[Tensor, "2 h w"], near: float) -> Int64[Tensor, "h w"]:
    """The object of every cell, 0 … n − 1: the one in whose middle it settles.

    Middles are what touches at the sides among cells with |D| < near. Cells that settle in none are
    together one more object.

    Args:
        near: cells.
    """
    middles = label((field.norm(dim=0) < near).cpu().numpy(), background=0, connectivity=1)
    row, column = settled(field).round().long().cpu().numpy()
    _, number = np.unique(middles[row, column], return_inverse=True)
    return torch.from_numpy(number.reshape(row.shape)).to(field.device)


def foreground_mean(
    fields: Iterable[tuple[Float[Tensor, "2 _ _"], UInt8[Tensor, "_ _"]]],
) -> Float[Tensor, "2"]:
    """The mean displacement over the cells of any class, of all photographs; 0 without one.

    Args:
        fields: displacements and labels of each photograph.
    """
    total, count = torch.zeros(2, dtype=torch.float64), 0
    for field, labels in fields:
        cells = on_cells(labels[None].long(), (field.shape[1], field.shape[2]))[0]
        known = (cells != BACKGROUND) & (cells != UNKNOWN)
        total += field.cpu().double()[:, known].sum(dim=1)
        count += int(known.sum())
    return (total / max(count, 1)).float()


class ObjectWalk:
    """Tells the objects in a photograph's pseudo mask apart.

    Args:
        network: trained; on the device it is to look on.
        long_side: pixels to which a photograph's long side is brought.
        mean: displacement (down, right) that is taken off.
    """

    def __init__(
        self, network: IRN, long_side: float, mean: Float[Tensor, "2"], options: InstanceOptions
    ) -> None:
        self.network, self.long_side, self.options = network.eval(), long_side, options
        self.mean = mean.to(next(network.parameters()).device)

    @torch.no_grad()
    def __call__(
        self, image: UInt8[Tensor, "3 H W"], cams: CamSet, labels: UInt8[Tensor, "H W"]
    ) -> UInt8[Tensor, "H W"]:
        """The instance of every pixel, 1 … n; 0 is none.

        Args:
            cams: the maps that IRN was taught by.
            labels: the pseudo mask.

        Raises:
            InputError: maps that are not finite; the message names the photograph.
        """
        check_photograph(image, cams)
        if not present(labels.cpu()):
            return torch.zeros_like(labels)
        edges, field = self.network.look(seen(self.network, image, self.long_side))
        near = self.options.near * (max(field.shape[-2:]) if self.options.near < 1 else 1)
        found = objects(field[0] - self.mean.view(2, 1, 1), near)
        classes, walked = self.shares(cams, found, edges)
        return told_apart(labels.cpu(), classes, walked.cpu(), self.options.share)

    def shares(
        self, cams: CamSet, found: Int64[Tensor, "h w"], edges: Float[Tensor, "1 h w"]
    ) -> tuple[Int64[Tensor, "m"], Float[Tensor, "m h w"]]:
        """The maps of each class parted by object, each after its walk, and their classes.

        A walk is linear: the parts of a class add up to its own walk. Empty parts are left out.
        """
        affinity, kept = self.network.around(edges)
        maps = on_grid(cams.maps[None].to(kept), (kept.shape[1], kept.shape[2]))[0] * kept
        each = functional.one_hot(found).permute(2, 0, 1)
        parts = (maps[:, None] * each).flatten(0, 1)
        classes = cams.classes.repeat_interleave(len(each))
        there = (parts > 0).flatten(1).any(dim=1)
        options = self.network.options
        walked = walk(parts[there], affinity[0], options.beta, options.walk)
        return classes[there.cpu()], walked


def told_apart(
    labels: UInt8[Tensor, "H W"],
    classes: Int64[Tensor, "m"],
    shares: Float[Tensor, "m h w"],
    share: float,
) -> UInt8[Tensor, "H W"]:
    """Instances of a mask, 1 … n, the largest first; 0 is none.

    A pixel of a class goes to the strongest of the class's shares; what of a share touches is an
    instance, see `nn.parts`.

    Args:
        share: of the photograph's pixels, that an instance has at least.
    """
    size = (labels.shape[0], labels.shape[1])
    owners = torch.zeros(size, dtype=torch.int64)
    for number in present(labels):
        inside = labels == number
        owners[inside] = strongest(shares[classes == number], size)[inside]
    return large_parts(labels, owners, share)


def strongest(shares: Float[Tensor, "m h w"], size: Size) -> Int64[Tensor, "H W"]:
    """The number of the share that is highest at every pixel, bilinear; one is enlarged at a time.

    The first of equals; 0 without any.
    """
    best, highest = torch.zeros(size, dtype=torch.int64), torch.full(size, -torch.inf)
    for number, values in enumerate(shares):
        wide = functional.interpolate(values[None, None], size, mode="bilinear")[0, 0]
        better = wide > highest
        best[better], highest = number, torch.maximum(highest, wide)
    return best


def peaks(cams: CamSet, found: Instances) -> Float64[Tensor, "n"]:
    """The score of every instance: the highest that the map of its class is in it.

    Args:
        cams: the maps that the mask was decided by.
    """
    scores = []
    for number, own in enumerate(found.classes.tolist()):
        values = cams.maps[cams.classes == own][:, None].float()
        wide = functional.interpolate(values, found.size, mode="bilinear")
        inside = torch.from_numpy(unpack(found.runs[number], found.size))
        scores.append(float(wide[0, 0][inside].max()))
    return torch.tensor(scores, dtype=torch.float64)
