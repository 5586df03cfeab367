"""A training's state comes back to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning_fabric.plugins import MixedPrecision, Precision
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from tag2mask.train.checkpoint import load_checkpoint, save_checkpoint

OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.1),
    "momentum": lambda p: SGD(
        [{"params": p[:1], "lr": 0.1}, {"params": p[1:], "lr": 0.01}], momentum=0.9, nesterov=True
    ),
    "adamw": lambda p: AdamW(
        [{"params": p[:2]}, {"params": p[2:], "weight_decay": 0.0}], lr=1e-2, betas=(0.8, 0.99)
    ),
    "amsgrad": lambda p: Adam(p, lr=1e-2, amsgrad=True),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3))


def step(module: nn.Module, optimizers: list[Optimizer], number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    module(torch.rand(2, 3, 8, 8, generator=generator)).square().mean().backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def flat(module: nn.Module, optimizers: list[Optimizer]) -> dict[str, Tensor | object]:
    found: dict[str, Tensor | object] = dict(module.state_dict())
    for n, optimizer in enumerate(optimizers):
        state = optimizer.state_dict()
        found |= {
            f"{n}.{i}.{k}": v for i, entries in state["state"].items() for k, v in entries.items()
        }
        found |= {
            f"{n}.group{i}.{k}": list(v) if isinstance(v, tuple) else v
            for i, group in enumerate(state["param_groups"])
            for k, v in group.items()
        }
    return found


def assert_same(one: dict[str, Tensor | object], other: dict[str, Tensor | object]) -> None:
    assert set(one) == set(other)
    for name, value in one.items():
        if isinstance(value, Tensor):
            against = other[name]
            assert isinstance(against, Tensor)
            assert value.dtype == against.dtype
            assert torch.equal(value, against), name
        else:
            assert value == other[name], name


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_comes_back_and_goes_on_alike(
    tmp_path: Path, name: str, layout: torch.memory_format
) -> None:
    def start() -> tuple[nn.Module, list[Optimizer]]:
        module = network().to(memory_format=layout)
        return module, [OPTIMIZERS[name](list(module.parameters()))]

    module, optimizers = start()
    for number in range(3):
        step(module, optimizers, number)
    save_checkpoint(tmp_path / "c", 3, module, optimizers)
    again, others = start()
    assert load_checkpoint(tmp_path / "c", again, others) == 3
    assert_same(flat(module, optimizers), flat(again, others))
    for number in range(3, 8):
        step(module, optimizers, number)
        step(again, others, number)
    assert_same(flat(module, optimizers), flat(again, others))


def test_several_optimizers_keep_their_own_states(tmp_path: Path) -> None:
    def start() -> tuple[nn.Module, list[Optimizer]]:
        module = network()
        parameters = list(module.parameters())
        return module, [OPTIMIZERS["momentum"](parameters[:3]), OPTIMIZERS["adamw"](parameters[3:])]

    module, optimizers = start()
    step(module, optimizers, 0)
    save_checkpoint(tmp_path / "c", 1, module, optimizers)
    again, others = start()
    load_checkpoint(tmp_path / "c", again, others)
    assert_same(flat(module, optimizers), flat(again, others))


def test_without_a_file_nothing_is_done(tmp_path: Path) -> None:
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert load_checkpoint(tmp_path / "none", module, []) == 0
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())


def test_weights_that_share_memory_are_kept_whole(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    save_checkpoint(tmp_path / "c", 1, module, [])
    other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    assert load_checkpoint(tmp_path / "c", other, []) == 1
    assert torch.equal(other[1].weight, module[0].weight)


def test_the_scale_of_losses_comes_back(tmp_path: Path) -> None:
    """16-mixed scales losses, and learns by how much; on a CPU Fabric has no such precision."""

    def start() -> tuple[nn.Module, list[Optimizer], MixedPrecision]:
        module, scaler = network(), torch.amp.GradScaler("cpu", init_scale=2.0**30)
        optimizer = OPTIMIZERS["adamw"](list(module.parameters()))
        return module, [optimizer], MixedPrecision("16-mixed", "cpu", scaler)

    module, optimizers, precision = start()
    overflow = module(torch.ones(1, 3, 8, 8)).sum() * 1e30
    precision.backward(overflow, module)
    precision.optimizer_step(optimizers[0])
    assert precision.state_dict()["scale"] == 2.0**29
    save_checkpoint(tmp_path / "c", 1, module, optimizers, precision)
    again, others, resumed = start()
    load_checkpoint(tmp_path / "c", again, others, resumed)
    assert resumed.state_dict() == precision.state_dict()
    save_checkpoint(tmp_path / "cpu", 1, module, optimizers, Precision())
    fresh = start()
    load_checkpoint(tmp_path / "cpu", fresh[0], fresh[1], fresh[2])
    assert fresh[2].state_dict() == start()[2].state_dict()
