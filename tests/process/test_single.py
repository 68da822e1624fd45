"""One process that does everything: what it says of its addresses, and a start that fails."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.process.single import SingleProcess, serve
from tests.crew import taken_port
from tests.dialogue import request, talk
from tests.world import configuration

ROUTE = {"path": "/open", "public": True, "respond": {"body": "hi"}}


async def test_port_0_becomes_ports_that_clients_and_operators_can_use(tmp_path: Path) -> None:
    config = configuration(
        9, ROUTE, listen=["127.0.0.1:0", f"unix:{tmp_path}/s"], admin={"listen": "127.0.0.1:0"}, log={"access": False}
    )
    process = SingleProcess(config, environ={})
    await process.start()
    try:
        for address, path in ((process.addresses[0], "/open"), (process.admin_address, "/readyz")):
            host, _, port = address.rpartition(":")
            assert (await talk((host, int(port)), request("GET", path))).status == 200
        assert process.addresses[1] == f"unix:{tmp_path}/s"
        assert (tmp_path / "s").is_socket()
    finally:
        await process.stop()
    assert not (tmp_path / "s").exists()


async def test_a_start_that_fails_does_not_wait_as_a_stop_would() -> None:
    with taken_port() as other:
        config = configuration(
            9,
            ROUTE,
            listen="{}:{}".format(*other.getsockname()),
            admin={"listen": "127.0.0.1:0"},
            timeouts={"drain_delay": "1h"},
        )
        started = time.monotonic()
        async with asyncio.timeout(60):
            with pytest.raises(OSError, match="another program listens there"):
                await serve(config)
        assert time.monotonic() - started < 60
