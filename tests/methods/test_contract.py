"""What every method promises; a new line in the table is tested without a new line here."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from oracles.small_training import photographs

from tag2mask.method import Method, SingleStage
from tag2mask.methods import METHODS
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.train import TrainOptions, fit, tag_batches
from tag2mask.types import Cue, TagBatch

CLASSES = 3
TAGS = {
    "some": [[True, False, True], [False, True, False]],
    "none": [[False] * CLASSES] * 2,
    "all": [[True] * CLASSES] * 2,
    "one image": [[False, True, False]],
}
SIZES = [(64, 64), (65, 97), (33, 40)]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    return build(request.param)


def build(name: str, seed: int = 0) -> Method:
    """A method of one's own: a copy, for building takes longer than most tests."""
    torch.manual_seed(seed)
    return copy.deepcopy(built(name, seed))


@functools.cache
def built(name: str, seed: int) -> Method:
    backbone = Backbone(BackboneOptions("test_efficientnet", "none"))
    room = METHODS[name]
    placed: Method = room(room.Options(), backbone, CLASSES).to(memory_format=torch.channels_last)
    return placed


def batch(method: Method, size: tuple[int, int] = (64, 64), tags: str = "some") -> TagBatch:
    given = torch.tensor(TAGS[tags])
    images = torch.rand(len(given), 3, *size) * 255
    cues = {
        Cue.SUPERPIXELS: torch.arange(size[0] * size[1]).view(1, *size).repeat(len(given), 1, 1)
        // 64,
        Cue.SALIENCY: torch.rand(len(given), *size),
        Cue.SEEDS: torch.tensor([0, 1, 2, 3, 255])[torch.randint(5, (len(given), *size))],
    }
    ids = tuple(f"photo {n}" for n in range(len(given)))
    return TagBatch(ids, images, given, {cue: cues[cue] for cue in method.needs})


def objective(method: Method, given: TagBatch, progress: float = 0.5) -> torch.Tensor:
    return torch.stack(list(method.losses(given, progress).values())).sum()


@pytest.mark.parametrize("progress", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("tags", TAGS)
def test_the_objective_is_finite_and_so_is_its_gradient(
    method: Method, tags: str, progress: float
) -> None:
    total = objective(method.train(), batch(method, tags=tags), progress)
    assert bool(total.isfinite())
    total.backward()
    assert all(bool(p.grad.isfinite().all()) for p in method.parameters() if p.grad is not None)


def all_tags(count: int) -> torch.Tensor:
    return torch.ones(count, CLASSES, dtype=torch.bool)


@pytest.mark.parametrize("size", SIZES)
def test_terms_are_named_scalars_at_every_size(method: Method, size: tuple[int, int]) -> None:
    terms = method.train().losses(batch(method, size), 0.5)
    assert terms
    for name, value in terms.items():
        assert name
        assert value.shape == ()
        assert bool(value.isfinite())


def test_every_trainable_parameter_has_one_optimizer(method: Method) -> None:
    owners = Counter(
        id(p) for o in method.optimizers() for group in o.param_groups for p in group["params"]
    )
    trainable = {id(p): name for name, p in method.named_parameters() if p.requires_grad}
    assert [name for i, name in trainable.items() if owners[i] != 1] == []
    assert set(owners) == set(trainable)


def test_optimizers_are_new_ones_with_rates_above_zero(method: Method) -> None:
    for optimizer in method.optimizers():
        assert not optimizer.state
        assert all(group["lr"] > 0 for group in optimizer.param_groups)


def test_frozen_parameters_get_no_gradient_and_do_not_move(method: Method) -> None:
    frozen = {name: p.detach().clone() for name, p in method.named_parameters()
              if not p.requires_grad}  # fmt: skip
    assert frozen  # the backbone's first layers are
    optimizers = method.optimizers()
    objective(method.train(), batch(method)).backward()
    for optimizer in optimizers:
        optimizer.step()
    parameters = dict(method.named_parameters())
    for name, before in frozen.items():
        assert parameters[name].grad is None
        assert torch.equal(parameters[name], before)


def test_every_trainable_parameter_gets_a_gradient(method: Method) -> None:
    """At some point of the training; several processes cannot train what is never used."""
    reached: set[str] = set()
    for progress in (0.0, 0.5, 0.999):
        objective(method.train(), batch(method), progress).backward()
        reached |= {name for name, p in method.named_parameters() if p.grad is not None}
    assert reached == {name for name, p in method.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 2])
