"""The guard of conftest.py does guard."""

from __future__ import annotations

import os
import socket

import pytest


@pytest.mark.parametrize("connect", ["connect", "connect_ex"])
def test_another_machine_is_out_of_reach(connect: str) -> None:
    # 192.0.2.0/24 is set aside for documentation: no machine is there.
    with (
        socket.socket() as plug,
        pytest.raises(pytest.fail.Exception, match="no test reads the network"),
    ):
        getattr(plug, connect)(("192.0.2.1", 80))


def test_this_machine_is_in_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as plug:
        plug.connect(server.getsockname())


def test_the_hub_is_off() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
