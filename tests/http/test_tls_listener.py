"""A listener over TLS: handshakes within time and number, and the server of `http.server` behind it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.http.framing import HeadLimits
from gateway.http.message import Request, Response, Truncated
from gateway.http.server import HttpServer
from gateway.http.server_limits import ServerLimits
from gateway.http.tls import ServerContext
from gateway.http.tls_listener import Handshakes, TlsListener, tcp_sockets, unix_socket
from tests.certificates import Authority
from tests.http.origin import until

AUTHORITY = Authority()
GET = b"GET / HTTP/1.1\r\nHost: orders.example\r\n\r\n"
LIMITS = ServerLimits(
    HeadLimits(8192, 32768, 100), connections=100, requests_per_connection=0, request_head=5, request_body=5, idle=5
)


class Broken:
    """A body that breaks off after its first piece."""

    def __init__(self) -> None:
        self._pieces = [b"begun"]

    async def read(self) -> bytes:
        if not self._pieces:
            raise Truncated("broken off")
        return self._pieces.pop()

    def close(self) -> None:
        pass


async def answer(request: Request) -> Response:
    if request.defect is not None:
        return Response(request.defect.reason.status, closes=True)
    if request.target == "/refused":
        return Response(413, (), b"too large", closes=True)
    if request.target == "/broken":
        return Response(200, (), stream=Broken())
    read = b"".join([piece async for piece in request.body]) if request.body is not None else b""
    return Response(200, (), f"{request.scheme} {request.peer} {len(read)}".encode())


class Listening:
    """What a test looks at."""

    def __init__(self, server: HttpServer, handshakes: Handshakes, port: int) -> None:
        self.server, self.handshakes, self.port = server, handshakes, port

    async def connect(self, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = context or AUTHORITY.client()
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="orders.example")


@contextlib.asynccontextmanager
async def listening(folder: Path, *, context: Any = None, **rules: Any) -> AsyncIterator[Listening]:
    AUTHORITY.sign("orders.example").write(folder)
    server = HttpServer(answer, LIMITS, scheme="https")
    context = context or ServerContext(str(folder / "tls.crt"), str(folder / "tls.key"))
    handshakes = Handshakes(server, context, **{"timeout": 5, **rules})
    [bound] = tcp_sockets("127.0.0.1", 0, 100)
    listener = TlsListener(bound, handshakes)
    try:
        yield Listening(server, handshakes, listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await handshakes.finish(0)
        server.drain()
        await server.wait_closed(1)
        await until(lambda: handshakes.under_way == 0)


async def exchange(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], sent: bytes = GET
) -> tuple[bytes, bytes]:
    """Head and body of one response with a length."""
    reader, writer = connection
    writer.write(sent)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await asyncio.wait_for(reader.readexactly(length), 10)


async def test_requests_are_answered_and_know_that_they_came_over_tls(tmp_path: Path) -> None:
    async with listening(tmp_path) as tls:
        connection = await tls.connect()
        for _ in range(3):
            assert (await exchange(connection))[1] == b"https 127.0.0.1 0"
        body = b"x" * 1_000_000
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        assert (await exchange(connection, post))[1] == b"https 127.0.0.1 1000000"
        assert tls.server.open_connections == 1
        connection[1].close()
        await until(lambda: tls.server.open_connections == 0)


async def test_a_new_certificate_is_for_new_connections_and_old_ones_go_on(tmp_path: Path) -> None:
    now = 1000.0
    AUTHORITY.sign("orders.example").write(tmp_path)
    context = ServerContext(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"), clock=lambda: now)
    async with listening(tmp_path, context=context) as tls:
        old = await tls.connect()
        await exchange(old)
        AUTHORITY.sign("orders.example").write(tmp_path)
        now += 6
        new = await tls.connect()
        serials = [each[1].get_extra_info("peercert")["serialNumber"] for each in (old, new)]
        assert serials[0] != serials[1]
        for connection in (old, new):
            assert (await exchange(connection))[1] == b"https 127.0.0.1 0"
            connection[1].close()


async def test_a_refused_client_that_is_still_sending_gets_to_read_the_refusal(tmp_path: Path) -> None:
    async with listening(tmp_path) as tls:
        reader, writer = connection = await tls.connect()
        head = b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n"
        assert (await exchange(connection, head + b"x" * 300_000))[0].startswith(b"HTTP/1.1 413")
        for _ in range(3):  # it goes on sending for a while, and is not reset
            writer.write(b"x" * 100_000)
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.close()
        await until(lambda: tls.server.open_connections == 0)
        assert not reader.exception()


async def test_a_refused_client_that_stays_is_closed_after_a_while(tmp_path: Path) -> None:
    async with listening(tmp_path) as tls:
        reader, writer = await tls.connect()
        writer.write(b"BROKEN\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 400")
        writer.close()
        await until(lambda: tls.server.open_connections == 0)


async def test_a_response_that_breaks_off_does_not_look_whole(tmp_path: Path) -> None:
    async with listening(tmp_path) as tls:
        reader, writer = await tls.connect()
        writer.write(GET.replace(b"/ ", b"/broken "))
        received = await asyncio.wait_for(reader.read(), 10)
        assert received.endswith(b"5\r\nbegun\r\n")
        writer.close()


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
async def test_who_does_not_shake_hands_in_time_is_closed(tmp_path: Path, first: bytes) -> None:
    async with listening(tmp_path, timeout=0.2) as tls:
        reader, writer = await asyncio.open_connection("127.0.0.1", tls.port)
        writer.write(first)
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in await asyncio.wait_for(reader.read(), 10)
        await until(lambda: tls.handshakes.under_way == 0)
        assert tls.server.open_connections == 0
        writer.close()


async def test_of_too_many_handshakes_the_oldest_gives_way_and_clients_still_get_through(tmp_path: Path) -> None:
    async with listening(tmp_path, timeout=60, most=10) as tls:
        silent = [await asyncio.open_connection("127.0.0.1", tls.port) for _ in range(50)]
        await until(lambda: tls.handshakes.under_way == 10)
        for _ in range(5):
            connection = await tls.connect()
            assert (await exchange(connection))[1] == b"https 127.0.0.1 0"
            connection[1].close()
        await until(lambda: sum(reader.at_eof() for reader, _ in silent) >= 40)
        assert tls.handshakes.under_way <= 10
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize(
    ("shows", "asks", "alert"),
    [
        (None, "required", "certificate required"),
        ("foreign", "required", "unknown ca"),
        ("foreign", "optional", "unknown ca"),
        ("expired", "optional", "certificate expired"),
    ],
)
async def test_a_client_without_the_right_certificate_is_told_what_is_wrong(
    tmp_path: Path, shows: str | None, asks: str, alert: str
) -> None:
    Authority("foreign").sign("c").write(tmp_path / "foreign")
    AUTHORITY.sign("c", until=-datetime.timedelta(minutes=1)).write(tmp_path / "expired")
    server = AUTHORITY.sign("orders.example").write(tmp_path)
    context = ServerContext(
        str(server / "tls.crt"),
        str(server / "tls.key"),
        client_ca=str(AUTHORITY.write(tmp_path / "ca.crt")),
        client_certificate=asks,
    )
    async with listening(tmp_path, context=context) as tls:
        with pytest.raises(ssl.SSLError, match=f"alert {alert}"):
            # In TLS 1.3 a client learns it after its own handshake (RFC 8446 §4.4.2.4).
            await exchange(await tls.connect(AUTHORITY.client(tmp_path / shows if shows is not None else None)))
        await until(lambda: tls.handshakes.under_way == 0)
        assert tls.server.open_connections == 0


async def test_a_handshake_that_has_begun_may_end_when_no_more_are_accepted(tmp_path: Path) -> None:
    async with listening(tmp_path, timeout=60) as tls:
        silent_reader, silent_writer = await asyncio.open_connection("127.0.0.1", tls.port)
        await until(lambda: tls.handshakes.under_way == 1)
        connecting = asyncio.create_task(tls.connect())
        await tls.handshakes.finish(1)
        connection = await connecting
        assert (await exchange(connection))[1] == b"https 127.0.0.1 0"
        connection[1].close()
        assert await asyncio.wait_for(silent_reader.read(), 5) == b""
        silent_writer.close()


async def test_a_client_of_an_old_protocol_or_another_authority_gets_no_connection(tmp_path: Path) -> None:
    async with listening(tmp_path) as tls:
        old = AUTHORITY.client()
        with pytest.deprecated_call():
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")  # so that it does offer it
        for context in (old, Authority("other").client()):
            with pytest.raises(ssl.SSLError):
                await tls.connect(context)
        await until(lambda: tls.handshakes.under_way == 0)
        assert tls.server.open_connections == 0


async def test_it_listens_at_a_unix_socket_too_and_takes_over_one_that_was_left(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    unix_socket(path, 1).close()  # the file stays
    AUTHORITY.sign("orders.example").write(tmp_path)
    server = HttpServer(answer, LIMITS, scheme="https")
    handshakes = Handshakes(server, ServerContext(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key")), timeout=5)
    listener = TlsListener(unix_socket(path, 100), handshakes)
    connection = await asyncio.open_unix_connection(path, ssl=AUTHORITY.client(), server_hostname="orders.example")
    assert (await exchange(connection))[1] == b"https  0"
    connection[1].close()
    listener.close()
    await handshakes.finish(5)
    await server.wait_closed(1)


def test_an_address_that_is_taken_is_an_error_and_leaves_no_socket() -> None:
    [taken] = tcp_sockets("127.0.0.1", 0, 1)
    with taken, pytest.raises(OSError, match="in use"):
        tcp_sockets("127.0.0.1", taken.getsockname()[1], 1)
    gc.collect()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", 0))
