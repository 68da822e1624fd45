"""Bodies of any size in both directions: how much is kept of them, how soon each piece goes on, and who is told when
somebody goes away.

STREAM_MIB says how large the large bodies are; 1024 takes a few seconds each way.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dialogue import request, statuses
from tests.gateway_process import GatewayProcess, serving
from tests.http.origin import OK, Peer, ScriptedOrigin, answers, silent, until
from tests.services import free_port
from tests.world import ISSUER, bearer, public_jwks, world

OPEN = {"name": "open", "path": "/open/**", "public": True, "max_body": "0B"}
SIZE = int(os.environ.get("STREAM_MIB", "256")) * 2**20
PIECE = bytes(range(256)) * 256
KIB = 1024

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@contextlib.asynccontextmanager
async def gateway_before(serve: Callable[..., Awaitable[None]], folder: Path) -> AsyncIterator[GatewayProcess]:
    """The gateway as a process of its own, in front of an upstream that `serve` plays for each connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the gateway ended it
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve_and_close(reader, writer)))

    upstream = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**20, backlog=512)
    configuration: dict[str, Any] = {
        "issuers": {"corp": {"issuer": ISSUER, "audience": "a", "jwks": json.loads(public_jwks())}},
        "upstreams": {"orders": {"url": f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"}},
        "routes": [{**OPEN, "upstream": "orders"}],
        "log": {"access": False},
        "timeouts": {"drain": "1s"},
    }
    ports = free_port(), free_port()
    process = await asyncio.to_thread(lambda: (manager := serving(folder, *ports, configuration), manager.__enter__()))
    try:
        yield process[1]
    finally:
        await asyncio.to_thread(process[0].__exit__, None, None, None)
        upstream.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


def memory(gateway: GatewayProcess, name: str) -> int:
    """A figure of the process in KiB: VmRSS is what it has, VmHWM the most it had."""
    text = Path(f"/proc/{gateway.process.pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1])


@linux_only
async def test_a_large_upload_passes_unchanged_in_little_memory(tmp_path: Path) -> None:
    arrived = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        digest, size = hashlib.sha256(), 0
        while size < SIZE:
            piece = await reader.read(2**20)
            digest.update(piece)
            size += len(piece)
        arrived.set_result(digest.hexdigest())
        writer.write(OK)

    async with gateway_before(serve, tmp_path) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        before = memory(gateway, "VmHWM")
        writer.write(request("PUT", "/open/x", f"Content-Length: {SIZE}"))
        digest = hashlib.sha256()
        for _ in range(SIZE // len(PIECE)):
            writer.write(PIECE)
            digest.update(PIECE)
            await writer.drain()
        assert statuses(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)) == [200]
        assert await arrived == digest.hexdigest()
        assert memory(gateway, "VmHWM") - before < 4096
        writer.close()


@linux_only
@pytest.mark.parametrize("is_chunked", [False, True], ids=["of known length", "chunked"])
async def test_a_large_download_passes_unchanged_in_little_memory(tmp_path: Path, is_chunked: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % SIZE
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for _ in range(SIZE // len(PIECE)):
            writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if is_chunked else PIECE)
            await writer.drain()
        if is_chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async with gateway_before(serve, tmp_path) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=2**20)
        before = memory(gateway, "VmHWM")
        writer.write(b"GET /open/x HTTP/1.%d\r\nHost: a\r\nConnection: close\r\n\r\n" % (0 if is_chunked else 1))
        await reader.readuntil(b"\r\n\r\n")
        digest, size = hashlib.sha256(), 0
        while piece := await reader.read(2**20):
            digest.update(piece)
            size += len(piece)
        assert size == SIZE
        assert digest.hexdigest() == hashlib.sha256(PIECE * (SIZE // len(PIECE))).hexdigest()
        assert memory(gateway, "VmHWM") - before < 4096
        writer.close()


@linux_only
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_many_stalled_bodies_hold_no_more_than_is_promised_for_each(tmp_path: Path, direction: str) -> None:
    count, stop = 64, asyncio.Event()
    begun = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        await reader.readuntil(b"\r\n\r\n")
        begun += 1
        if direction == "up":
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + PIECE * 150)
        await stop.wait()
        writer.transport.abort()

    async def ask(port: int) -> asyncio.StreamWriter:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=KIB)
        writer.write(
            request("PUT", "/open/x", "Content-Length: 100000000") if direction == "up" else request("GET", "/open/x")
        )
        writer.transport.pause_reading()
        if direction == "up":
            writer.write(PIECE * 150)
        return writer

    async with gateway_before(serve, tmp_path) as gateway:
        before = memory(gateway, "VmRSS")
        writers = [await ask(gateway.port) for _ in range(count)]
        await until(lambda: begun == count, 20)
        await asyncio.sleep(1)
        each = (memory(gateway, "VmRSS") - before) / count
        stop.set()
        for writer in writers:
            writer.transport.abort()
        # 256 KiB of bodies, and what a memory allocator can't give back of what passed before.
        assert each < 512, f"{each} KiB for each request"


async def test_an_upload_stops_when_the_upstream_does_not_read(tmp_path: Path) -> None:
    sent = 0

    async def stall(peer: Peer) -> None:
        await peer.head()
        await asyncio.Event().wait()

    async with world(OPEN, origin=ScriptedOrigin(stall)) as w:
        _, writer = await asyncio.open_connection(*w.address)

        async def upload() -> None:
            nonlocal sent
            writer.write(request("PUT", "/open/x", "Content-Length: 1000000000"))
            while True:
                writer.write(PIECE)
                await writer.drain()
                sent += len(PIECE)

        task = asyncio.create_task(upload())
        await until(lambda: sent > 0)
        seen = -1
        while seen != sent:
            seen = sent
            await asyncio.sleep(0.3)
        assert sent < 64 * 2**20  # the kernel's socket buffers, and our 256 KiB
        task.cancel()
        writer.close()


# --- piece by piece ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"HTTP/1.0 200 OK"])
async def test_each_event_goes_on_before_the_next_one_is_made(framing: bytes) -> None:
    turn = asyncio.Queue[None]()
    is_chunked = b"chunked" in framing

    async def events(peer: Peer) -> None:
        await peer.request()
        await peer.send(framing + b"\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(30):
            event = b"data: %02d\n\n" % number
            await peer.send(b"a\r\n" + event + b"\r\n" if is_chunked else event)
            await turn.get()
        await peer.send(b"0\r\n\r\n" if is_chunked else b"")

    async with world(OPEN, origin=ScriptedOrigin(events)) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        started = time.monotonic()
        writer.write(request("GET", "/open/x"))
        for number in range(30):
            found = await asyncio.wait_for(reader.readuntil(b"\n\n"), 5)
            assert found.endswith(b"data: %02d\n\n" % number)
            if number == 0:
                assert time.monotonic() - started < 5
            turn.put_nowait(None)
        assert (await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)).endswith(b"0\r\n\r\n")
        writer.close()


async def test_a_body_goes_up_byte_by_byte_as_it_comes() -> None:
    got = asyncio.Queue[bytes]()

    async def take(peer: Peer) -> None:
        await peer.head()
        for _ in range(20):
            got.put_nowait(await peer.piece())
        await peer.send(OK)
        await peer.until_closed()

    async with world(OPEN, origin=ScriptedOrigin(take)) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        writer.write(request("PUT", "/open/x", "Content-Length: 20"))
        for number in range(20):
            writer.write(b"%c" % (97 + number))
            assert await asyncio.wait_for(got.get(), 5) == b"%c" % (97 + number)
        assert statuses(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)) == [200]
        writer.close()


# --- going away --------------------------------------------------------------------------------------------------


async def stream_for_ever(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            await peer.send(b"1\r\nx\r\n")
            await asyncio.sleep(0.01)


async def stream_and_wait(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    await peer.until_closed()


@pytest.mark.parametrize(
    ("script", "sent"),
    [
        (silent, request("GET", "/open/x")),
        (silent, request("PUT", "/open/x", "Content-Length: 10") + b"half"),
        (silent, request("PUT", "/open/x", "Transfer-Encoding: chunked") + b"4\r\nhalf\r\n"),
        (stream_and_wait, request("GET", "/open/x")),
        (stream_for_ever, request("GET", "/open/x")),
    ],
    ids=["while waiting", "inside an upload", "inside chunks", "in a pause of the answer", "while it streams"],
)
@pytest.mark.parametrize("is_abrupt", [False, True], ids=["closing", "resetting"])
async def test_the_upstream_is_told_within_a_second_that_the_client_is_gone(
    script: Callable[[Peer], Awaitable[None]], sent: bytes, is_abrupt: bool
) -> None:
    async with world(OPEN, origin=ScriptedOrigin(script)) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        writer.write(sent)
        if script in (stream_and_wait, stream_for_ever):
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        else:
            await until(lambda: w.sent_upstream.endswith((b"\r\n\r\n", b"half", b"half\r\n")))
        if is_abrupt:
            writer.transport.abort()
        else:
            writer.close()
        await asyncio.wait_for(w.origin.peers[0].ended.wait(), 1)
        await until(lambda: w.gateway.in_flight == 0)


async def test_so_it_is_when_nothing_but_the_upstream_had_to_be_waited_for() -> None:
    async def answer_once(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.until_closed()

    async with world({"name": "own", "path": "/own/**"}, origin=ScriptedOrigin(answer_once)) as w:
        asked = request("GET", "/own/x", bearer())
        reader, writer = await asyncio.open_connection(*w.address)
        writer.write(asked)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), 5)
        writer.write(asked)  # known by now, and the connection rests
        await until(lambda: w.sent_upstream.count(b"GET /own/x ") == 2)
        assert len(w.origin.peers) == 1
        writer.close()
        await asyncio.wait_for(w.origin.peers[0].ended.wait(), 1)
        await until(lambda: len(w.records) == 2)
        assert (w.records[1].status, w.gateway.in_flight) == (499, 0)


async def test_an_upstream_that_goes_away_frees_the_client_at_once() -> None:
    async with world(
        OPEN, origin=ScriptedOrigin(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", close=True))
    ) as w:
        reader, writer = await asyncio.open_connection(*w.address)
        writer.write(request("GET", "/open/x"))
        assert (await asyncio.wait_for(reader.read(), 2)).endswith(b"half")
        writer.close()