def test_evidence_is_a_grid_without_negative_values(
    method: Method, size: tuple[int, int], count: int
) -> None:
    method.eval()
    with torch.inference_mode():
        maps = method.localize(torch.rand(count, 3, *size) * 255, all_tags(count))
    assert maps.shape[:2] == (count, CLASSES)
    assert bool((maps >= 0).all())
    assert bool(maps.isfinite().all())
    for cells, pixels in zip(maps.shape[2:], size, strict=True):
        assert 1 <= cells <= pixels


def test_evidence_for_a_photograph_does_not_depend_on_its_neighbours(method: Method) -> None:
    method.eval()
    images = torch.rand(3, 3, 64, 64) * 255
    with torch.inference_mode():
        together = method.localize(images, all_tags(3))
        alone = torch.cat([method.localize(image[None], all_tags(1)) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_scores_for_a_photograph_do_not_depend_on_its_neighbours(method: Method) -> None:
    method.eval()
    images = batch(method).images
    with torch.no_grad():
        both, alone = method.classify(images), method.classify(images[:1])
    assert both.shape == (2, CLASSES)
    assert both.isfinite().all()
    torch.testing.assert_close(both[:1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", [True, False])
def test_the_mode_is_as_it_was(method: Method, mode: bool) -> None:
    method.train(mode)
    before = {name: module.training for name, module in method.named_modules()}
    with torch.inference_mode():
        method.localize(torch.rand(1, 3, 64, 64) * 255, all_tags(1))
        method.losses(batch(method), 0.5)
    assert {name: module.training for name, module in method.named_modules()} == before


@pytest.mark.parametrize("name", METHODS)
def test_the_state_makes_another_one_the_same(name: str) -> None:
    one, other = build(name, 0).eval(), build(name, 1).eval()
    images = torch.rand(2, 3, 65, 97) * 255
    with torch.inference_mode():
        expected = one.localize(images, all_tags(2))
        assert not torch.equal(other.localize(images, all_tags(2)), expected)
        other.load_state_dict(one.state_dict())
        assert torch.equal(other.localize(images, all_tags(2)), expected)


@pytest.mark.parametrize("name", METHODS)
def test_a_single_stage_gives_logits_for_every_pixel(name: str) -> None:
    method = build(name).eval()
    if not isinstance(method, SingleStage):
        return
    with torch.inference_mode():
        logits = method.segment(torch.rand(2, 3, 64, 96) * 255)
    assert logits.shape == (2, CLASSES + 1, 64, 96)


def test_a_few_steps_on_one_batch_lower_the_objective(method: Method) -> None:
    given, optimizers = batch(method.train()), method.optimizers()
    values = []
    for _ in range(8):
        torch.manual_seed(0)
        total = objective(method, given)
        values.append(float(total.detach()))
        total.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert min(values[1:]) < values[0]


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_training_ends_in_the_same_bytes(name: str, tmp_path: Path) -> None:
    regions = [torch.arange(12).view(3, 4) for _ in photographs()]
    cues = {
        Cue.SUPERPIXELS: regions,
        Cue.SALIENCY: [region / 11 for region in regions],
        Cue.SEEDS: [region % (CLASSES + 1) for region in regions],
    }
    options = TrainOptions(steps=5, batch=2, checkpoint=0.0)
    whole = tag_batches(photographs(), options, 48, 1, cues=cues)

    def cut(first: int, end: int) -> Iterator[TagBatch]:
        for step, given in enumerate(whole(first, end), start=first):
            if step == 3:
                raise KeyboardInterrupt
            yield given

    def train(folder: str, interrupted: bool) -> Method:
        method = build(name)
        fabric = Fabric(accelerator="cpu", devices=1)
        stream = cut if interrupted else whole
        fit(fabric, method, stream, options, tmp_path / folder, 1, name)
        return method

    expected = train("whole", interrupted=False)
    with pytest.raises(KeyboardInterrupt):
        train("cut", interrupted=True)
    found = train("cut", interrupted=False).state_dict()
    for key, tensor in expected.state_dict().items():
        assert torch.equal(found[key], tensor), key
    logs = [(tmp_path / folder / "log.jsonl").read_bytes() for folder in ("whole", "cut")]
    assert logs[0] == logs[1]
