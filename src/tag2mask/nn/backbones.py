"""Any timm backbone, and WideResNet-38, as one function from photographs to a grid of features."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tag2mask.errors import InputError
from tag2mask.nn.weights import Normalisation, Weights, embedded_weights, file_weights
from tag2mask.nn.wide_resnet import WideResNet38


@dataclass(frozen=True)
class BackboneOptions:
    """Which network looks at the photographs."""

    name: str = "tf_efficientnet_lite0"
    """Any name that timm knows (timm.list_models()), or wide_resnet38."""
    weights: str = "embedded"
    """A file (safetensors or state dict), "embedded" (a package ships them), "hub" (timm downloads
    them) or "none" (from scratch)."""
    stride: int = 16
    """Pixels per cell of the feature grid. Strides beyond it are dropped, as in IRN, without
    dilation: dilated depthwise layers are slow, and the maps of a frozen network were better
    without (docs/journal.md). wide_resnet38 is dilated as in the field, there at 8."""
    frozen: int = 16
    """Stages up to this reduction keep their pretrained weights. With cells of 16 pixels that is
    all of them: on a few hundred photographs fine-tuning narrows the maps (measured,
    docs/journal.md). IRN, on 10,000, stops the gradient after reduction 8. Where stages learn, give
    the method a rate of 1e-4 and a head of 100: at 1e-3 trainings collapsed (docs/journal.md)."""


MODES: Final = ("embedded", "hub", "none")


class Backbone(nn.Module):
    """A timm network without its classifier.

    Attributes:
        channels: D of the features.
        source: where the weights come from, for the supervision card.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, options: BackboneOptions) -> None:
        super().__init__()
        self.network = _create(options)
        if not isinstance(self.network, WideResNet38):
            undilate(self.network)
        weights = pretrained(options, self.network)
        if weights is not None:
            _load(self.network, weights, options)
        norm = (weights.normalisation if weights else None) or _timm_normalisation(self.network)
        self.register_buffer("mean", torch.tensor(norm.mean).view(1, 3, 1, 1), persistent=False)
        deviation = torch.tensor(norm.deviation).view(1, 3, 1, 1)
        self.register_buffer("deviation", deviation, persistent=False)
        self.source = describe(options, weights)
        self.channels = _channels(self.network)
        freeze_up_to(self.network, options.frozen)

    def train(self, mode: bool = True) -> Backbone:
        """Train or evaluate; BatchNorm always keeps its pretrained statistics (IRN, SEAM)."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """Features of every cell.

        Args:
            images: RGB on 0 … 255.
        """
        images = (images - self.mean) / self.deviation
        features: Tensor = self.network.forward_features(images)
        if features.ndim == 4:
            last = getattr(self.network, "output_fmt", None) == "NHWC"
            return features.permute(0, 3, 1, 2) if last else features
        tokens = features[:, int(getattr(self.network, "num_prefix_tokens", 0)) :]
        h, w = self.network.patch_embed.dynamic_feat_size(images.shape[-2:])
        grid: Tensor = tokens.transpose(1, 2).reshape(len(tokens), -1, h, w)
        return grid


def pretrained(options: BackboneOptions, network: nn.Module) -> Weights | None:
    """The weights that the options ask for; None for "none" and for "hub" (timm loaded them).

    Raises:
        InputError: the backbone has no embedded weights, or the file does not fit.
    """
    if options.weights in ("none", "hub"):
        return None
    blocks: Any = getattr(network, "blocks", ())
    repeats = [len(b) if isinstance(b, nn.Sequential) else 1 for b in blocks]
    if options.weights != "embedded":
        return file_weights(Path(options.weights), repeats)
    weights = embedded_weights(options.name, repeats)
    if weights is None:
        raise InputError(
            f"No package ships weights for {options.name}: give --weights FILE, or --weights hub "
            "to download timm's, or --weights none to start from scratch."
        )
    return weights


def describe(options: BackboneOptions, weights: Weights | None) -> str:
    """What pretraining a backbone brings, for the supervision card."""
    if weights is not None:
        return f"{options.name}: {weights.source}"
    if options.weights == "hub":
        return f"{options.name}: timm's default weights from the hub (see its model card)"
    return f"{options.name}: random weights"


def freeze_up_to(network: nn.Module, reduction: int) -> None:
    """Freeze all layers before and inside the last stage whose reduction is at most this.

    Networks whose first stage already lies above it (plain transformers) stay trainable.
    """
    info: Any = getattr(network, "feature_info", None)
    stages = info if isinstance(info, list) else list(getattr(info, "info", []))
    inside = [s["module"] for s in stages if s["reduction"] <= reduction and s.get("module")]
    if not inside:
        return
    names = [name for name, _ in network.named_parameters()]
    # a network cut into stages says stages_0 where its record says stages.0
    starts = (f"{inside[-1]}.", f"{inside[-1].replace('.', '_')}.")
    last = max((i for i, name in enumerate(names) if name.startswith(starts)), default=-1)
    for parameter in list(network.parameters())[: last + 1]:
        parameter.requires_grad_(False)


def undilate(network: nn.Module) -> None:
    """Make every convolution dense again and keep its output size (IRN: strides 2, 2, 2, 1).

    Even kernels (ConvNeXt's downsampling) stay as they are: dense, they would shrink the grid.
    """
    for module in network.modules():
        odd = isinstance(module, nn.Conv2d) and all(k % 2 for k in module.kernel_size)
        if isinstance(module, nn.Conv2d) and odd and module.dilation != (1, 1):
            if not isinstance(module.padding, str):
                py, px = (p // d for p, d in zip(module.padding, module.dilation, strict=True))
                module.padding = (py, px)
            module.dilation = (1, 1)


def _create(options: BackboneOptions) -> Any:
    wanted: dict[str, Any] = {"pretrained": options.weights == "hub", "num_classes": 0}
    known = timm.list_models()
    architecture = options.name.partition(".")[0]  # what follows is the name of weights
    if architecture not in known:
        near = get_close_matches(architecture, known, 5)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise InputError(f"timm knows no backbone {options.name!r}{hint}.")
    tries: tuple[dict[str, Any], ...] = (
        {"output_stride": options.stride, "global_pool": ""},
        {"dynamic_img_size": True, "dynamic_img_pad": True},
        {"strict_img_size": False},
        {},
    )
    for extra in tries:
        try:
            network = timm.create_model(options.name, **wanted, **extra)
        except (TypeError, NotImplementedError, AssertionError):
            continue
        except (RuntimeError, OSError) as error:  # no such weights, or no way to the hub
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"timm cannot build {options.name} ({reason}); choose another --backbone, or give "
                "--weights FILE."
            ) from None
        cell = _reduction(network)
        if options.stride != cell:
            raise InputError(
                f"{options.name} cannot have cells of {options.stride} pixels; "
                f"expected --stride {cell}, came {options.stride}."
            )
        return network
    raise InputError(f"timm cannot build {options.name} as a backbone; choose another name.")


def _reduction(network: Any) -> int:
    info = network.feature_info
    return int((info if isinstance(info, list) else info.info)[-1]["reduction"])


def _channels(network: Any) -> int:
    return int(network.num_features)


def _timm_normalisation(network: Any) -> Normalisation:
    config = network.default_cfg
    mean = tuple(255 * float(value) for value in config["mean"])
    deviation = tuple(255 * float(value) for value in config["std"])
    return Normalisation(mean, deviation)  # type: ignore[arg-type]


def _load(network: Any, weights: Weights, options: BackboneOptions) -> None:
    head = network.default_cfg.get("classifier") or ()
    heads = (head,) if isinstance(head, str) else tuple(head)
    tensors = {
        name: tensor
        for name, tensor in weights.tensors.items()
        if not any(name.startswith(f"{h}.") for h in heads)
    }
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"The weights {options.weights} do not fit {options.name}: {reason}. "
            "Give the weights of this backbone, or name theirs with --backbone."
        ) from None
