"""Writing to one client: how many writes, how they are framed, and what happens while the client does not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from gateway.http.message import Response, Truncated
from gateway.http.response_writer import ResponseWriter
from tests.http.origin import until


class Client(asyncio.Protocol):
    """Our end of a connection whose other end is a socket that a test reads, or does not."""

    writer: ResponseWriter
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.writer = ResponseWriter(self.transport)

    def pause_writing(self) -> None:
        self.writer.pause(1.0)

    def resume_writing(self) -> None:
        self.writer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self.writer.resume()
        self.lost.set()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Client, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    theirs.setblocking(False)
    _, client = await asyncio.get_running_loop().create_connection(Client, sock=ours)
    try:
        yield client, theirs
    finally:
        client.transport.abort()
        theirs.close()
        await client.lost.wait()
        await asyncio.sleep(0)


class Pieces:
    """A body that arrives in these pieces; `read` counts them."""

    def __init__(self, pieces: Sequence[bytes], end: Callable[[], bytes] = bytes) -> None:
        self.pieces = list(pieces)
        self.end = end
        self.read_pieces = 0

    async def read(self) -> bytes:
        if not self.pieces:
            return self.end()
        self.read_pieces += 1
        return self.pieces.pop(0)

    def close(self) -> None:
        """Nothing behind it."""


async def received(client: socket.socket, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(5):
        while len(data) < size:
            data += await asyncio.get_running_loop().sock_recv(client, size - len(data))
    return data


async def test_a_small_response_is_one_write_and_a_bodiless_one_only_its_head() -> None:
    async with connected() as (client, other):
        client.writer.send(Response(200, body=b"hello"), is_bodiless=False, is_http10=False, closes=False)
        assert client.writer.sent == 5
        data = await received(other, 1)
        data += other.recv(65536)  # all of it was there at once
        assert data.endswith(b"\r\n\r\nhello")
        client.writer.send(Response(200, body=b"hello"), is_bodiless=True, is_http10=False, closes=False)
        assert client.writer.sent == 0
        await asyncio.sleep(0.05)
        assert other.recv(65536).endswith(b"Content-Length: 5\r\n\r\n")


@pytest.mark.parametrize(
    ("is_chunked", "wire"), [(True, b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"), (False, b"abcd")], ids=["chunked", "plain"]
)
async def test_each_piece_goes_out_when_it_arrives(is_chunked: bool, wire: bytes) -> None:
    async with connected() as (client, other):
        await client.writer.send_stream(Pieces([b"abc", b"d"]), is_chunked=is_chunked)
        assert await received(other, len(wire)) == wire


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_body_that_breaks_off_gets_no_end(is_chunked: bool) -> None:
    def broken() -> bytes:
        raise Truncated("half of it")

    async with connected() as (client, other):
        with pytest.raises(Truncated):
            await client.writer.send_stream(Pieces([b"abc"], broken), is_chunked=is_chunked)
        client.transport.close()
        await until(lambda: client.transport.is_closing())
        data = b""
        while piece := await asyncio.get_running_loop().sock_recv(other, 100):
            data += piece
        assert data == (b"3\r\nabc\r\n" if is_chunked else b"abc")


async def test_a_client_that_does_not_read_stops_the_reading_of_the_body_until_it_does() -> None:
    piece = b"x" * 65536
    body = Pieces([piece] * 1000)
    async with connected() as (client, other):
        sending = asyncio.create_task(client.writer.send_stream(body, is_chunked=False))
        await until(lambda: client.writer.paused_since is not None)
        stopped_at = body.read_pieces
        await asyncio.sleep(0.05)
        assert body.read_pieces == stopped_at < 1000
        assert client.transport.get_write_buffer_size() <= 2 * 65536
        assert len(await received(other, 65536 * 1000)) == 65536 * 1000
        await sending
        assert client.writer.sent == 65536 * 1000


async def test_a_client_that_goes_away_meanwhile_ends_it() -> None:
    async with connected() as (client, other):
        sending = asyncio.create_task(client.writer.send_stream(Pieces([b"x" * 65536] * 1000), is_chunked=False))
        await until(lambda: client.writer.paused_since is not None)
        other.close()
        with pytest.raises(Truncated):
            await sending


async def test_a_reset_is_seen_as_one() -> None:
    async with connected() as (client, other):
        client.writer.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(other, 1)
