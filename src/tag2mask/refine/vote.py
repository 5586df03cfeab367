"""Region voting: pixels of one region share their evidence.

A map is coarse and knows no outlines; regions of a photograph follow its outlines and know no
classes. Every pixel takes the mean of the maps over its region, so that a region as a whole goes to
the class that its evidence supports. Regions are superpixels or come from outside
(`tag2mask.refine.proposals`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.nn.checks import check_photograph
from tag2mask.nn.regions import region_mean
from tag2mask.nn.superpixels import Kind, SuperpixelOptions, superpixels
from tag2mask.refine.proposals import Proposals, RegionFolder
from tag2mask.types import NO_REGION, CamSet, Size


@dataclass(frozen=True)
class VoteOptions:
    """Who votes together."""

    segments: int = 100
    """Superpixels of a photograph, about."""
    long_side: int = 500
    """Longer photographs are first brought to this many pixels, their regions with them."""
    superpixels: Kind = "slic"
    """Of one size (slic), or of any size along outlines, at most so many (felzenszwalb)."""
    regions: Path | None = None
    """Folder of region maps from outside (<id>.png or .npy) in place of superpixels."""

    def __post_init__(self) -> None:
        if self.segments < 1 or self.long_side < 1:
            raise InputError(
                f"--vote.segments {self.segments} and --vote.long-side {self.long_side} came; "
                "expected 1 or more of each."
            )


class RegionVote:
    """Region voting on the maps of one photograph.

    Args:
        proposals: regions from outside; superpixels where there are none.
    """

    def __init__(
        self, options: VoteOptions | None = None, proposals: Proposals | None = None
    ) -> None:
        self.options = options or VoteOptions()
        folder = self.options.regions
        self.proposals = RegionFolder(folder) if proposals is None and folder else proposals

    @torch.no_grad()
    def __call__(self, image: UInt8[Tensor, "3 H W"], cams: CamSet) -> CamSet:
        """The maps, one value a region, on the pixels of the (shrunk) photograph.

        Averaging lowers peaks, and levels are relative to the peak; so every map is scaled back to
        the maximum it came with. A map without evidence stays zero.

        Raises:
            InputError: maps with NaN or of another photograph, or proposals that cannot be used.
        """
        check_photograph(image, cams)
        if not len(cams.classes):
            return cams
        size = working_size((image.shape[1], image.shape[2]), self.options.long_side)
        regions = self._regions(image, cams.id, size).to(cams.maps.device)
        maps = functional.interpolate(
            cams.maps[None].float(), size, mode="bilinear", align_corners=False
        )[0]
        voted = vote(maps, regions)
        before, after = (m.amax(dim=(1, 2), keepdim=True) for m in (cams.maps, voted))
        scale = torch.where(after > 0, before / after, 0)
        return CamSet(cams.id, cams.classes, (voted * scale).clamp(0, 1), cams.size)

    def _regions(
        self, image: UInt8[Tensor, "3 H W"], photo: str, size: Size
    ) -> Int64[Tensor, "h w"]:
        if self.proposals is None:
            made = SuperpixelOptions(self.options.superpixels, self.options.segments)
            return superpixels(image, made, self.options.long_side)
        regions = self.proposals(photo, image)
        if regions.shape != image.shape[1:]:
            raise InputError(
                f"The proposals for photograph {photo!r} have the shape {tuple(regions.shape)}; "
                f"expected the region of each of its {tuple(image.shape[1:])} pixels."
            )
        return _sample(regions, size)


def vote(maps: Float[Tensor, "K h w"], regions: Int64[Tensor, "h w"]) -> Float[Tensor, "K h w"]:
    """Every value becomes the mean over its region; a cell without a region keeps its own.

        m'_i = 1/|S(i)| · sum over j in S(i) of m_j

    Voting a second time changes nothing.

    Args:
        regions: any numbers; below 0 there is no region.
    """
    numbers, places = torch.unique(regions.flatten(), return_inverse=True)
    places = places.masked_fill(regions.flatten() < 0, NO_REGION)
    return region_mean(maps[None].flatten(2), places[None], len(numbers)).view_as(maps)


def working_size(size: Size, long_side: int) -> Size:
    """(h, w) of a photograph of (H, W) pixels, brought to at most `long_side`."""
    factor = min(1.0, long_side / max(size))
    height, width = (max(1, round(extent * factor)) for extent in size)
    return height, width


def _sample(regions: Int64[Tensor, "H W"], size: Size) -> Int64[Tensor, "h w"]:
    """The regions at the middles of the cells."""
    rows, columns = (
        ((torch.arange(few, device=regions.device) + 0.5) * (many / few)).long()
        for few, many in zip(size, regions.shape, strict=True)
    )
    return regions[rows[:, None], columns]
