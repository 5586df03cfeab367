"""Hosts: classifiers that hand over their features and their raw responses.

A host is a backbone and a 1 × 1 classifier, read before the pooling. The rooms `cam` and `drs` are
methods on one; modules that sit on a host (reconstruction, self-modulation) take it by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW
from torch.utils.hooks import RemovableHandle

from tag2mask.nn.backbones import Backbone
from tag2mask.types import Cue, Scalar, TagBatch

INITIAL: Final = 0.01  # deviation of new weights; torchvision does so for new linear layers
DELTA: Final = 0.55  # official code of DRS and of SSC
EPSILON: Final = 1e-5  # maps are divided by their maximum plus this (IRN)
EARLY: Final = 8  # first of this reduction is suppressed while training: ResNet's layer2


@dataclass(frozen=True, slots=True)
class View:
    """What a host saw in one view of a batch: all that modules on a host may use.

    Attributes:
        features: what the classifier reads; the gradient passes.
        responses: raw, of every class and of either sign; the gradient passes.
        maps: the host's best evidence, without gradient: each map divided by its maximum, zero for
            classes that the tags do not name.
    """

    features: Float[Tensor, "B D h w"]
    responses: Float[Tensor, "B C h w"]
    maps: Float[Tensor, "B C h w"]


class CAMHost(nn.Module):
    """A backbone and a 1 × 1 classifier without bias.

    Args:
        threshold: the tag loss averages features above this share of their channel's maximum
            (thresholded average pooling), or all cells if None.
    """

    needs: ClassVar[frozenset[Cue]] = frozenset()

    def __init__(self, backbone: Backbone, classes: int, threshold: float | None = None) -> None:
        super().__init__()
        self.backbone, self.threshold = backbone, threshold
        self.classifier = nn.Conv2d(backbone.channels, classes, 1, bias=False)
        nn.init.normal_(self.classifier.weight, std=INITIAL)

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """What the classifier reads.

        Args:
            images: RGB on 0 … 255.
        """
        found: Tensor = self.backbone(images)
        return found

    def forward(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B D h w"], Float[Tensor, "B C h w"]]:
        """Features, and the raw responses of every class (of either sign).

        Args:
            images: RGB on 0 … 255.
        """
        features = self.features(images)
        return features, self.classifier(features)

    def look(self, batch: TagBatch, progress: float) -> tuple[dict[str, Scalar], tuple[View, ...]]:
        """The host's own weighted terms, and what it saw in every view of the batch.

        Args:
            progress: how much of the training is done, from 0 to below 1.
        """
        features, responses = self(batch.images)
        view = View(features, responses, normalised(responses.detach(), batch.tags))
        return {"tags": tag_loss(self.pooled(features, responses), batch.tags)}, (view,)

    def pooled(
        self, features: Float[Tensor, "B D h w"], responses: Float[Tensor, "B C h w"]
    ) -> Float[Tensor, "B C _ _"]:
        """What the tag loss averages: the responses, or those to thresholded features."""
        if self.threshold is None:
            return responses
        scores: Tensor = self.classifier(thresholded_mean(features, self.threshold))
        return scores

    def classify(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C"]:
        """Scores of every class, as the tag loss takes them; above zero the class is seen.

        Args:
            images: RGB on 0 … 255.
        """
        features, responses = self(images)
        return self.pooled(features, responses).mean(dim=(2, 3))

    def evidence(
        self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]
    ) -> Float[Tensor, "B C h w"]:
        """Non-negative maps for localisation.

        Args:
            images: RGB on 0 … 255.
            tags: what is in each.
        """
        _, responses = self(images)
        maps: Tensor = responses.relu()
        return maps


class Suppression(nn.Module):
    """Discriminative region suppression without parameters: peaks are cut to a share.

    x'_i = min(x_i, δ · max(0, max over the places j of x_j)), for every channel by itself

    The paper rectifies first; so are its inputs here where the network does that. What is below
    zero stays, for linear bottlenecks carry it on.

    Args:
        training_only: nothing happens in evaluation.
        places: the two dimensions of the grid.
    """

    def __init__(
        self, delta: float, training_only: bool = False, places: tuple[int, int] = (2, 3)
    ) -> None:
        super().__init__()
        self.delta, self.training_only, self.places = delta, training_only, places

    def forward(self, features: Tensor) -> Tensor:
        """The same shape, nothing above δ times its channel's maximum."""
        if self.training_only and not self.training:
            return features
        peaks = features.amax(dim=self.places, keepdim=True).clamp(min=0)
        return torch.minimum(features, self.delta * peaks)

    def follow(self, module: nn.Module) -> RemovableHandle:
        """Suppress what a module puts out, from now on; names of its weights stay."""
        return module.register_forward_hook(self._after)

    def _after(self, _module: nn.Module, _given: Any, found: Tensor) -> Tensor:
        return cast(Tensor, self(found))


