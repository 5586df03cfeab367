"""What frozen layers see of a view, computed once for every row that looks at the same view.

All rows of a table draw the same views under the same seed, and most of them stand on the same
frozen layers; those cost most of a step. `remember()` lets timm's EfficientNets (the embedded
backbone, and the encoder of the network that masks teach) look a view's features up by its
content. Numbers differ from a run without it as they differ between batches of another size: by
rounding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.models.efficientnet import EfficientNet, EfficientNetFeatures
from torch import Tensor, nn

from tag2mask.nn.host import Suppression

Key = tuple[Any, ...]
_seen: dict[Key, Tensor] = {}
COUNT = {"found": 0, "computed": 0}


def forget() -> None:
    """Drop all that is remembered; the next seed draws other views."""
    _seen.clear()


@contextmanager
def remember() -> Iterator[None]:
    """EfficientNets remember the frozen layers before their first trainable one."""
    kept = EfficientNet.forward_features, EfficientNetFeatures.forward
    EfficientNet.forward_features = _features
    EfficientNetFeatures.forward = _every_feature
    try:
        yield
    finally:
        EfficientNet.forward_features, EfficientNetFeatures.forward = kept


def _features(network: Any, images: Tensor) -> Tensor:
    last = [len(network.blocks) + 1]  # the stem and its norm stand before the blocks
    found: Tensor = _walk(network, images, last)[0]
    features: Tensor = network.bn2(network.conv_head(found))
    return features


def _every_feature(network: Any, images: Tensor) -> list[Tensor]:
    # stage 0 is the stem: its norm is the second layer of the chain
    return _walk(network, images, [int(index) + 1 for index in sorted(network._stage_out_idx)])


def _walk(network: Any, images: Tensor, wanted: list[int]) -> list[Tensor]:
    """The outputs of the wanted layers of stem, norm, blocks."""
    chain: list[nn.Module] = [network.conv_stem, network.bn1, *network.blocks]
    front = _frozen(chain)
    if front < 2 or images.requires_grad or _hooked_inside(chain[:front]):
        return _run(chain, images, 0, wanted)
    stored = sorted({i for i in wanted if i < front} | {front - 1} | _watched(chain[:front]))
    about = _about(chain[:front], images)
    names = [_content(image) for image in images]
    keys = [[(name, index, *about) for name in names] for index in stored]
    if not all(key in _seen for row in keys for key in row):
        COUNT["computed"] += len(images)
        with torch.no_grad():
            found = _run(chain[:front], images, 0, stored)
        with torch.inference_mode(mode=False):
            for row, output in zip(keys, found, strict=True):
                for key, one in zip(row, output, strict=True):
                    _seen[key] = one.detach().clone(memory_format=torch.contiguous_format)
    else:
        COUNT["found"] += len(images)
        found = [_batch(row) for row in keys]
        for index, output in zip(stored, found, strict=True):
            for hook in chain[index]._forward_hooks.values():
                if not _suppresses(hook):
                    hook(chain[index], (None,), output)
    known = dict(zip(stored, found, strict=True))
    later = [i for i in wanted if i >= front]
    known |= dict(zip(later, _run(chain, known[front - 1], front, later), strict=True))
    return [known[index] for index in wanted]


def _run(chain: list[nn.Module], given: Tensor, start: int, wanted: list[int]) -> list[Tensor]:
    found = {}
    for index in range(start, max(wanted, default=start - 1) + 1):
        given = chain[index](given)
        found[index] = given
    return [found[index] for index in wanted]


def _batch(keys: list[Key]) -> Tensor:
    found = torch.stack([_seen[key] for key in keys])
    return found.contiguous(memory_format=torch.channels_last)


def _frozen(chain: list[nn.Module]) -> int:
    """How many layers stand before the first one that learns."""
    for index, module in enumerate(chain):
        if any(p.requires_grad for p in module.parameters()):
            return index
    return len(chain)


def _suppresses(hook: Callable[..., Any]) -> bool:
    return isinstance(getattr(hook, "__self__", None), Suppression)


def _watched(front: list[nn.Module]) -> set[int]:
    return {
        index
        for index, module in enumerate(front)
        if any(not _suppresses(hook) for hook in module._forward_hooks.values())
    }


def _hooked_inside(front: list[nn.Module]) -> bool:
    below = (inner for module in front for inner in list(module.modules())[1:])
    return any(inner._forward_hooks for inner in below)


def _about(front: list[nn.Module], images: Tensor) -> Key:
    """What else decides the outputs: the weights, and which peaks are cut on the way."""
    cuts: list[Any] = []
    for index, module in enumerate(front):
        for hook in module._forward_hooks.values():
            owner = getattr(hook, "__self__", None)
            if isinstance(owner, Suppression) and (owner.training or not owner.training_only):
                cuts += [index, owner.delta]
    weights = [float(p.detach().flatten()[:8].sum()) for m in front for p in m.parameters()]
    return (tuple(images.shape[-2:]), str(images.dtype), hash(tuple(weights)), *cuts)


def _content(image: Tensor) -> bytes:
    values = image.detach().permute(1, 2, 0).contiguous().cpu().numpy()
    return hashlib.blake2b(values.tobytes(), digest_size=16).digest()
