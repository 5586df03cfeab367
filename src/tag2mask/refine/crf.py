"""The dense CRF for arrays and tensors: probabilities, refined maps, seed labels.

`dense_crf` needs nothing but a photograph and energies (`unary.py`); `refine_labels` corrects a
decision, `refine_probabilities` decides what a network says; `irn_labels` makes the two-level seed
labels that affinities are learned from; `CRF` is the refiner of the pipeline. Settings are in
`presets.py`.

On a CPU the compiled kernel does the work if it was built, otherwise PyTorch does; both follow
pydensecrf.

    >>> labels = torch.zeros(6, 8, dtype=torch.uint8)
    >>> labels[:, 3:] = 1
    >>> image = torch.full((3, 6, 8), 20, dtype=torch.uint8)
    >>> image[:, :, 4:] = 220
    >>> refine_labels(image, labels)[0].tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.nn.checks import check_photograph, is_finite
from tag2mask.refine.mean_field import mean_field
from tag2mask.refine.presets import PRESETS, CRFOptions
from tag2mask.refine.unary import unary_from_labels, unary_from_probabilities, with_background
from tag2mask.types import BACKGROUND, UNKNOWN, CamSet, Size

Backend = Literal["auto", "native", "torch"]


@torch.no_grad()
def dense_crf(
    image: UInt8[Tensor, "3 H W"],
    unary: Float[Tensor, "*U K h w"],
    options: CRFOptions | None = None,
    compatibility: Float[Tensor, "l l"] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "*U K H W"]:
    """Probabilities of K labels at every pixel, for one or several unaries of one photograph.

    Several share the lattice, which is most of the work. A photograph longer than
    `options.long_side` is worked on at that size: it and the energies are averaged down, the
    probabilities are brought back bilinearly. Memory is bounded so, but for what comes in and goes
    out. A single label has probability 1 everywhere.

    Args:
        unary: energies −log p at every pixel, K×H×W or U×K×H×W; see `unary_from_labels` and
            `unary_from_probabilities`.
        compatibility: cost of two labels beside each other, the mean of both orders; None: Potts,
            1 where they differ.
        options: of these the two kernels, the rounds and the long side count here.
        backend: "native" is the compiled kernel, on a CPU only; "torch" runs anywhere; "auto" is
            the first that can.

    Raises:
        InputError: sizes that differ, energies that are not finite, a kernel that is not there.
    """
    options = options or CRFOptions()
    _check(image, unary, compatibility)
    full = (image.shape[1], image.shape[2])
    size = working_size(full, options)
    if not unary.numel() or unary.shape[-3] == 1:
        return torch.ones_like(unary)
    if compatibility is not None:
        compatibility = (compatibility + compatibility.T) / 2
    unaries = unary[None] if unary.ndim == 3 else unary
    found = _infer(
        shrink(image, size), resize(unaries.float(), size), options, compatibility, backend
    )
    found = resize(found, full)
    return found[0] if unary.ndim == 3 else found


def refine_labels(
    image: UInt8[Tensor, "3 H W"],
    labels: UInt8[Tensor, "H W"],
    total: int | None = None,
    options: CRFOptions = PRESETS["irn"],
    backend: Backend = "auto",
) -> UInt8[Tensor, "H W"]:
    """Labels moved to the edges of the photograph, every pixel decided.

    Only labels that are present take part, which costs nothing: a label that nothing speaks for
    never wins. Unknown pixels (255) follow their surroundings; if nothing else is there, they stay.

    Args:
        total: how many labels share the doubt in a pixel; those present if None.
    """
    present = torch.bincount(labels.flatten(), minlength=UNKNOWN)[:UNKNOWN].nonzero()[:, 0].byte()
    if len(present) < 2:
        return labels.clone() if not len(present) else torch.full_like(labels, int(present[0]))
    numbers = torch.full((UNKNOWN + 1,), UNKNOWN, dtype=torch.uint8, device=labels.device)
    numbers[present.long()] = torch.arange(len(present), dtype=torch.uint8, device=labels.device)
    unary = unary_from_labels(numbers[labels.long()], len(present), options.certainty, total)
    winner = dense_crf(image, unary, options, backend=backend).max(dim=0).indices
    return present.index_select(0, winner.flatten()).view_as(labels)


@torch.no_grad()
def refine_probabilities(
    image: UInt8[Tensor, "3 H W"],
    probabilities: Float[Tensor, "L h w"],
    options: CRFOptions = PRESETS["deeplab"],
    backend: Backend = "auto",
) -> UInt8[Tensor, "H W"]:
    """The label of every pixel by a network's probabilities and the photograph.

    Labels that are nowhere the best take no part: they would not win, and each would cost what one
    that is there costs.

    Args:
        probabilities: of all labels, on any grid over the photograph.
        options: `unary` says whether they count, or the decision they stand for (RTC).
    """
    full = (image.shape[1], image.shape[2])
    present = torch.unique(probabilities.max(dim=0).indices)
    if len(present) < 2:
        return torch.full(full, int(present), dtype=torch.uint8, device=present.device)
    size = working_size(full, options)
    with torch.autocast(probabilities.device.type, enabled=False):
        unary = _energies(resize(probabilities[present].float(), size), options, len(probabilities))
        found = dense_crf(shrink(image, size), unary, options, backend=backend)
    winner = _best(found, full).flatten().long()
    labels: Tensor = present.to(torch.uint8).index_select(0, winner)
    return labels.view(full)


@torch.no_grad()
def irn_labels(
    image: UInt8[Tensor, "3 H W"],
    cams: CamSet,
    foreground: float = 0.30,
    background: float = 0.05,
    options: CRFOptions = PRESETS["irn"],
    backend: Backend = "auto",
) -> UInt8[Tensor, "H W"]:
    """Seed labels that are sure of class or background, 255 between (IRN, section 3.3).

    Maps are decided at a high and at a low level, both decisions are refined on one lattice. Where
    the first sees a class, that is the label; where both see background, it is background.

    Args:
        foreground: level above which a map is sure of its class (IRN .30, AMN .45, SSC .30).
        background: level below which all maps are sure of none (IRN .05, AMN .15, SSC .10).

    Raises:
        InputError: maps that are not finite; the message names the photograph.
    """
    check_photograph(image, cams)
    size = working_size(cams.size, options)
    if not len(cams.classes):
        return torch.full(cams.size, BACKGROUND, dtype=torch.uint8, device=cams.maps.device)
    maps = resize(cams.maps.float(), size)
    decided = [
        with_background(maps, level).max(dim=0).indices.to(torch.uint8)
        for level in (foreground, background)
    ]
    count = len(maps) + 1
    unaries = torch.stack([unary_from_labels(one, count, options.certainty) for one in decided])
    found = dense_crf(shrink(image, size), unaries, options, backend=backend)
    sure, possible = (_best(one, cams.size) for one in found)
    numbers = torch.cat((cams.classes.new_tensor([BACKGROUND]), cams.classes)).to(torch.uint8)
    labels = torch.where(sure > 0, numbers[sure.long()], UNKNOWN)
    return labels.masked_fill((sure == 0) & (possible == 0), BACKGROUND)


class CRF:
    """Dense CRF of the maps of one photograph, as a refiner.

    The maps compete with a background, as `with_background` makes it; out come the probabilities of
    the classes. They are near 0 or 1 almost everywhere, so that the level of a later decision
    hardly matters. A map without any evidence stays zero.
    """

    def __init__(self, options: CRFOptions | None = None, backend: Backend = "auto") -> None:
        self.options = options or CRFOptions()
        self.backend = backend

    @torch.no_grad()
    def __call__(self, image: UInt8[Tensor, "3 H W"], cams: CamSet) -> CamSet:
        """The maps as probabilities, on the working grid.

        Raises:
            InputError: maps that are not finite; the message names the photograph.
        """
        check_photograph(image, cams)
        size = working_size((image.shape[1], image.shape[2]), self.options)
        seen = cams.maps.flatten(1).amax(dim=1) > 0
        refined = cams.maps.new_zeros(len(cams.classes), *size, dtype=torch.float32)
        if seen.any():
            maps = resize(cams.maps[seen].float(), size)
            scores = with_background(maps, self.options.background, self.options.alpha)
            unary = _energies(scores, self.options)
            found = dense_crf(shrink(image, size), unary, self.options, backend=self.backend)
            refined[seen] = found[1:].clamp(0, 1)
        return CamSet(cams.id, cams.classes, refined, cams.size)


def working_size(size: Size, options: CRFOptions) -> Size:
    """(H, W) that a photograph of (H, W) pixels is worked on; never larger."""
    factor = min(1.0, options.long_side / max(size))
    height, width = (max(1, round(extent * factor)) for extent in size)
    return height, width


def shrink(image: UInt8[Tensor, "3 H W"], size: Size) -> UInt8[Tensor, "3 h w"]:
    """The photograph averaged down, a channel at a time, for large ones are large in floats."""
    if tuple(image.shape[1:]) == size:
        return image
    channels = [resize(channel[None].float(), size).round() for channel in image]
    return torch.cat(channels).clamp(0, 255).to(torch.uint8)


def resize(values: Float[Tensor, "*U K h w"], size: Size) -> Float[Tensor, "*U K H W"]:
    """Bilinear to larger sizes, averaged to smaller ones."""
    if tuple(values.shape[-2:]) == size:
        return values
    channels = values.reshape(1, -1, *values.shape[-2:])
    found = functional.interpolate(
        channels, size, mode="bilinear", align_corners=False, antialias=True
    )
    return found.view(*values.shape[:-2], *size)


def native_kernel() -> ModuleType | None:
    """The compiled kernel, if it was built for this Python."""
    try:
        module = import_module("tag2mask.refine.native")
    except ImportError:
        return None
    return module if module.available() else None


def _energies(
    scores: Float[Tensor, "K H W"], options: CRFOptions, total: int | None = None
) -> Float[Tensor, "K H W"]:
    """Of scores themselves, or of the labels that they decide.

    Args:
        total: how many labels share the doubt in a label; those that have scores if None.
    """
    if options.unary == "scores":
        return unary_from_probabilities(scores)
    labels = scores.max(dim=0).indices.to(torch.uint8)
    return unary_from_labels(labels, len(scores), options.certainty, total)


def _infer(
    image: UInt8[Tensor, "3 H W"],
    unaries: Float[Tensor, "U K H W"],
    options: CRFOptions,
    compatibility: Float[Tensor, "K K"] | None,
    backend: Backend,
) -> Float[Tensor, "U K H W"]:
    """Mean field by the kernel that is asked for, or by the first that can."""
    kernel = native_kernel() if backend != "torch" and unaries.device.type == "cpu" else None
    if backend == "native" and kernel is None:
        raise InputError(
            'The CRF kernel "native" came; it was not built, or the energies are not on a CPU. Use '
            'backend="torch", or install again with a C++ compiler at hand.'
        )
    settings = options.gaussian, options.bilateral
    if kernel is None:
        images = image[None].to(unaries.device)
        return mean_field(images, unaries[None], *settings, compatibility, options.iterations)[0]
    found = kernel.mean_field(
        image.permute(1, 2, 0).contiguous().cpu().numpy(),
        unaries.contiguous().numpy(),
        *settings,
        None if compatibility is None else compatibility.float().contiguous().cpu().numpy(),
        options.iterations,
    )
    return torch.from_numpy(found)


def _best(probabilities: Float[Tensor, "K h w"], size: Size) -> UInt8[Tensor, "H W"]:
    """The best label at full size, a label at a time: one channel of floats, not K."""
    best = resize(probabilities[:1], size)[0]
    labels = torch.zeros(size, dtype=torch.uint8, device=best.device)
    for label in range(1, len(probabilities)):
        value = resize(probabilities[label : label + 1], size)[0]
        labels[value > best] = label
        best = torch.maximum(best, value)
    return labels


def _check(
    image: UInt8[Tensor, "3 H W"],
    unary: Float[Tensor, "*U K h w"],
    compatibility: Float[Tensor, "l l"] | None,
) -> None:
    """Refuse what no CRF can be made of."""
    if unary.ndim not in (3, 4) or unary.shape[-2:] != image.shape[1:]:
        raise InputError(
            f"Energies of shape {tuple(unary.shape)} came for a photograph of "
            f"{tuple(image.shape[1:])}; expected K×H×W or U×K×H×W of the photograph's size."
        )
    if compatibility is not None and compatibility.shape != (unary.shape[-3],) * 2:
        raise InputError(
            f"A compatibility of shape {tuple(compatibility.shape)} came for {unary.shape[-3]} "
            "labels; expected one row and one column a label."
        )
    if not is_finite(unary):
        raise InputError(
            "Energies with NaN or infinity came; expected finite numbers. Keep probabilities above "
            "zero before the logarithm, as unary_from_probabilities does."
        )
