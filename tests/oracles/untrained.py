"""A method that is only asked."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.optim import Optimizer

from tag2mask.method import Method
from tag2mask.types import TagBatch


class Untrained(Method):
    """Stands behind methods of tests that say where things are, and learn nothing."""

    def losses(self, batch: TagBatch, progress: float) -> dict[str, Tensor]:
        raise NotImplementedError

    def optimizers(self) -> Sequence[Optimizer]:
        raise NotImplementedError

    def classify(self, images: Tensor) -> Tensor:
        raise NotImplementedError
