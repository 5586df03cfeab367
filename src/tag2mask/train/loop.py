"""The one training loop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from tag2mask.method import Trainable
from tag2mask.progress import track
from tag2mask.storage import write_text
from tag2mask.train.checkpoint import load_checkpoint, save_checkpoint
from tag2mask.train.options import TrainOptions

SEED_STRIDE = 1_000_003  # primes: seeds of different runs, processes and steps do not meet
RANK_STRIDE = 15_485_863
LOG_EVERY = 10


def fit(
    fabric: Fabric,
    trainable: Trainable[Any],
    batches: Callable[[int, int], Iterator[Any]],
    options: TrainOptions,
    folder: Path,
    seed: int,
    title: str,
) -> None:
    """Train to the end, from the last checkpoint in `folder` if there is one.

    Every step's random state comes from seed and step, so a resumed training ends in the same
    bytes. Losses go to `log.jsonl`; the checkpoint is removed by who keeps the weights.

    Raises:
        RuntimeError: the objective is not finite; the message names step and terms.
    """
    if options.steps is None:
        raise ValueError("The number of steps is not worked out; call `resolved` first.")
    optimizers = list(trainable.optimizers())
    rates = [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in optimizers]
    checkpoint = folder / "checkpoint.safetensors"
    module, *stepped = fabric.setup(trainable, *optimizers)
    precision = fabric.strategy.precision
    # after the setup: states go where weights are
    done = load_checkpoint(checkpoint, trainable, optimizers, precision)
    log = _kept_log(folder / "log.jsonl", done)
    module.mark_forward_method("losses")
    module.train()
    saved = time.monotonic()
    stream = track(batches(done, options.steps), title, options.steps, done)
    for step, batch in enumerate(stream, start=done):
        progress = step / options.steps
        torch.manual_seed(seed * SEED_STRIDE + fabric.global_rank * RANK_STRIDE + step)
        for optimizer, starts in zip(optimizers, rates, strict=True):
            for group, start in zip(optimizer.param_groups, starts, strict=True):
                group["lr"] = start * schedule(progress, options)
        losses = module.losses(batch.to(fabric.device), progress)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            terms = ", ".join(
                f"{name} {float(value.detach()):.3g}" for name, value in losses.items()
            )
            raise RuntimeError(f"{title}: the objective at step {step} is not finite ({terms}).")
        fabric.backward(total)
        for optimizer in stepped:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % LOG_EVERY == 0 or step + 1 == options.steps:
            log.append(_line(step, optimizers[0].param_groups[0]["lr"], total, losses))
        if time.monotonic() - saved > options.checkpoint and fabric.is_global_zero:
            write_text(folder / "log.jsonl", "".join(log))
            save_checkpoint(checkpoint, step + 1, trainable, optimizers, precision)
            saved = time.monotonic()
    if fabric.is_global_zero:
        write_text(folder / "log.jsonl", "".join(log))
    trainable.eval()


def schedule(progress: float, options: TrainOptions) -> float:
    """Factor on every learning rate: a linear rise, then (1 - progress)^power."""
    rise = min(1.0, (progress + 1e-3) / options.warmup) if options.warmup > 0 else 1.0
    return float(rise * (1.0 - progress) ** options.power)


def _line(step: int, rate: float, total: torch.Tensor, losses: dict[str, torch.Tensor]) -> str:
    terms = {name: float(value.detach()) for name, value in losses.items()}
    record = {"step": step, "lr": rate, "total": float(total.detach()), "terms": terms}
    return json.dumps(record) + "\n"


def _kept_log(path: Path, done: int) -> list[str]:
    """Lines of the steps that the checkpoint holds."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if json.loads(line)["step"] < done]
