"""WebSockets through a gateway that is a process of its own: its memory, log and metrics, its operators, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_process import ADMIN_TOKEN, GatewayProcess, serving
from tests.http.frames import BINARY, close, frame
from tests.http.origin import Script, ScriptedOrigin
from tests.http.websockets import ClientSide, OriginSide, echo, switched, until, websocket
from tests.outages.setting import MARGIN
from tests.services import free_port
from tests.world import AUDIENCE, ISSUER, bearer, public_jwks

MEASURED = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


@dataclass
class Setting:
    """A gateway, and the origin behind it."""

    gateway: GatewayProcess
    origin: ScriptedOrigin

    def open(self, **options: Any) -> contextlib.AbstractAsyncContextManager[ClientSide]:
        """A client's WebSocket."""
        claims = {key: options.pop(key) for key in ("sub", "jti") if key in options}
        return websocket(("127.0.0.1", self.gateway.port), "/ws", bearer(**claims), **options)

    @property
    def kibibytes(self) -> int:
        """The memory of the process."""
        status = Path(f"/proc/{self.gateway.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def access_lines(self) -> list[dict[str, Any]]:
        """The access log's lines of requests."""
        lines = [json.loads(line) for line in self.gateway.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == "request"]


@contextlib.asynccontextmanager
async def setting(folder: Path, script: Script) -> AsyncIterator[Setting]:
    async with ScriptedOrigin(script) as origin:
        configuration = {
            "admin": {"token": ADMIN_TOKEN},
            "issuers": {"corp": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks())}},
            "upstreams": {"orders": {"url": f"http://127.0.0.1:{origin.port}", "max_connections": 1000}},
            "routes": [{"name": "ws", "path": "/ws", "upstream": "orders"}],
        }
        process = serving(folder, free_port(), free_port(), configuration)
        gateway = await asyncio.to_thread(process.__enter__)
        try:
            yield Setting(gateway, origin)
        finally:
            await asyncio.to_thread(process.__exit__, None, None, None)


@MEASURED
async def test_two_hundred_idle_websockets_take_little_memory(tmp_path: Path) -> None:
    async with setting(tmp_path, switched(echo)) as s, contextlib.AsyncExitStack() as clients:
        async with s.open() as first:
            await first.say(b"warm")
            await first.frame()
        before = s.kibibytes
        opened = [await clients.enter_async_context(s.open(sub=f"u{number}")) for number in range(200)]
        assert {client.status for client in opened} == {101}
        await asyncio.sleep(1)
        assert (s.kibibytes - before) / 200 < 64
        for client in opened:
            await client.say(b"still here")
        assert {(await client.frame()).payload for client in opened} == {b"still here"}
        assert s.gateway.figure("gateway_requests_in_flight") == 200


@MEASURED
async def test_a_large_message_to_a_client_that_reads_slowly_takes_little_memory(tmp_path: Path) -> None:
    size = 64 * 2**20

    async def large(origin: OriginSide) -> None:
        head = frame(BINARY, b"", length_bytes=8)[:2] + size.to_bytes(8, "big")
        await origin.send(head, *[b"x" * 2**20] * (size // 2**20))
        await origin.send(close(1000))
        await origin.until_closed()

    async with setting(tmp_path, switched(large)) as s:
        before = s.kibibytes
        async with s.open(narrow=True) as client:
            most = 0
            taken = 0
            while taken < size:
                taken += len(await client.reader.read(2**20))
                most = max(most, s.kibibytes)
            assert most - before < 8 * 1024


async def test_a_revocation_by_the_admin_api_closes_it_within_a_second(tmp_path: Path) -> None:
    async with (
        setting(tmp_path, switched(OriginSide.until_closed)) as s,
        s.open(sub="u1") as client,
        s.open(sub="u2") as other,
    ):
        await asyncio.sleep(0.5)
        await asyncio.to_thread(lambda: s.gateway.revoke(sub="u1"))
        started = time.monotonic()
        goodbye = await client.frame()
        assert (goodbye.code, goodbye.payload[2:]) == (1008, b"token_revoked")
        assert time.monotonic() - started < 1.0 + MARGIN
        await client.bye(1008)
        await other.bye(1000)


async def test_it_is_one_line_of_the_log_and_one_request_of_the_metrics_when_it_ends(tmp_path: Path) -> None:
    async with setting(tmp_path, switched(echo)) as s:
        async with s.open(sub="u1") as client:
            await client.say(b"hello")
            await client.frame()
            assert s.access_lines() == []
            await client.bye()
            await client.rest()
        await until(lambda: len(s.access_lines()) == 1)
        line = s.access_lines()[0]
        assert (line["status"], line["upstream_status"], line["decision"], line["sub"]) == (101, 101, "allow", "u1")
        assert (line["bytes_in"], line["bytes_out"]) == (19, 11)
        labels = {"route": "ws", "method": "GET", "status": "101"}
        assert await asyncio.to_thread(lambda: s.gateway.figure("gateway_requests_total", **labels)) == 1


async def test_a_gateway_that_is_told_to_stop_says_1001_and_ends(tmp_path: Path) -> None:
    async with setting(tmp_path, switched(OriginSide.until_closed)) as s, s.open() as polite, s.open() as rude:
        started = time.monotonic()
        s.gateway.process.terminate()
        assert (await polite.frame()).code == 1001
        assert (await rude.frame()).code == 1001
        await polite.bye(1001)
        assert await polite.rest() == b""
        assert await rude.rest() == b""
        assert await asyncio.to_thread(s.gateway.process.wait, 20) == 0
        assert time.monotonic() - started < 15
        for peer in s.origin.peers:
            await asyncio.wait_for(peer.ended.wait(), 5)
