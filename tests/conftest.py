"""What holds for every test: one thread, fixed seeds, no network, no cache but its own."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import socket
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Any

# Read by the libraries as they are imported, so set before anything else is.
CACHE = Path(tempfile.mkdtemp(prefix="tag2mask-tests-"))
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HOME=str(CACHE / "huggingface"),
    TORCH_HOME=str(CACHE / "torch"),
    XDG_CACHE_HOME=str(CACHE),
)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)

# The same examples every time, and no time limit for one example: cores may be busy.
settings.register_profile("tag2mask", deadline=None, derandomize=True, database=None)
settings.load_profile("tag2mask")


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Start every test from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def ran(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that work from now on, in order; those in a module's `SAID` only say so."""
    from tag2mask import pipeline  # where it is needed: this file is read before everything

    names: list[str] = []
    real, said = pipeline._do, getattr(request.module, "SAID", ())

    def noted(context: Any, name: str, work: Any, **inputs: Any) -> Any:
        def remembered(*given: Any) -> None:
            names.append(name)
            if name not in said:
                work(*given)

        return real(context, name, remembered, **inputs)

    monkeypatch.setattr(pipeline, "_do", noted)
    return names


def is_local(address: Any) -> bool:
    """Whether a socket address stays on this machine: a path, or a loopback host."""
    if not isinstance(address, tuple):
        return True
    host = address[0]
    if host in ("", "localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that reaches for another machine, even if a library would swallow the error."""
    for name in ("connect", "connect_ex"):
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, original: Any = original) -> Any:
            if not is_local(address):
                pytest.fail(f"A test tried to connect to {address}; no test reads the network.")
            return original(self, address)

        monkeypatch.setattr(socket.socket, name, guarded)
