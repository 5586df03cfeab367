"""Mean field of a fully connected conditional random field, in tensor operations on any device.

    P. Krähenbühl, V. Koltun. Efficient Inference in Fully Connected CRFs with Gaussian Edge
    Potentials. NIPS 2011 (equations), on the lattice of `lattice.py`.

| paper | here | where |
|---|---|---|
| psi_u | `unaries` | |
| k(1) appearance, k(2) smoothness, Eq. (3) | bilateral, gaussian | `_bilateral`, `_spatial` |
| w(1), w(2) | last number of `bilateral`, `gaussian` | |
| mu, Potts by default | `compatibility` | `_mixture` |
| Q | probabilities | `mean_field` |

Differs from the paper: kernels are normalised symmetrically and a pixel listens to itself too, both
as in pydensecrf, which every published setting was found with.

The filters are linear and the labels of a pixel sum to one, so the first label is never filtered:
its message is the filter's response to ones minus the others'.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tag2mask.refine.lattice import Lattice, build_lattice
from tag2mask.types import Size

Gaussian = tuple[float, float]
Bilateral = tuple[float, float, float]


@torch.no_grad()
def mean_field(
    images: UInt8[Tensor, "B 3 H W"],
    unaries: Float[Tensor, "B U K H W"],
    gaussian: Gaussian | None,
    bilateral: Bilateral | None,
    compatibility: Float[Tensor, "K K"] | None = None,
    iterations: int = 10,
) -> Float[Tensor, "B U K H W"]:
    """Probabilities of K labels at every pixel, for U unaries on each of B photographs.

        Q_i(l) ∝ exp(−psi_i(l) − sum over l' of mu(l, l') · sum over kernels of w · f_i(Q(l')))

    starting from Q ∝ exp(−psi), with f the filter of `Lattice.filter`. The unaries of a photograph
    share its lattice; photographs of one size are worked on together.

    Args:
        unaries: energies, minus the logarithm of a probability; finite.
        gaussian: spread in pixels and weight; None: no smoothness.
        bilateral: spread in pixels, spread in colour levels (0 … 255) and weight; None: no
            appearance.
        compatibility: cost mu(l, l') of label l beside label l'; None: Potts, 1 where they differ.
        iterations: rounds of messages.
    """
    labels, pixels = unaries.shape[2], unaries[0, 0, 0].numel()
    if labels == 1 or not unaries.numel():
        return torch.ones_like(unaries)
    energies = unaries.permute(1, 2, 0, 3, 4).reshape(-1, labels, len(images) * pixels)
    kernels = _kernels(images, gaussian, bilateral, energies.dtype)
    messages = _mixture(compatibility, energies, labels)
    relative = evidence = energies[:, :1] - energies[:, 1:]
    if kernels and iterations:
        ones = torch.ones_like(energies[:1, :1])
        evidence = evidence + messages[..., :1] * _filtered(ones, kernels)
    for _ in range(iterations if kernels else 0):
        filtered = _filtered(_probabilities(relative), kernels)
        relative = torch.baddbmm(
            evidence, messages[..., 1:].expand(len(energies), -1, -1), filtered
        )
    zeros = relative.new_zeros(len(relative), 1, relative.shape[2])
    found = torch.softmax(torch.cat((zeros, relative), dim=1), dim=1)
    shape = (*unaries.shape[1:3], len(images), *unaries.shape[3:])
    return found.view(shape).permute(2, 0, 1, 3, 4)


def _kernels(
    images: UInt8[Tensor, "B 3 H W"],
    gaussian: Gaussian | None,
    bilateral: Bilateral | None,
    dtype: torch.dtype,
) -> list[tuple[Lattice, float]]:
    """The lattices with their weights; a kernel without weight is left out."""
    size = (images.shape[2], images.shape[3])
    kernels = []
    if gaussian is not None and gaussian[1]:
        kernels.append((_spatial(size, gaussian[0], images.device, dtype), gaussian[1]))
    if bilateral is not None and bilateral[2]:
        kernels.append((_bilateral(images, bilateral[0], bilateral[1], dtype), bilateral[2]))
    return kernels


@lru_cache(maxsize=8)
def _spatial(size: Size, sxy: float, device: torch.device, dtype: torch.dtype) -> Lattice:
    """The lattice of positions alone, the same for every photograph of a size."""
    return build_lattice(_positions(size, sxy, device, dtype))


def _bilateral(
    images: UInt8[Tensor, "B 3 H W"], sxy: float, srgb: float, dtype: torch.dtype
) -> Lattice:
    """The lattice of positions and colours of all photographs, which never touch each other."""
    count, _, *size = images.shape
    positions = _positions((size[0], size[1]), sxy, images.device, dtype)
    colours = images.to(dtype).div_(srgb).transpose(0, 1).flatten(1)
    features = torch.cat((positions.repeat(1, count), colours))
    if count == 1:
        return build_lattice(features)
    groups = torch.arange(count, device=images.device).repeat_interleave(positions.shape[1])
    return build_lattice(features, groups)


def _positions(
    size: Size, sxy: float, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "2 N"]:
    """Column and row of every pixel, in spreads."""
    rows, columns = (torch.arange(extent, device=device, dtype=dtype) / sxy for extent in size)
    return torch.stack((columns.repeat(size[0]), rows.repeat_interleave(size[1])))


def _mixture(
    compatibility: Float[Tensor, "K K"] | None, like: Float[Tensor, "U K N"], labels: int
) -> Float[Tensor, "1 C K"]:
    """How messages of all labels shift the scores of labels 1 … K − 1 against label 0.

    Label 0 is never filtered: column 0 is for the response to ones, which is the sum of all
    messages, and the others have column 0 taken off.
    """
    costs = 1 - torch.eye(labels) if compatibility is None else compatibility
    gains = (costs[:1] - costs[1:]).to(like)
    return torch.cat((gains[:, :1], gains[:, 1:] - gains[:, :1]), dim=1)[None]


def _filtered(
    probabilities: Float[Tensor, "U C N"], kernels: list[tuple[Lattice, float]]
) -> Float[Tensor, "U C N"]:
    """The weighted sum over the kernels of every filtered channel."""
    total = torch.zeros_like(probabilities)
    for lattice, weight in kernels:
        values = probabilities.reshape(-1, len(lattice.corners))
        total.view_as(values).add_(lattice.filter(values), alpha=weight)
    return total


def _probabilities(relative: Float[Tensor, "U C N"]) -> Float[Tensor, "U C N"]:
    """Probabilities of labels 1 … K − 1 from their scores against label 0."""
    if relative.shape[1] == 1:
        return torch.sigmoid(relative)
    zeros = relative.new_zeros(len(relative), 1, relative.shape[2])
    return torch.softmax(torch.cat((zeros, relative), dim=1), dim=1)[:, 1:]
