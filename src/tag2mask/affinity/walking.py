"""Maps of one photograph after a random walk by a learned affinity."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tag2mask.affinity.network import AffinityNetwork
from tag2mask.affinity.pyramid import on_grid
from tag2mask.nn.checks import check_photograph
from tag2mask.nn.views import resize, scaled_size
from tag2mask.nn.walk import walk
from tag2mask.types import CamSet


class AffinityWalk:
    """A learned affinity as a refiner.

    Maps are brought to the network's cells, taken off the edges if it has any, walk, and are
    divided by the largest value of all classes together (IRN), so that a weak class stays weak.

    Args:
        network: trained; on the device it is to look on.
        long_side: pixels to which a photograph's long side is brought.
    """

    def __init__(self, network: AffinityNetwork, long_side: float) -> None:
        self.network, self.long_side = network.eval(), long_side

    @torch.no_grad()
    def __call__(self, image: UInt8[Tensor, "3 H W"], cams: CamSet) -> CamSet:
        """The maps after the walk.

        Raises:
            InputError: maps that are not finite; the message names the photograph.
        """
        check_photograph(image, cams)
        if not bool((cams.maps > 0).any()):
            return cams
        affinity, kept = self.near(image)
        options = self.network.options
        maps = on_grid(cams.maps[None].to(kept), (kept.shape[0], kept.shape[1]))[0]
        walked = walk(maps * kept, affinity, options.beta, options.walk).clamp(min=0)
        return CamSet(cams.id, cams.classes, (walked / walked.max()).cpu(), cams.size)

    def near(
        self, image: UInt8[Tensor, "3 H W"]
    ) -> tuple[Float[Tensor, "P h w"], Float[Tensor, "h w"]]:
        """What the network says of a photograph, see `AffinityNetwork.near`."""
        affinity, kept = self.network.near(seen(self.network, image, self.long_side))
        return affinity[0], kept[0]


def seen(
    network: AffinityNetwork, image: UInt8[Tensor, "3 H W"], long_side: float
) -> Float[Tensor, "1 3 _ _"]:
    """A photograph as the network looks at it: its long side brought to so many pixels."""
    size = scaled_size((image.shape[1], image.shape[2]), long_side, network.pyramid.cell)
    device = next(network.parameters()).device
    view: Tensor = resize(image, size)[None].float()
    return view.to(device, memory_format=torch.channels_last)
