"""Kinds of background: clusters of a photograph's background features, kept over many batches."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, distributed, nn
from torch.nn import functional

from tag2mask.nn.clusters import cluster_centres


class Bank(nn.Module):
    """The last vectors that came, first in, first out; the same in every process.

    Vectors lie in a ring. A state holds those that are there and no empty places.

    Args:
        capacity: most vectors kept.
        width: D of a vector.
    """

    vectors: Tensor
    cursor: Tensor
    count: Tensor

    def __init__(self, capacity: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(capacity, width))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def push(self, vectors: Float[Tensor, "M D"]) -> None:
        """Keep the vectors of all processes in the order of their ranks; the oldest make room."""
        capacity = len(self.vectors)
        fresh = gathered(vectors.detach().to(self.vectors.dtype))[-capacity:]
        places = (self.cursor + torch.arange(len(fresh), device=self.cursor.device)) % capacity
        self.vectors[places] = fresh
        self.cursor.copy_((self.cursor + len(fresh)) % capacity)
        self.count.add_(len(fresh)).clamp_(max=capacity)

    def draw(self, rows: int, columns: int) -> Float[Tensor, "R M D"]:
        """Vectors drawn uniformly with replacement; none from an empty bank."""
        if int(self.count) == 0:
            return self.vectors.new_zeros(rows, 0, self.vectors.shape[1])
        high = int(self.count)
        return self.vectors[torch.randint(high, (rows, columns), device=self.vectors.device)]

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}vectors"] = destination[f"{prefix}vectors"][: int(self.count)]

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        name = f"{prefix}vectors"
        if name in state_dict:
            missing = max(0, len(self.vectors) - len(state_dict[name]))
            state_dict[name] = functional.pad(state_dict[name], (0, 0, 0, missing))
        super()._load_from_state_dict(state_dict, prefix, *others)


def background_kinds(
    features: Float[Tensor, "B N D"], background: Bool[Tensor, "B N"], clusters: int
) -> Float[Tensor, "M D"]:
    """The NROIs of a batch: every photograph's cluster centres of its background's features.

    A photograph with no more background cells than clusters gives the features themselves; one
    without background gives none.
    """
    centres, there = cluster_centres(features, background, clusters)
    return centres[there]


def gathered(vectors: Float[Tensor, "M D"]) -> Float[Tensor, "G D"]:
    """The vectors of all processes, in the order of their ranks; each may have its own number."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return vectors
    own = torch.tensor([len(vectors)], device=vectors.device)
    counts = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, own)
    longest = max(int(count) for count in counts)
    padded = functional.pad(vectors, (0, 0, 0, longest - len(vectors)))
    parts = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])
