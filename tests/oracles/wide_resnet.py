"""WideResNet-38 as a list of published layers and a walk along it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

# stage: how many blocks, the channels of its 3 × 3 convolutions, by which the first is strided,
# and the dilations of first and other convolutions; at 8 pixels a cell (ademxapp, PSA)
PLAIN = {
    "b2": (3, (128, 128), 2, (1, 1)),
    "b3": (3, (256, 256), 2, (1, 1)),
    "b4": (6, (512, 512), 2, (1, 1)),
    "b5": (3, (512, 1024), 1, (1, 2)),
}
LAST = {"b6": (512, 1024, 2048), "b7": (1024, 2048, 4096)}


def names_of(stage: str, blocks: int) -> list[str]:
    return [stage, *(f"{stage}_{turn}" for turn in range(1, blocks))]


def published() -> dict[str, tuple[int, ...]]:
    """Every entry of the field's converted checkpoint and its shape, written out by hand."""
    shapes: dict[str, tuple[int, ...]] = {"conv1a.weight": (64, 3, 3, 3)}

    def norm(name: str, channels: int) -> None:
        for entry in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{entry}"] = (channels,)

    given = 64
    for stage, (blocks, (middle, made), _, _) in PLAIN.items():
        for name in names_of(stage, blocks):
            norm(f"{name}.bn_branch2a", given)
            shapes[f"{name}.conv_branch2a.weight"] = (middle, given, 3, 3)
            norm(f"{name}.bn_branch2b1", middle)
            shapes[f"{name}.conv_branch2b1.weight"] = (made, middle, 3, 3)
            if given != made:
                shapes[f"{name}.conv_branch1.weight"] = (made, given, 1, 1)
            given = made
    for name, (first, second, made) in LAST.items():
        norm(f"{name}.bn_branch2a", given)
        shapes[f"{name}.conv_branch2a.weight"] = (first, given, 1, 1)
        norm(f"{name}.bn_branch2b1", first)
        shapes[f"{name}.conv_branch2b1.weight"] = (second, first, 3, 3)
        norm(f"{name}.bn_branch2b2", second)
        shapes[f"{name}.conv_branch2b2.weight"] = (made, second, 1, 1)
        shapes[f"{name}.conv_branch1.weight"] = (made, given, 1, 1)
        given = made
    norm("bn7", given)
    return shapes


def narrow(shapes: Mapping[str, tuple[int, ...]], share: int) -> dict[str, tuple[int, ...]]:
    """The same with one in so many channels; the picture keeps its three colours."""
    return {
        name: tuple(n if n <= 3 else n // share for n in shape) for name, shape in shapes.items()
    }


def drawn(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """A state with these shapes that keeps the size of what passes through it."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        if len(shape) == 4:
            values /= (shape[1] * shape[2] * shape[3]) ** 0.5
        elif name.endswith(("running_var", "weight")):
            values = 0.5 + values.abs()
        state[name] = values
    return state


def features(state: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
    """conv3 … conv6 of the field, at 8 pixels a cell and without dropout."""

    def active(name: str, x: Tensor) -> Tensor:
        weight, bias, mean, var = (
            state[f"{name}.{entry}"][:, None, None]
            for entry in ("weight", "bias", "running_mean", "running_var")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * weight + bias).clamp(min=0)

    def conv(name: str, x: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        padding = dilation * (weight.shape[-1] // 2)
        return functional.conv2d(x, weight, None, stride, padding, dilation)

    found = {}
    x = conv("conv1a", images)
    for stage, (blocks, _, stride, (first, others)) in PLAIN.items():
        for name in names_of(stage, blocks):
            head = name == stage
            a = active(f"{name}.bn_branch2a", x)
            if name in ("b4", "b5"):
                found["conv3" if name == "b4" else "conv4"] = a
            way = stride if head else 1
            beside = conv(f"{name}.conv_branch1", a, way) if head else x
            inner = conv(f"{name}.conv_branch2a", a, way, first if head else others)
            x = beside + conv(
                f"{name}.conv_branch2b1", active(f"{name}.bn_branch2b1", inner), 1, others
            )
    for name in LAST:
        a = active(f"{name}.bn_branch2a", x)
        if name == "b6":
            found["conv5"] = a
        inner = active(f"{name}.bn_branch2b1", conv(f"{name}.conv_branch2a", a))
        inner = active(f"{name}.bn_branch2b2", conv(f"{name}.conv_branch2b1", inner, 1, 4))
        x = conv(f"{name}.conv_branch1", a) + conv(f"{name}.conv_branch2b2", inner)
    found["conv6"] = active("bn7", x)
    return found
