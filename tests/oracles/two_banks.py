"""What two processes push into one bank; importable, so that spawned processes find it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, distributed

from tag2mask.methods.fbr.bank import Bank
from tag2mask.storage import write_tensors

COUNTS = ((3, 0), (0, 0), (1, 4))  # of each process at each step


def pushes(rank: int, step: int) -> Tensor:
    count = COUNTS[step][rank]
    return 100.0 * rank + 10.0 * step + torch.arange(count * 2.0).view(-1, 2)


def fill(rank: int, folder: Path) -> None:
    """One process's part; each keeps the bank that it ends with."""
    meeting = f"file://{folder / 'meeting'}"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    bank = Bank(5, 2)
    for step in range(len(COUNTS)):
        bank.push(pushes(rank, step))
    write_tensors(folder / f"{rank}.safetensors", dict(bank.state_dict()))
    distributed.destroy_process_group()
