"""Clients that are slow, silent, many or too large, against a whole gateway: exact answers, and nothing is held for
them. The sizes up to, at and above each limit stand in `tests/http/conversations.py`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.dialogue import Answer, request, statuses, talk
from tests.gateway_process import serving
from tests.http.origin import OK, Peer, ScriptedOrigin, always_ok, silent, until
from tests.services import free_port
from tests.world import ISSUER, public_jwks, world

OPEN = {"name": "open", "path": "/open/**", "public": True, "max_body": "0B"}
FAST = {"request_head": "300ms", "request_body": "300ms", "idle": "300ms"}


def reason(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["reason"]


async def trickle(writer: asyncio.StreamWriter, data: bytes, pause: float) -> None:
    """Send byte by byte, until all is sent or the other side has had enough."""
    for at in range(len(data)):
        if writer.transport.is_closing():
            return
        writer.write(data[at : at + 1])
        await asyncio.sleep(pause)


async def test_a_head_that_trickles_is_cut_off_however_steadily_it_does() -> None:
    async with world(OPEN, timeouts=FAST) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        started = time.monotonic()
        sending = asyncio.create_task(trickle(writer, request("GET", "/open/x", "X: " + "a" * 500), 0.02))
        raw = await asyncio.wait_for(reader.read(), 10)
        sending.cancel()
        writer.close()
        assert reason(Answer(raw, True)) == (408, "request_timeout")
        assert time.monotonic() - started < 8
        assert w.origin.peers == []
        assert w.records[0].reason == "request_timeout"


async def test_the_next_head_on_a_connection_has_its_own_time() -> None:
    async with world(OPEN, timeouts={**FAST, "idle": "10s"}) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        for _ in range(3):
            writer.write(request("GET", "/open/x"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), 5)
            assert statuses(head) == [200]
            await asyncio.sleep(0.4)  # longer than a head may take
        writer.write(b"GET")
        assert statuses(await asyncio.wait_for(reader.read(), 10)) == [408]
        writer.close()


async def test_a_body_may_take_long_and_only_its_silence_counts() -> None:
    async with world(OPEN, timeouts={**FAST, "request_body": "1s"}) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        writer.write(request("PUT", "/open/x", "Content-Length: 15"))
        await trickle(writer, b"x" * 15, 0.1)
        assert statuses(await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), 5)) == [200]
        writer.close()


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
async def test_a_body_that_stalls_is_408_and_never_whole_upstream(framing: str) -> None:
    async with world(OPEN, origin=ScriptedOrigin(silent), timeouts=FAST) as w:
        part = b"abc" if "Length" in framing else b"3\r\nabc\r\n"
        said = await talk(w.address, request("PUT", "/open/x", framing) + part, silence=8)
        assert (reason(said), said.closed) == ((408, "request_timeout"), True)
        await asyncio.wait_for(w.origin.peers[0].ended.wait(), 5)
        assert not w.sent_upstream.endswith(b"0\r\n\r\n")


async def test_a_client_that_does_not_read_loses_its_upstream_connection() -> None:
    async def flood(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    async with world(OPEN, origin=ScriptedOrigin(flood), timeouts=FAST) as w:
        _, writer = await asyncio.open_connection(*w.address, limit=1024)
        writer.transport.pause_reading()
        writer.write(request("GET", "/open/x"))
        await until(lambda: len(w.origin.peers) == 1, 5)
        await asyncio.wait_for(w.origin.peers[0].ended.wait(), 10)
        await until(lambda: w.gateway.in_flight == 0)
        writer.close()


async def test_a_flood_of_idle_connections_ends_by_itself_and_shuts_nobody_out_for_long() -> None:
    async with world(OPEN, timeouts=FAST, limits={"connections": 200}) as w:
        held = [await asyncio.open_connection(*w.address) for _ in range(200)]
        said = await w.ask("GET", "/open/x")
        assert (reason(said), said.closed, said.header("Retry-After")) == ((503, "overloaded"), True, "1")
        assert [await asyncio.wait_for(reader.read(), 10) for reader, _ in held] == [b""] * 200
        assert (await w.ask("GET", "/open/x")).status == 200
        for _, writer in held:
            writer.close()


async def test_a_connection_ends_with_the_last_request_it_may_carry() -> None:
    async with world(OPEN, limits={"requests_per_connection": 3}) as w:
        said = await talk(w.address, request("GET", "/open/x") * 5)
        assert (statuses(said.raw), said.closed) == ([200] * 3, True)
        assert said.raw.count(b"Connection: close") == 1


async def test_thousands_of_pipelined_requests_behind_one_that_hangs_wait_outside() -> None:
    release = asyncio.Event()

    async def hang(peer: Peer) -> None:
        await peer.request()
        await release.wait()
        await peer.send(OK)
        await always_ok(peer)

    async with world(OPEN, origin=ScriptedOrigin(hang)) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        count = 20_000
        writer.write(request("GET", "/open/x") * count)
        await until(lambda: len(w.origin.peers) == 1)
        await asyncio.sleep(0.2)
        assert w.gateway.in_flight == 1
        assert w.sent_upstream.count(b"GET ") == 1
        release.set()
        seen = 0
        async with asyncio.timeout(60):
            while seen < 1000:
                seen += (await reader.read(65536)).count(b"HTTP/1.1 200")
        writer.close()
        await until(lambda: w.gateway.in_flight == 0, 10)


# --- what clients make the gateway write down, or keep -----------------------------------------------------------


def resident(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
async def test_neither_the_log_nor_memory_grows_with_what_strangers_make_up(tmp_path: Path) -> None:
    async with ScriptedOrigin(always_ok) as origin:
        configuration: dict[str, Any] = {
            "issuers": {"corp": {"issuer": ISSUER, "audience": "a", "jwks": json.loads(public_jwks())}},
            "upstreams": {"orders": {"url": f"http://127.0.0.1:{origin.port}"}},
            "routes": [{**OPEN, "upstream": "orders"}, {"name": "own", "path": "/own/{id}", "upstream": "orders"}],
            "log": {"access": False},
        }
        ports = free_port(), free_port()
        manager = serving(tmp_path, *ports, configuration)
        gateway = await asyncio.to_thread(manager.__enter__)
        try:
            await flood(ports[0], 0, 2000)
            written, before = len(gateway.log), resident(gateway.process.pid)
            await flood(ports[0], 2000, 12_000)
            assert len(gateway.log) - written < 2000
            assert resident(gateway.process.pid) - before < 8 * 1024
        finally:
            await asyncio.to_thread(manager.__exit__, None, None, None)


async def flood(port: int, start: int, end: int) -> None:
    """Requests that are all different: paths without a route, methods, hosts, field names, cookies, tokens."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    for first in range(start, end, 200):
        sent = b"".join(odd(number) for number in range(first, first + 200))
        writer.write(sent)
        async with asyncio.timeout(60):
            for _ in range(200):
                assert statuses(await reader.readuntil(b"\r\n\r\n"))[0] in (401, 404)
    writer.close()


def odd(number: int) -> bytes:
    cookies = f'Cookie: {number}"=; ;;=\x7e, a[{number}]=", \\{number}'
    # All of them refused: what was allowed may be remembered, within bounds (`KnownFields`).
    path = ["/nowhere/%d", "/own/%d", "/own/%d?x"][number % 3]
    name = f"X-{number}: {number}"
    token = f"Authorization: Bearer a{number}.b.c"
    return request("HEAD", path % number, cookies, name, token, host=f"h{number}.example.com")
