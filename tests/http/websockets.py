"""Both ends of a WebSocket as bytes over real sockets: a client, and an origin that plays a script."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.dialogue import request
from tests.http.frames import MASK, Frame, close, frame, frames_in
from tests.http.origin import Peer, Script
from tests.http.origin import until as until_soon

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")
PATIENCE = 15.0
"""Seconds that a busy machine may take for what is there at once."""


def accept(key: bytes) -> bytes:
    """What a server answers to a key (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def key_in(head: bytes) -> bytes:
    """The Sec-WebSocket-Key of a request."""
    return next(line[19:] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))


def switch(head: bytes, *lines: bytes) -> bytes:
    """The 101 to a request, with further header lines."""
    fixed = (b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade")
    return b"\r\n".join((*fixed, b"Sec-WebSocket-Accept: " + accept(key_in(head)), *lines, b"", b""))


def switched(script: Callable[[OriginSide], Awaitable[None]], *lines: bytes, early: bytes = b"") -> Script:
    """A script for a `ScriptedOrigin` that takes the handshake, and goes on with frames."""

    async def play(peer: Peer) -> None:
        head = await peer.head()
        await peer.send(switch(head, *lines) + early)
        await script(OriginSide(peer))

    return play


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that will be so, on a machine that may be busy."""
    await until_soon(condition, PATIENCE)


async def next_frame(exactly: Callable[[int], Awaitable[bytes]]) -> Frame:
    """Read one frame."""
    raw = await exactly(2)
    size = raw[1] & 0x7F
    if size > 125:
        extended = await exactly(2 if size == 126 else 8)
        raw += extended
        size = int.from_bytes(extended, "big")
    raw += await exactly(size + (4 if raw[1] & 0x80 else 0))
    return frames_in(raw)[0]


class OriginSide:
    """An origin's end, its handshake done."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def frame(self) -> Frame:
        """The next frame of the client."""
        return await next_frame(self.peer.exactly)

    async def send(self, *parts: bytes, pause: float | None = None) -> None:
        """Send bytes, `pause` seconds apart."""
        await self.peer.send(*parts, pause=pause)

    async def until_closed(self) -> None:
        """Read until the client closes."""
        await self.peer.until_closed()


async def echo(origin: OriginSide) -> None:
    """Sends every frame back, unmasked; ends after a close frame."""
    while True:
        each = await origin.frame()
        await origin.send(frame(each.opcode, each.payload, fin=each.fin, rsv=each.rsv))
        if each.opcode == 0x8:
            return


class ClientSide:
    """A client's end. `head` is the answer to its handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.reader = reader
        self.writer = writer
        self.head = head

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    def field(self, name: str) -> str | None:
        """One field of the answer."""
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            found, _, value = line.partition(": ")
            if found.lower() == name.lower():
                return value
        return None

    async def send(self, *parts: bytes, pause: float | None = None) -> None:
        """Send bytes, `pause` seconds apart."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            if pause is not None:
                await asyncio.sleep(pause)

    async def say(self, payload: bytes, opcode: int = 0x1) -> None:
        """Send one masked frame."""
        await self.send(frame(opcode, payload, mask=MASK))

    async def frame(self) -> Frame:
        """The next frame of the server."""
        return await asyncio.wait_for(next_frame(self.reader.readexactly), PATIENCE)

    async def bye(self, code: int = 1000, reason: bytes = b"") -> None:
        """Send a close frame."""
        await self.send(close(code, reason, mask=MASK))

    async def rest(self) -> bytes:
        """Everything up to the end of the connection; then it is closed from here too."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(PATIENCE):
                while piece := await self.reader.read(65536):
                    data += piece
            self.writer.close()
        return data

    async def last_frames(self) -> list[Frame]:
        """All frames up to the end of the connection."""
        return frames_in(await self.rest())

    def reset(self) -> None:
        """Break the connection off with a TCP RST."""
        endpoint: socket.socket = self.writer.get_extra_info("socket")
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def websocket(
    address: tuple[str, int],
    target: str,
    *headers: str,
    early: bytes = b"",
    narrow: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[ClientSide]:
    """Ask for a WebSocket; the answer may be another one. `early` goes right behind the request; `narrow` is for a
    client that reads slowly, and whose system keeps little for it.
    """
    endpoint = socket.socket()
    if narrow:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    endpoint.setblocking(False)
    await asyncio.get_running_loop().sock_connect(endpoint, address)
    name = address[0] if tls is not None else None
    limit = 4096 if narrow else 2**16
    reader, writer = await asyncio.open_connection(sock=endpoint, limit=limit, ssl=tls, server_hostname=name)
    try:
        writer.write(request("GET", target, *UPGRADE, *headers) + early)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        yield ClientSide(reader, writer, head[:-4])
    finally:
        writer.close()
