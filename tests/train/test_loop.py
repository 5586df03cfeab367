"""The one loop: its schedule, its log, and the same bytes after any interruption."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from oracles.schedule import factor
from oracles.small_training import OPTIONS, Small, photographs, train_smooth
from torch import Tensor

from tag2mask.storage import read_tensors
from tag2mask.train import TrainOptions, fit, loop, resolved, tag_batches
from tag2mask.types import TagBatch

Batches = Callable[[int, int], Iterator[TagBatch]]


def fabric(**options: Any) -> Fabric:
    return Fabric(accelerator="cpu", devices=options.pop("devices", 1), **options)


def batches() -> Batches:
    return tag_batches(photographs(), OPTIONS, 16, 5)


def train(folder: Path, stream: Batches, small: Small | None = None, seed: int = 5) -> Small:
    torch.manual_seed(0)
    small = small or Small()
    fit(fabric(), small, stream, OPTIONS, folder, seed, "small")
    return small


def cut_at(step: int) -> Batches:
    def stream(first: int, end: int) -> Iterator[TagBatch]:
        for number, batch in enumerate(batches()(first, end), start=first):
            if number == step:
                raise KeyboardInterrupt
            yield batch

    return stream


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert set(one) == set(other)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("power", [0.9, 1.0, 0.0])
def test_the_schedule_in_numbers(warmup: float, power: float) -> None:
    options = TrainOptions(steps=100, power=power, warmup=warmup)
    for step in range(100):
        expected = factor(step, 100, power, warmup)
        assert loop.schedule(step / 100, options) == pytest.approx(expected, rel=1e-12)


def test_the_rate_rises_falls_and_is_never_zero() -> None:
    rates = [loop.schedule(step / 300, OPTIONS) for step in range(300)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert min(rates) > 0


def test_steps_follow_the_epochs_unless_given() -> None:
    assert resolved(TrainOptions(steps=7), 1000).steps == 7
    options = resolved(TrainOptions(epochs=3, batch=16), 2001)
    assert options.steps is not None
    assert 16 * (options.steps - 1) < 3 * 2001 <= 16 * options.steps


def test_the_log_tells_every_term_and_the_rate(tmp_path: Path) -> None:
    train(tmp_path, batches())
    records = log_of(tmp_path)
    assert [record["step"] for record in records] == [0, 10, 20, 23]
    for record in records:
        assert record["lr"] == pytest.approx(0.1 * factor(record["step"], 24, 0.9, 0.1))
        assert set(record["terms"]) == {"tags", "small"}
        assert record["total"] == pytest.approx(sum(record["terms"].values()), rel=1e-6)


def test_training_learns_and_ends_in_evaluation(tmp_path: Path) -> None:
    trained = train(tmp_path, batches())
    assert not trained.training
    assert int(trained.seen) == 24 * 4
    assert all(parameter.grad is None for parameter in trained.parameters())
    records = log_of(tmp_path)
    assert records[-1]["total"] < records[0]["total"]


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    one = train(tmp_path / "a", batches()).state_dict()
    torch.rand(17)  # what was drawn before does not matter
    assert_same(one, train(tmp_path / "b", batches()).state_dict())
    other = train(tmp_path / "c", batches(), seed=6).state_dict()  # dropout draws differently
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize("stops", [(1,), (13,), (5, 12, 23)])
def test_an_interrupted_training_ends_in_the_same_bytes(
    tmp_path: Path, stops: tuple[int, ...]
) -> None:
    whole = train(tmp_path / "whole", batches())
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut", cut_at(stop))
    resumed = train(tmp_path / "cut", batches())
    assert_same(whole.state_dict(), resumed.state_dict())
    logs = [(tmp_path / name / "log.jsonl").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1]


def test_a_resumed_training_repeats_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, cut_at(13))
    starts = []

    def watched(first: int, end: int) -> Iterator[TagBatch]:
        starts.append((first, end))
        return batches()(first, end)

    train(tmp_path, watched)
    train(tmp_path, watched)  # the weights were not kept: nothing but a reading is left to do
    assert starts == [(13, 24), (24, 24)]


@pytest.mark.parametrize("call", [1, 11])
def test_a_kill_while_saving_loses_no_line_and_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Between the log and the checkpoint: the log is ahead then."""
    whole = train(tmp_path / "whole", batches())
    save, calls = loop.save_checkpoint, []

    def killed(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut", batches())
    resumed = train(tmp_path / "cut", batches())
    assert_same(whole.state_dict(), resumed.state_dict())
    logs = [(tmp_path / name / "log.jsonl").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1]


def test_an_objective_that_is_not_finite_names_step_and_term(tmp_path: Path) -> None:
    def halves(first: int, end: int) -> Iterator[TagBatch]:
        for batch in batches()(first, end):
            yield TagBatch(
                batch.ids, batch.images * (1 if len(seen) < 3 else torch.nan), batch.tags
            )
            seen.append(1)

    seen: list[int] = []
    pattern = r"small: the objective at step 3 is not finite \(tags nan, small 0\.\d+\)"
    with pytest.raises(RuntimeError, match=pattern):
        train(tmp_path, halves)
    kept = read_tensors(tmp_path / "checkpoint.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())


@pytest.mark.slow  # two new processes import everything
def test_two_devices_train_to_the_weights_of_one(tmp_path: Path) -> None:
    for name, devices in (("one", 1), ("two", 2)):
        strategy = "auto" if devices == 1 else "ddp_spawn"
        fabric(devices=devices, strategy=strategy).launch(train_smooth, tmp_path / name)
    one, two = (read_tensors(tmp_path / n / "weights.safetensors") for n in ("one", "two"))
    assert int(one.pop("seen")) == 2 * int(two.pop("seen"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_a_resumed_training_goes_on_on_the_accelerator(tmp_path: Path) -> None:
    for stream, small in ((cut_at(9), Small()), (batches(), Small())):
        try:
            fit(Fabric(accelerator="cuda", devices=1), small, stream, OPTIONS, tmp_path, 5, "small")
        except KeyboardInterrupt:
            continue
    assert log_of(tmp_path)[-1]["step"] == 23