class DRSHost(CAMHost):
    """A host whose peaks are suppressed on the way.

    In training after the first stage at reduction 8; always on the activations that close the
    residual blocks of the last stage (ResNet, RegNet). Blocks of other networks end without an
    activation; there the features that the classifier reads are suppressed once.

    Args:
        always: suppress after the stage at reduction 8 in evaluation too.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        delta: float = DELTA,
        always: bool = False,
        threshold: float | None = None,
    ) -> None:
        super().__init__(backbone, classes, threshold)
        network = backbone.network
        last_axis = getattr(network, "output_fmt", None) == "NHWC"
        self.early = Suppression(delta, not always, (1, 2) if last_axis else (2, 3))
        self.late = Suppression(delta)
        early = [s["module"] for s in stages(network) if s["reduction"] == EARLY]
        if early:
            self.early.follow(stage(network, early[0]))
        self.closing = len(closing := closing_activations(network))
        for activation in closing:
            self.late.follow(activation)

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """What the classifier reads, peaks suppressed.

        Args:
            images: RGB on 0 … 255.
        """
        found = super().features(images)
        suppressed: Tensor = found if self.closing else self.late(found)
        return suppressed


def tag_loss(responses: Float[Tensor, "B C h w"], tags: Bool[Tensor, "B C"]) -> Scalar:
    """The multi-label soft margin of the pooled scores.

    -1/C sum_c [ t_c log s(x_c) + (1 - t_c) log s(-x_c) ],  s the logistic function
    """
    scores = responses.mean(dim=(2, 3))
    return functional.multilabel_soft_margin_loss(scores, tags.to(scores.dtype))


def thresholded_mean(features: Float[Tensor, "B D h w"], share: float) -> Float[Tensor, "B D 1 1"]:
    """Thresholded average pooling: each channel's mean over the cells where it is strong.

        p_d = sum over cells of f_d [f_d > τ_d] / max(1, number of them),  τ_d = share · max of f_d

    W. Bae, J. Noh, G. Kim: Rethinking Class Activation Mapping for Weakly Supervised Object
    Localization, ECCV 2020. A mean over few cells does not punish small objects.
    """
    with torch.no_grad():
        strong = (features > share * features.amax(dim=(2, 3), keepdim=True)).to(features.dtype)
        weights = strong / strong.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    pooled: Tensor = (features * weights).sum(dim=(2, 3), keepdim=True)
    return pooled


def normalised(
    responses: Float[Tensor, "B C h w"], tags: Bool[Tensor, "B C"]
) -> Float[Tensor, "B C h w"]:
    """The maps of the tags over their peaks, zero for classes that the tags do not name."""
    return over_peak(responses * tags[:, :, None, None])


def over_peak(maps: Float[Tensor, "*B H W"], still: bool = False) -> Float[Tensor, "*B H W"]:
    """A = max(0, F) / (max over cells of max(0, F) + 1e-5); zero where nothing is above zero.

    Args:
        still: the maximum passes no gradient. Otherwise a map comes nearer to a target above it by
            losing its peak, too.
    """
    positive = maps.relu()
    peak = positive.amax(dim=(-2, -1), keepdim=True)
    scaled: Tensor = positive / ((peak.detach() if still else peak) + EPSILON)
    return scaled


def two_rates(host: nn.Module, rate: float, head: float, decay: float) -> AdamW:
    """One AdamW, two groups: pretrained layers, and the new ones `head` times as fast."""
    every = [(".backbone." in f".{name}", p) for name, p in host.named_parameters()]
    pretrained = [p for inside, p in every if p.requires_grad and inside]
    new = [p for inside, p in every if p.requires_grad and not inside]
    groups = [{"params": pretrained, "lr": rate}, {"params": new, "lr": rate * head}]
    return AdamW([g for g in groups if g["params"]], weight_decay=decay)


def stages(network: nn.Module) -> list[dict[str, Any]]:
    """A network's stages as timm records them: `module`, `reduction`, `num_chs`."""
    info: Any = network.feature_info
    return list(info if isinstance(info, list) else info.info)


def stage(network: nn.Module, name: str) -> nn.Module:
    """A stage by its recorded name; a network cut into stages says stages_0 for stages.0."""
    known: dict[str, nn.Module] = dict(network.named_modules())
    return known[name] if name in known else known[name.replace(".", "_")]


def closing_activations(network: nn.Module) -> list[nn.Module]:
    """The activations after the sums of the last stage's residual blocks, if they have any."""
    found = []
    for block in stage(network, stages(network)[-1]["module"]).children():
        names = [name for name in ("act3", "act2") if hasattr(block, name)]
        if names:
            found.append(cast(nn.Module, getattr(block, names[0])))
    return found
