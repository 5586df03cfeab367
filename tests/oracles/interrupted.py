"""Ctrl-C at a chosen moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest


@contextmanager
def stopped(place: str, after: int) -> Iterator[None]:
    """A function that works so often, and then raises as Ctrl-C does.

    Args:
        place: its module and name.
    """
    module, name = place.rsplit(".", 1)
    room, calls = import_module(module), 0
    real = getattr(room, name)

    def stopping(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return real(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, name, stopping)
        yield
