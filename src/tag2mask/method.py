"""The contract a method fulfils.

One loop trains everything: it asks for named, weighted losses, adds them up, and steps the
optimizers together. Second views, memory banks (buffers, so they are checkpointed), decoders
with an optimizer of their own and warm-ups (they read `progress`) all fit inside `losses`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim import Optimizer

from tag2mask.nn.host import CAMHost, two_rates
from tag2mask.types import Cue, InstanceBatch, MaskBatch, Scalar, TagBatch

Batch = TypeVar("Batch", TagBatch, MaskBatch, InstanceBatch)


class Trainable(nn.Module, ABC, Generic[Batch]):
    """Something the training loop can train."""

    @abstractmethod
    def losses(self, batch: Batch, progress: float) -> dict[str, Scalar]:
        """Weighted, named terms; their sum is the objective.

        Args:
            progress: how much of the training is done, 0 at the first step, below 1 at the last.
        """

    @abstractmethod
    def optimizers(self) -> Sequence[Optimizer]:
        """Optimizers that together own every trainable parameter exactly once.

        The loop steps them together and scales each group's learning rate by the schedule.
        """


class Method(Trainable[TagBatch], ABC):
    """A way from tags to maps."""

    needs: ClassVar[frozenset[Cue]] = frozenset()

    @abstractmethod
    def localize(
        self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]
    ) -> Float[Tensor, "B C h w"]:
        """Non-negative evidence for every class at every cell.

        Args:
            images: RGB on 0 … 255.
            tags: what is in each; evidence of other classes is not read.
        """

    @abstractmethod
    def classify(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C"]:
        """Scores of every class without tags, before the logistic function.

        Args:
            images: RGB on 0 … 255.
        """


class AfterClassifier(Method, ABC):
    """A method that is given another classifier, trained before it on the same tags.

    That classifier is a plain one, the method `cam` with its defaults, on the same backbone.
    """

    @abstractmethod
    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Hear of the other classifier, once, before the own training.

        Args:
            weights: the state of a `CAMHost`.
        """


class HostMethod(CAMHost, Method, ABC):
    """A host that is a method by itself; stands behind the host among a room's bases.

    Its options give `rate`, `head` and `decay`, as `two_rates` takes them.
    """

    options: Any

    def losses(self, batch: TagBatch, progress: float) -> dict[str, Scalar]:
        """The host's own terms."""
        terms, _ = self.look(batch, progress)
        return terms

    def optimizers(self) -> Sequence[Optimizer]:
        """One AdamW, two groups: pretrained layers and the new ones."""
        return [two_rates(self, self.options.rate, self.options.head, self.options.decay)]

    def localize(
        self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]
    ) -> Float[Tensor, "B C h w"]:
        """The host's evidence."""
        return self.evidence(images, tags)


class OnHost(Method, ABC):
    """Terms on a host that the method holds; what it finds and sees is the host's.

    The options give `rate`, `head` and `decay`, as `two_rates` takes them.
    """

    options: Any
    host: CAMHost

    def losses(self, batch: TagBatch, progress: float) -> dict[str, Scalar]:
        """The host's terms."""
        terms, _ = self.host.look(batch, progress)
        return terms

    def optimizers(self) -> Sequence[Optimizer]:
        """The host's AdamW, two groups: pretrained layers and the new ones."""
        return [two_rates(self.host, self.options.rate, self.options.head, self.options.decay)]

    def localize(
        self, images: Float[Tensor, "B 3 H W"], tags: Bool[Tensor, "B C"]
    ) -> Float[Tensor, "B C h w"]:
        """The host's evidence; what is beside the host is needed no more."""
        return self.host.evidence(images, tags)

    def classify(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C"]:
        """The host's scores.

        Args:
            images: RGB on 0 … 255.
        """
        return self.host.classify(images)


class SingleStage(Method, ABC):
    """A method that segments by itself; no second network is needed."""

    @abstractmethod
    def segment(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L H W"]:
        """Logits for every label at every pixel.

        Args:
            images: RGB on 0 … 255.
        """
