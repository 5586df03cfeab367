"""A training's whole state in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.plugins import Precision
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from tag2mask.storage import read_tensors, write_tensors


def save_checkpoint(
    path: Path,
    step: int,
    module: nn.Module,
    optimizers: Sequence[Optimizer],
    precision: Precision | None = None,
) -> None:
    """Write parameters, buffers and optimizer states after `step` steps.

    Args:
        precision: what scales losses (16-mixed), which goes on with its scale.
    """
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    plain: list[dict[str, Any]] = []
    for number, optimizer in enumerate(optimizers):
        state = optimizer.state_dict()
        numbers: dict[str, Any] = {}
        for index, entries in state["state"].items():
            for name, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{number}.{index}.{name}"] = value
                else:
                    numbers[f"{index}.{name}"] = value
        plain.append({"state": numbers, "param_groups": state["param_groups"]})
    scale = {} if precision is None else precision.state_dict()
    notes = {
        "step": str(step),
        "optimizers": json.dumps(plain),
        "precision": json.dumps(scale),
    }
    write_tensors(path, {name: tensor.clone() for name, tensor in tensors.items()}, notes)


def load_checkpoint(
    path: Path,
    module: nn.Module,
    optimizers: Sequence[Optimizer],
    precision: Precision | None = None,
) -> int:
    """Put a state back; returns how many steps were done (0 where there is no file)."""
    if not path.is_file():
        return 0
    with safe_open(path, framework="pt") as file:
        notes = file.metadata()
    tensors = read_tensors(path)
    prefix = "module."
    weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    module.load_state_dict(weights)
    for number, (optimizer, plain) in enumerate(
        zip(optimizers, json.loads(notes["optimizers"]), strict=True)
    ):
        state: dict[int, dict[str, Any]] = {}
        for name, value in plain["state"].items():
            index, entry = name.split(".", 1)
            state.setdefault(int(index), {})[entry] = value
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer.{number}."):
                _, _, index, entry = name.split(".", 3)
                state.setdefault(int(index), {})[entry] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": plain["param_groups"]})
    scale = json.loads(notes["precision"])
    if precision is not None and scale:  # none on a CPU, where 16-mixed is bfloat16
        precision.load_state_dict(scale)
    return int(notes["step"])
