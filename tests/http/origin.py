"""An origin that plays a script over real sockets and keeps every byte it was sent, for each connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

from gateway.http.client import Origin as Address
from gateway.http.client import Pool, UpstreamResponse

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """One accepted connection. `received` holds all bytes so far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received = bytearray()
        self.ended = asyncio.Event()
        """The client has closed, and everything it sent is in `received`."""

    @property
    def certificate(self) -> dict[str, Any]:
        """The certificate that the client has shown, as `ssl` tells of it; empty without one."""
        return self._writer.get_extra_info("peercert") or {}

    async def head(self) -> bytes:
        """The next request head, its empty line included."""
        return await self._take(self._reader.readuntil(b"\r\n\r\n"))

    async def request(self) -> bytes:
        """The next request with its body, framing included."""
        head = await self.head()
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return head + await self._take(self._reader.readuntil(b"0\r\n\r\n"))
        if b"content-length: " in lower:
            size = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
            return head + await self._take(self._reader.readexactly(size))
        return head

    async def piece(self) -> bytes:
        """What has arrived, or arrives next."""
        return await self._take(self._reader.read(65536))

    async def exactly(self, size: int) -> bytes:
        """The next bytes, so many of them."""
        return await self._take(self._reader.readexactly(size))

    async def send(self, *parts: bytes, pause: float | None = None) -> None:
        """Send each part, `pause` seconds apart."""
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()
            if pause is not None:
                await asyncio.sleep(pause)

    async def until_closed(self) -> None:
        """Read until the client closes."""
        while await self.piece():
            pass

    async def reset(self) -> None:
        """Break the connection off with a TCP RST."""
        endpoint: socket.socket = self._writer.get_extra_info("socket")
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def cut(self) -> None:
        """Close without a word: a TCP FIN and, over TLS, no close_notify."""
        self._writer.transport.abort()

    async def _take(self, read: Awaitable[bytes]) -> bytes:
        data = await read
        self.received += data
        return data


Script = Callable[[Peer], Awaitable[None]]


def answers(*responses: bytes, close: bool = False) -> Script:
    """Each request gets the next response; then the connection is closed, or left to the client to close."""

    async def script(peer: Peer) -> None:
        for response in responses:
            await peer.request()
            await peer.send(response)
        if not close:
            await peer.until_closed()

    return script


async def always_ok(peer: Peer) -> None:
    """Answers every request with `OK`."""
    while True:
        await peer.request()
        await peer.send(OK)


async def silent(peer: Peer) -> None:
    """Takes everything and answers nothing."""
    await peer.until_closed()


class ScriptedOrigin:
    """Listens on loopback; the n-th connection plays the n-th script, later ones the last. For `async with`."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, unix_path: str | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._unix_path = unix_path
        self._tasks: list[asyncio.Task[None]] = []
        self.peers: list[Peer] = []
        self.failures: list[Exception] = []
        self.port = 0

    @property
    def received(self) -> list[bytes]:
        """What each connection was sent."""
        return [bytes(peer.received) for peer in self.peers]

    async def __aenter__(self) -> ScriptedOrigin:
        if self._unix_path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self._unix_path, ssl=self._tls)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None and self.failures:
            raise self.failures[0]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.create_task(self._play(reader, writer)))

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        try:
            await script(peer)
        except asyncio.IncompleteReadError as error:
            peer.received += error.partial
        except ConnectionError:
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            peer.ended.set()
            writer.close()


@contextlib.asynccontextmanager
async def pool_to(origin: ScriptedOrigin, **changes: Any) -> AsyncIterator[Pool]:
    """A pool that at its end has no connection left, whatever happened in between."""
    limits: dict[str, Any] = {"connect_timeout": 2, "response_timeout": 2, "idle_timeout": 2, "keep_alive": 30}
    address = Address("127.0.0.1", origin.port, tls=changes.pop("tls", None))
    pool = Pool(address, **{**limits, "max_connections": 8, **changes})
    try:
        yield pool
    finally:
        pool.close()
    await until(lambda: pool.open == 0)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that will be so in a moment."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event to offer
            await asyncio.sleep(0.002)


async def whole(response: UpstreamResponse) -> bytes:
    """The body, read as a forwarder reads it."""
    if response.complete:
        return response.body
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)
