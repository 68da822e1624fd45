"""The cases of the Autobahn test suite, on a server of aiohttp's through the gateway: none may fail.

A fuzzing client that others wrote runs them (`kosoku`), where it is installed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from gateway import build
from gateway.http.server import HttpServer
from tests.flow.test_websocket_peers import served
from tests.world import configuration

CLIENT = Path(sys.executable).with_name("kosoku")
# All but 9 (large messages, for minutes) and most of 12 and 13 (compression, for minutes more).
CASES = [f"{topic}.*" for topic in (1, 2, 3, 4, 5, 6, 7, 10)] + ["12.1.1", "12.2.1", "13.1.1", "13.7.1"]


@pytest.mark.skipif(not CLIENT.exists(), reason="kosoku is not installed; pip install kosoku")
async def test_no_case_of_the_suite_fails_through_the_gateway(tmp_path: Path) -> None:
    async with served() as (_, port):
        config = configuration(port, {"name": "ws", "path": "/**", "public": True})
        gateway = build.build(config)
        server = HttpServer(gateway.handle, build.server_limits(config))
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            options = [option for case in CASES for option in ("-i", case)]
            command = [str(CLIENT), *options, "-p", "4", "-o", str(tmp_path), address]
            client = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
            assert await asyncio.wait_for(client.wait(), 120) == 0
        finally:
            listener.close()
            server.drain()
            await server.wait_closed(5)
            await gateway.close()
    (results,) = json.loads((tmp_path / "index.json").read_text()).values()
    assert len(results) > 240
    assert {result["behavior"] for result in results.values()} <= {"OK", "NON-STRICT", "INFORMATIONAL"}
    assert {result["behaviorClose"] for result in results.values()} <= {"OK", "INFORMATIONAL"}
