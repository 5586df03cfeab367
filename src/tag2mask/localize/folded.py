"""Networks for asking: BatchNorm folded into the convolution before it."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tag2mask.method import Method

TOLERANCE: Final = 1e-4  # of the largest evidence
Asked = TypeVar("Asked", bound=Method)


def folded(method: Asked, side: int, classes: int) -> Asked:
    """A copy that gives the same maps with fewer operations; the method itself if it cannot be.

        w' = w · γ / σ,   b' = (b − μ) · γ / σ + β

    Which BatchNorm follows which convolution is seen, not read from the code: the method looks at
    one colour ramp, and a pair is a BatchNorm that is handed the very tensor a convolution
    returned, each of them called once. The copy then looks at the same ramp; it is kept if its maps
    agree within 1e-4 of the largest evidence; so a convolution that something else reads too does
    no harm. Evaluation only: the copy has no statistics left to train.

    Args:
        side: pixels of the ramp's sides, which the method must take; a few cells.
        classes: C that the method knows.
    """
    if method.training:
        return method
    images = torch.linspace(0, 255, 3 * side * side).view(1, 3, side, side)
    tags = torch.ones(1, classes, dtype=torch.bool)
    with torch.no_grad():  # not inference mode: the copy's weights stay usable anywhere
        pairs = _pairs(method, images, tags)
        if not pairs:
            return method
        short = copy.deepcopy(method)
        for convolution, norm in pairs:
            _fold(short, convolution, norm)
        expected, found = method.localize(images, tags), short.localize(images, tags)
    allowed = TOLERANCE * float(expected.abs().max())
    same = found.shape == expected.shape and float((found - expected).abs().max()) <= allowed
    return short if same else method


def _pairs(method: Method, images: Tensor, tags: Tensor) -> list[tuple[str, str]]:
    """Names of convolutions and of the BatchNorms that alone were handed what they returned."""
    made: dict[int, tuple[str, Tensor]] = {}  # the tensor is kept, so that its id stays its own
    pairs: list[tuple[str, str]] = []
    calls: Counter[str] = Counter()
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def after(_module: nn.Module, given: Any, found: Any) -> None:
            calls[name] += 1
            if isinstance(module, nn.Conv2d):
                made[id(found)] = (name, found)
            elif id(given[0]) in made:
                pairs.append((made[id(given[0])][0], name))

        handles.append(module.register_forward_hook(after))

    for name, module in method.named_modules():
        if _foldable(module):
            watch(name, module)
    try:
        method.localize(images, tags)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1]


def _foldable(module: nn.Module) -> bool:
    hooked = bool(module._forward_hooks or module._forward_pre_hooks)
    if isinstance(module, _BatchNorm):
        return not hooked and not module.training and module.running_mean is not None
    return isinstance(module, nn.Conv2d) and not hooked


def _fold(method: Method, convolution: str, norm: str) -> None:
    before, after = method.get_submodule(convolution), method.get_submodule(norm)
    if not (isinstance(before, nn.Conv2d) and isinstance(after, _BatchNorm)):
        raise TypeError(f"{convolution} and {norm} are not a convolution and a BatchNorm.")
    fused = fuse_conv_bn_eval(before, after)
    fused.requires_grad_(requires_grad=False)
    method.set_submodule(convolution, fused)
    activation = getattr(after, "act", None)  # timm: a BatchNorm that ends with its activation
    method.set_submodule(norm, activation if activation is not None else nn.Identity())
