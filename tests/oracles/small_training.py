"""A training small enough to repeat; importable, so that spawned processes find it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer

from tag2mask.method import Trainable
from tag2mask.storage import write_tensors
from tag2mask.train import TrainOptions, fit, tag_batches
from tag2mask.types import TagBatch, TaggedImage

CLASSES = 3
OPTIONS = TrainOptions(steps=24, batch=4, warmup=0.1, checkpoint=0.0)


class Small(Trainable[TagBatch]):
    """Two layers, an optimizer each, chance in the objective, and a counter as a bank has."""

    seen: Tensor

    def __init__(self, dropout: float = 0.5, broken_at: float = 2.0) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3, stride=2)
        self.classifier = nn.Linear(6, CLASSES)
        self.dropout, self.broken_at = dropout, broken_at
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def losses(self, batch: TagBatch, progress: float) -> dict[str, Tensor]:
        self.seen += len(batch.images)
        features = self.features(batch.images / 255).relu().mean(dim=(2, 3))
        scores = self.classifier(functional.dropout(features, self.dropout, self.training))
        tags = functional.binary_cross_entropy_with_logits(scores, batch.tags.to(scores.dtype))
        small = 1e-2 * self.classifier.weight.square().sum()
        return {"tags": tags, "small": small / (0 if progress >= self.broken_at else 1)}

    def optimizers(self) -> Sequence[Optimizer]:
        smooth = SGD(self.features.parameters(), lr=0.1, momentum=0.9)
        return [smooth, AdamW(self.classifier.parameters(), lr=1e-2)]


class Smooth(Small):
    """The same without chance and with optimizers in which small gaps stay small."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0)

    def optimizers(self) -> Sequence[Optimizer]:
        return [SGD(self.parameters(), lr=0.05, momentum=0.9)]


def photographs(count: int = 10) -> list[TaggedImage]:
    generator = torch.Generator().manual_seed(3)
    return [
        TaggedImage(
            f"photo {n}",
            torch.randint(0, 256, (3, 20 + n, 30 - n), generator=generator, dtype=torch.uint8),
            torch.rand(CLASSES, generator=generator) < 0.5,
        )
        for n in range(count)
    ]


def train_smooth(fabric: Fabric, folder: Path) -> None:
    """One process's part of a whole training; the first process keeps the weights."""
    torch.manual_seed(0)
    trainable = Smooth()
    ranks = (fabric.global_rank, fabric.world_size)
    batches = tag_batches(photographs(), OPTIONS, 16, 5, *ranks)
    fit(fabric, trainable, batches, OPTIONS, folder, 5, "small")
    if fabric.is_global_zero:
        write_tensors(folder / "weights.safetensors", trainable.state_dict())
    fabric.barrier()
