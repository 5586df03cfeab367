"""Batches as a pure function of seed and step.

Which photographs a step sees and how each is changed depends on the seed and the step alone, so a
resumed training goes on exactly as an uninterrupted one, on any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from tag2mask.train.augment import View, augment, draw_view
from tag2mask.train.options import TrainOptions
from tag2mask.types import (
    NO_REGION,
    UNKNOWN,
    Cue,
    InstanceBatch,
    MaskBatch,
    PseudoMask,
    TagBatch,
    TaggedImage,
)

THREADS = 2  # decoding and resizing let go of Python's lock
AHEAD = 3  # batches prepared before they are needed
OUTSIDE: Final = {Cue.SUPERPIXELS: NO_REGION, Cue.SEEDS: UNKNOWN}  # where there is no photograph

Made = TypeVar("Made")
Item = TypeVar("Item", covariant=True)


@runtime_checkable
class Source(Protocol[Item]):
    """Photographs by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Item: ...


def members(step: int, count: int, batch: int, seed: int) -> list[int]:
    """The photographs of one step: every epoch is a permutation, batches run across epochs."""
    positions = range(step * batch, (step + 1) * batch)
    orders: dict[int, np.ndarray] = {}
    chosen = []
    for position in positions:
        epoch, place = divmod(position, count)
        if epoch not in orders:
            orders[epoch] = np.random.default_rng((seed, 0, epoch)).permutation(count)
        chosen.append(int(orders[epoch][place]))
    return chosen


def share(chosen: list[int], rank: int, world: int) -> list[tuple[int, int]]:
    """One process's part of a step as (place in the batch, photograph)."""
    return list(enumerate(chosen))[rank::world]


def tag_batches(
    source: Source[TaggedImage],
    options: TrainOptions,
    crop: int,
    seed: int,
    rank: int = 0,
    world: int = 1,
    cues: Mapping[Cue, Source[Tensor]] | None = None,
) -> Callable[[int, int], Iterator[TagBatch]]:
    """A function (first step, end) to an iterator over augmented batches.

    Args:
        cues: superpixels or seeds (integers), or saliency (in [0, 1]), of the same photographs,
            moved alike; padding is −1, 255, or 0.
    """
    cues = cues or {}

    def make(step: int) -> TagBatch:
        images, tags, ids = [], [], []
        moved: dict[Cue, list[Tensor]] = {cue: [] for cue in cues}
        for number, draw in _share(step, len(source), options, seed, rank, world):
            item = source[number]
            size = (item.image.shape[1], item.image.shape[2])
            view = draw_view(size, crop, options.zoom, draw)
            images.append(view.photograph(item.image))
            for cue, known in cues.items():
                moved[cue].append(_moved(view, cue, known[number]))
            tags.append(item.tags)
            ids.append(item.id)
        stacked = {cue: torch.stack(views) for cue, views in moved.items()}
        return TagBatch(tuple(ids), _stack(images), torch.stack(tags), stacked)

    return lambda first, end: prefetch(make, first, end)


def mask_batches(
    source: Source[tuple[UInt8[Tensor, "3 H W"], PseudoMask]],
    options: TrainOptions,
    crop: int,
    seed: int,
    rank: int = 0,
    world: int = 1,
) -> Callable[[int, int], Iterator[MaskBatch]]:
    """The same for photographs with a decision per pixel."""

    def make(step: int) -> MaskBatch:
        images, labels, ids = [], [], []
        for number, draw in _share(step, len(source), options, seed, rank, world):
            image, mask = source[number]
            view, moved = augment(image, mask.labels, crop, options.zoom, draw)
            images.append(view)
            labels.append(moved)
            ids.append(mask.id)
        stacked = torch.stack([item.long() for item in labels if item is not None])
        return MaskBatch(tuple(ids), _stack(images), stacked)

    return lambda first, end: prefetch(make, first, end)


def instance_batches(
    source: Source[tuple[UInt8[Tensor, "3 H W"], str, UInt8[Tensor, "_ _"], Int64[Tensor, "n"]]],
    options: TrainOptions,
    crop: int,
    seed: int,
    rank: int = 0,
    world: int = 1,
) -> Callable[[int, int], Iterator[InstanceBatch]]:
    """The same for photographs with objects told apart.

    Args:
        source: photograph, id, the object of every pixel, and the objects' classes.
    """

    def make(step: int) -> InstanceBatch:
        images, numbers, classes, ids = [], [], [], []
        for number, draw in _share(step, len(source), options, seed, rank, world):
            image, photo, known, labels = source[number]
            view = draw_view((image.shape[1], image.shape[2]), crop, options.zoom, draw)
            images.append(view.photograph(image))
            numbers.append(view.labels(known, UNKNOWN).long())
            classes.append(labels)
            ids.append(photo)
        return InstanceBatch(tuple(ids), _stack(images), torch.stack(numbers), tuple(classes))

    return lambda first, end: prefetch(make, first, end)


def prefetch(make: Callable[[int], Made], first: int, end: int) -> Iterator[Made]:
    """`make(step)` for every step in order, a few made ahead in threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: list[Future[Made]] = []
        try:
            for step in range(first, end):
                while len(waiting) < AHEAD and step + len(waiting) < end:
                    waiting.append(pool.submit(make, step + len(waiting)))
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


def _moved(view: View, cue: Cue, known: Tensor) -> Tensor:
    return view.saliency(known) if cue is Cue.SALIENCY else view.labels(known, OUTSIDE[cue])


def _share(
    step: int, count: int, options: TrainOptions, seed: int, rank: int, world: int
) -> Iterator[tuple[int, np.random.Generator]]:
    """The photographs of one process in a step, each with what draws its view."""
    for place, number in share(members(step, count, options.batch, seed), rank, world):
        yield number, np.random.default_rng((seed, 1, step, place))


def _stack(images: list[UInt8[Tensor, "3 S S"]]) -> Float[Tensor, "B 3 S S"]:
    return torch.stack(images).float().contiguous(memory_format=torch.channels_last)
