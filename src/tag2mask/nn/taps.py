"""What a backbone's inner stages put out, seen while it looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from tag2mask.nn.host import stage, stages
from tag2mask.types import Size

COUNT = 2  # stages before the last: blocks 4 and 5 of WideResNet-38, layers 2 and 3 of a ResNet


def inner_stages(network: nn.Module) -> tuple[list[nn.Module], list[int]]:
    """The two stages before the last and their channels; of fewer stages what there is."""
    known = stages(network)
    inner = known[-COUNT - 1 : -1] or known
    return [showing(network, s) for s in inner], [int(s["num_chs"]) for s in inner]


def showing(network: nn.Module, known: Mapping[str, Any]) -> nn.Module:
    """The module that puts a stage out as the next one reads it; mostly the stage itself.

    WideResNet-38 rectifies at the head of the next stage.

    Args:
        known: what the network's record says of the stage.
    """
    return stage(network, known.get("shown", known["module"]))


@contextmanager
def watching(modules: Sequence[nn.Module], gradient: bool = False) -> Iterator[list[Tensor]]:
    """What the modules put out from here on, in the order in which they run.

    Args:
        gradient: it passes through what is seen.
    """
    seen: list[Tensor] = []

    def note(_module: nn.Module, _given: Any, found: Tensor) -> None:
        seen.append(found if gradient else found.detach())

    handles = [module.register_forward_hook(note) for module in modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def as_grid(network: nn.Module, found: Tensor, size: Size) -> Float[Tensor, "B D _ _"]:
    """A stage's output with channels first; a transformer's tokens on the grid of its features.

    Args:
        size: (h, w) of the backbone's features.
    """
    if found.ndim == 3:
        tokens = found[:, -size[0] * size[1] :]
        return tokens.transpose(1, 2).reshape(len(found), -1, *size)
    last = getattr(network, "output_fmt", None) == "NHWC"
    return found.permute(0, 3, 1, 2) if last else found
