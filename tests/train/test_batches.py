"""Which photographs a step sees is a function of seed and step, on any number of processes."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.small_training import photographs

from tag2mask.nn.padding import PAD_COLOUR
from tag2mask.train import TrainOptions, mask_batches, prefetch, tag_batches
from tag2mask.train.batches import AHEAD, members, share
from tag2mask.types import NO_REGION, UNKNOWN, Cue, PseudoMask, TaggedImage

SEEDS = st.integers(0, 2**31)
OPTIONS = TrainOptions(steps=6, batch=4)


@given(st.integers(1, 17), st.integers(1, 9), SEEDS)
def test_every_epoch_is_a_permutation(count: int, batch: int, seed: int) -> None:
    steps = -(-3 * count // batch)
    stream = [number for step in range(steps) for number in members(step, count, batch, seed)]
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(st.integers(1, 17), st.integers(1, 9), st.integers(0, 50), SEEDS)
def test_every_batch_is_full(count: int, batch: int, step: int, seed: int) -> None:
    chosen = members(step, count, batch, seed)
    assert len(chosen) == batch
    spread = Counter(chosen)
    assert max(spread.values()) <= -(-batch // count) + 1


def test_epochs_and_seeds_differ_in_order() -> None:
    orders = {tuple(members(step, 12, 12, seed)) for step in range(5) for seed in range(5)}
    assert len(orders) == 25


@given(st.lists(st.integers(0, 99), min_size=1, max_size=12), st.integers(1, 5))
def test_shares_partition_the_batch(chosen: list[int], world: int) -> None:
    shares = [share(chosen, rank, world) for rank in range(world)]
    assert sorted(pair for one in shares for pair in one) == list(enumerate(chosen))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("world", [2, 4])
def test_processes_together_see_what_one_sees(world: int) -> None:
    source = photographs()
    (whole,) = tag_batches(source, OPTIONS, 16, 7)(3, 4)
    for rank in range(world):
        (part,) = tag_batches(source, OPTIONS, 16, 7, rank, world)(3, 4)
        assert part.ids == whole.ids[rank::world]
        assert torch.equal(part.images, whole.images[rank::world])
        assert torch.equal(part.tags, whole.tags[rank::world])


def test_a_later_start_goes_on_with_the_same_batches() -> None:
    make = tag_batches(photographs(), OPTIONS, 16, 7)
    for early, late in zip(list(make(0, 6))[4:], make(4, 6), strict=True):
        assert early.ids == late.ids
        assert torch.equal(early.images, late.images)


def test_tags_stay_with_their_photographs() -> None:
    known = {item.id: item.tags for item in photographs()}
    for batch in tag_batches(photographs(), OPTIONS, 16, 7)(0, 6):
        assert batch.images.dtype == torch.float32
        assert float(batch.images.max()) > 100  # 0 … 255, not 0 … 1
        for photo, tags in zip(batch.ids, batch.tags, strict=True):
            assert torch.equal(tags, known[photo])


def test_a_photograph_looks_different_every_time() -> None:
    make = tag_batches(photographs(1), OPTIONS, 16, 7)
    views = torch.cat([batch.images for batch in make(0, 3)])
    assert len({tuple(view.flatten().tolist()) for view in views}) == len(views)


def test_masks_move_with_their_photographs() -> None:
    """Labels are the brightness of the picture, so each pixel tells what it should be."""

    class Bright:
        def __len__(self) -> int:
            return 5

        def __getitem__(self, number: int) -> tuple[torch.Tensor, PseudoMask]:
            labels = torch.full((20, 30), number + 1, dtype=torch.uint8)
            image = (40 * labels).repeat(3, 1, 1)
            return image, PseudoMask(f"photo {number}", labels)

    for batch in mask_batches(Bright(), OPTIONS, 16, 7)(0, 6):
        inside = batch.labels != 255
        assert batch.labels.dtype == torch.int64
        assert torch.equal(batch.images[:, 0][inside], 40.0 * batch.labels[inside])
        for photo, labels, known in zip(batch.ids, batch.labels, inside, strict=True):
            assert labels[known].unique().tolist() == [int(photo[-1]) + 1]


def test_prefetched_items_come_in_order() -> None:
    def make(step: int) -> int:
        time.sleep(0.004 * (step % 3))
        return step

    assert list(prefetch(make, 3, 15)) == list(range(3, 15))
    assert list(prefetch(make, 3, 3)) == []


def test_prefetching_stays_a_few_ahead() -> None:
    made: list[int] = []
    stream = prefetch(lambda step: made.append(step) or step, 0, 100)
    assert [next(stream) for _ in range(5)] == [0, 1, 2, 3, 4]
    time.sleep(0.05)
    stream.close()  # type: ignore[attr-defined]
    assert max(made) < 5 + AHEAD


def test_the_error_of_a_step_is_raised_at_that_step() -> None:
    def make(step: int) -> int:
        if step == 4:
            raise ValueError("photo 4 is broken")
        return step

    before = threading.active_count()
    stream = prefetch(make, 0, 100)
    assert [next(stream) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="photo 4 is broken"):
        next(stream)
    assert threading.active_count() == before


def test_saliency_is_not_rounded_to_labels() -> None:
    item = TaggedImage("a", torch.zeros(3, 20, 30, dtype=torch.uint8), torch.tensor([True]))
    options = TrainOptions(steps=2, batch=2, zoom=(0.8, 1.5))
    cues = {Cue.SALIENCY: [torch.full((20, 30), 0.25)]}
    for batch in tag_batches([item], options, 32, 3, cues=cues)(0, 2):
        found = batch.cues[Cue.SALIENCY]
        assert (found.dtype, tuple(found.shape)) == (torch.float32, (2, 32, 32))
        black = (batch.images == 0).all(dim=1)
        assert torch.equal(found.where(~black, 0.0), torch.zeros_like(found))
        torch.testing.assert_close(found[black], torch.full_like(found[black], 0.25))


@pytest.mark.parametrize(("cue", "outside"), [(Cue.SUPERPIXELS, NO_REGION), (Cue.SEEDS, UNKNOWN)])
def test_cues_travel_with_their_photographs(cue: Cue, outside: int) -> None:
    """Photographs whose colour is their region's number, and a batch made of views of both."""
    blocks = torch.arange(12).view(3, 4).repeat_interleave(10, 0).repeat_interleave(10, 1)
    photographs = [
        TaggedImage(
            str(n), (20 * blocks).to(torch.uint8).flip(n).repeat(3, 1, 1), torch.tensor([True])
        )
        for n in (0, 1)
    ]
    regions = [blocks.flip(0), blocks.flip(1)]
    options = TrainOptions(steps=2, batch=2, zoom=(0.8, 1.5))
    stream = tag_batches(photographs, options, 32, 3, cues={cue: regions})
    plain = tag_batches(photographs, options, 32, 3)
    for batch, without in zip(stream(0, 2), plain(0, 2), strict=True):
        assert torch.equal(batch.images, without.images)
        assert not without.cues
        found = batch.cues[cue]
        inside = found != outside
        assert bool((~inside).any())
        ground = torch.tensor(PAD_COLOUR, dtype=torch.float32)
        assert bool((batch.images.movedim(1, -1)[~inside] == ground).all())
        same = (batch.images[:, 0][inside] - 20 * found[inside]).abs() < 10
        assert float(same.double().mean()) > 0.7
