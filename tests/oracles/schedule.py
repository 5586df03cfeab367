"""The learning rate's factor, said with numbers instead of a formula."""

from __future__ import annotations


def factor(step: int, steps: int, power: float, warmup: float) -> float:
    done = step / steps
    falling = (1 - done) ** power
    if warmup == 0 or done + 0.001 >= warmup:
        return falling
    return falling * (done + 0.001) / warmup
