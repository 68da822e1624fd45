"""Upstreams that are too slow, or break off inside a response: what the client gets, and what the log says of it."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from tests.dialogue import request
from tests.flow.test_forwarding import OPEN
from tests.http.origin import Peer, Script, ScriptedOrigin, always_ok, silent, until
from tests.http.test_client import unresponsive
from tests.world import world


async def stalls(peer: Peer) -> None:
    """Begins a body and says no more."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
    await peer.until_closed()


async def breaks_off(peer: Peer) -> None:
    """Begins a body and closes."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")


@pytest.mark.parametrize(
    ("times", "script", "status", "reason", "told"),
    [
        ({"connect": "100ms"}, None, 504, "upstream_timeout", "no connection in time"),
        ({"response": "100ms"}, silent, 504, "upstream_timeout", "did not answer in time"),
        ({"idle": "100ms"}, stalls, 200, "upstream_timeout", "fell silent inside the body"),
        ({}, breaks_off, 200, "upstream_invalid", "closed the connection inside the body"),
    ],
    ids=["connect", "first byte", "idle", "broken off"],
)
async def test_each_way_to_be_too_slow_or_to_break_off_has_its_own_words_in_the_log(
    times: dict[str, str],
    script: Script | None,
    status: int,
    reason: str,
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(unresponsive("127.0.0.1")) if script is None else 0
        async with ScriptedOrigin(script or always_ok) as origin:
            upstreams = {"orders": {"url": f"http://127.0.0.1:{full or origin.port}", "timeouts": times}}
            async with world(OPEN, upstreams=upstreams) as w:
                started = time.monotonic()
                answer = await w.ask("GET", "/open/x")
                assert answer.status == status
                assert time.monotonic() - started < 8
                await until(lambda: len(w.records) == 1)
                assert (w.records[0].status, w.records[0].reason, w.records[0].decision) == (status, reason, "allow")
                lines = [line for line in caplog.messages if w.records[0].request_id in line]
                assert len(lines) == 1
                assert told in lines[0]


async def test_a_client_that_goes_away_inside_a_body_is_no_fault_of_the_upstream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with world(OPEN, origin=ScriptedOrigin(stalls)) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        writer.write(request("GET", "/open/x"))
        await reader.readuntil(b"begun")
        writer.close()
        await until(lambda: len(w.records) == 1)
        assert (w.records[0].status, w.records[0].reason) == (200, None)
        assert "cut short" not in caplog.text
