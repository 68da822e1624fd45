"""One client's connection: who may go on when, how much is kept for it, and how it ends. On both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.errors import GatewayError
from gateway.http.body import UNREAD, RequestBody
from gateway.http.framing import HeadLimits, check_head
from gateway.http.message import Request, Response
from gateway.http.server import HttpServer
from gateway.http.server_limits import ServerLimits
from tests.dialogue import request, statuses, talk
from tests.http.origin import until

HEAD = HeadLimits(target=200, head=2000, fields=20)
ONE_READ = 256 * 1024
"""The most that an event loop reads at once."""

Handler = Callable[[Request], Awaitable[Response]]
Address = tuple[str, int]


@contextlib.asynccontextmanager
async def serving(handler: Handler, buffer: int = 0, **limits: float) -> AsyncIterator[tuple[Address, HttpServer]]:
    """A server on loopback; `buffer` makes the kernel keep little of what it sends."""
    server = HttpServer(handler, ServerLimits(HEAD, **limits))  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        listener = await asyncio.get_running_loop().create_server(server, sock=listening)
        try:
            yield listening.getsockname(), server
        finally:
            listener.close()
            server.drain()
            await server.wait_closed(1)


async def read_all(received: Request) -> Response:
    try:
        check_head(received, HEAD)
        size = 0
        if received.body is not None:
            async for piece in received.body:
                size += len(piece)
    except GatewayError as error:
        return Response(error.reason.status, closes=error.reason.closes)
    return Response(200, body=b"%d bytes" % size)


async def name_target(received: Request) -> Response:
    return Response(200, body=received.target.encode())


# --- requests one after the other --------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_its_answers_is_not_given_more_until_it_does() -> None:
    answered = 0

    async def answer(received: Request) -> Response:
        nonlocal answered
        answered += 1
        return Response(200, body=b"x" * 2000)

    async with serving(answer, buffer=4096) as (address, _):
        reader, writer = await asyncio.open_connection(*address, limit=1024)
        writer.transport.pause_reading()
        total = 5000
        writer.write(request("GET", "/") * total)
        await until(lambda: answered > 0)
        seen = -1
        while seen != answered:
            seen = answered
            await asyncio.sleep(0.1)
        assert answered < total
        writer.transport.resume_reading()
        size = len(b"HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 01:00:00 GMT\r\nContent-Length: 2000\r\n\r\n") + 2000
        received = await asyncio.wait_for(reader.readexactly(total * size), 30)
        assert received.count(b"HTTP/1.1 200 OK") == answered == total
        writer.close()


async def test_others_have_their_turn_while_one_client_has_sent_thousands_of_requests() -> None:
    answered: list[str] = []

    async def answer(received: Request) -> Response:
        answered.append(received.target)
        return Response(200)

    async with serving(answer) as (address, _):
        _, greedy = await asyncio.open_connection(*address)
        _, other = await asyncio.open_connection(*address)
        # Both arrive while the loop is busy here; the greedy one is the first to be read.
        greedy.write(request("GET", "/many") * 3000)
        other.write(request("GET", "/one"))
        await until(lambda: len(answered) == 3001, 10)
        assert answered.index("/one") < 1000
        greedy.close()
        other.close()


async def test_what_is_pipelined_is_kept_back_unread_while_an_answer_is_due() -> None:
    release = asyncio.Event()
    handled = 0

    async def hang(received: Request) -> Response:
        nonlocal handled
        handled += 1
        await release.wait()
        return Response(200)

    async with serving(hang, buffer=4096) as (address, server):
        reader, writer = await asyncio.open_connection(*address)
        flood = request("GET", "/") * 10_000
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(100):
                writer.write(flood)
                await writer.drain()
                sent += len(flood)

        sending = asyncio.create_task(send())
        await until(lambda: handled == 1)
        await asyncio.sleep(0.3)
        connection = next(iter(server.connections))
        assert len(connection._unread) <= UNREAD + ONE_READ
        assert not sending.done()
        assert handled == 1
        sending.cancel()
        release.set()
        assert statuses(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)) == [200]
        writer.close()


async def test_an_exchange_that_ends_without_an_answer_ends_the_connection() -> None:
    # A cancelled future somewhere below is no answer, and the answer to the next request must not pass for this one's.
    async def cancelled(received: Request) -> Response:
        if received.target == "/1":
            raise asyncio.CancelledError
        return Response(200)

    async with serving(cancelled) as (address, _):
        answer = await talk(address, request("GET", "/1") + request("GET", "/2"))
        assert (answer.raw, answer.closed) == (b"", True)


async def test_a_fault_while_the_answer_is_sent_is_logged_and_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Faulty:
        async def read(self) -> bytes:
            raise LookupError("a fault of ours")

        def close(self) -> None:
            """Nothing behind it."""

    async def answer(received: Request) -> Response:
        return Response(200, stream=Faulty())

    async with serving(answer) as (address, _):
        said = await talk(address, request("GET", "/") + request("GET", "/"))
        assert (said.raw.count(b"HTTP/1.1 "), said.closed) == (1, True)
        assert "a fault of ours" in caplog.text


@pytest.mark.parametrize("framing", ["Content-Length: 20", "Transfer-Encoding: chunked"])
async def test_after_an_early_answer_the_rest_of_the_body_is_no_request(framing: str) -> None:
    smuggled = b"GET /evil HTTP/1.1\r\n"
    assert len(smuggled) == 20

    async with serving(name_target) as (address, _):
        body = smuggled if "Length" in framing else b"14\r\n" + smuggled + b"\r\n0\r\n\r\n"
        for parts in ((body,), (body[:7], body[7:])):
            said = await talk(address, request("POST", "/first", framing), *parts, request("GET", "/second"))
            assert statuses(said.raw) == [200, 200]
            assert b"/evil" not in said.raw
            assert said.raw.endswith(b"/second")


async def test_a_client_is_told_the_answer_while_it_still_sends_and_then_cut_off() -> None:
    async def refuse(received: Request) -> Response:
        return Response(401)

    async with serving(refuse) as (address, server):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request("POST", "/", "Content-Length: 10000000000"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert statuses(head) == [401]
        assert b"Connection: close" in head
        sent = 0
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()
                    sent += 65536
        assert sent < 2**26  # what the kernel takes, and a megabyte of ours
        await until(lambda: not server.connections)
        writer.close()


# --- bodies ------------------------------------------------------------------------------------------------------


async def test_of_a_body_no_more_is_kept_than_one_read_however_slow_its_reader_is() -> None:
    most = 0
    received_bytes = 0

    async def read_slowly(received: Request) -> Response:
        nonlocal most, received_bytes
        assert isinstance(received.body, RequestBody)
        async for piece in received.body:
            received_bytes += len(piece)
            for _ in range(3):
                await asyncio.sleep(0)
                most = max(most, received.body.unread)
        return Response(200)

    async with serving(read_slowly) as (address, _):
        for framing, body in (
            ("Content-Length: 20000000", b"x" * 20_000_000),
            ("Transfer-Encoding: chunked", b"1000\r\n" + b"y" * 4096 + b"\r\n"),
        ):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(request("POST", "/", framing))
            writer.write(body if "Length" in framing else body * 2000 + b"0\r\n\r\n")
            assert statuses(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)) == [200]
            writer.close()
        assert received_bytes == 20_000_000 + 4096 * 2000
        assert most <= ONE_READ + UNREAD


async def test_a_body_in_chunks_of_one_byte_arrives_whole_and_in_large_pieces() -> None:
    pieces: list[int] = []

    async def count(received: Request) -> Response:
        assert received.body is not None
        pieces.extend([len(piece) async for piece in received.body])
        return Response(200)

    async with serving(count) as (address, _):
        said = await talk(
            address, request("POST", "/", "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
        )
        assert said.status == 200
        assert sum(pieces) == 50_000
        assert len(pieces) < 500


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of an end that is not read")
@pytest.mark.parametrize("sent", [1_000, 60_000])
async def test_a_client_that_goes_away_is_noticed_though_nobody_reads_its_body(sent: int) -> None:
    ended = asyncio.Event()

    async def ignore_body(received: Request) -> Response:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        raise AssertionError

    async with serving(ignore_body) as (address, _):
        _, writer = await asyncio.open_connection(*address)
        writer.write(request("POST", "/", "Content-Length: 5000000") + b"x" * sent)
        await asyncio.sleep(0.1)
        writer.write(b"y" * sent)  # this waits in the kernel, and the end behind it
        writer.close()
        await asyncio.wait_for(ended.wait(), 3)


# --- lateness and ends -------------------------------------------------------------------------------------------


async def test_empty_lines_behind_a_request_are_no_late_request() -> None:
    async with serving(read_all, request_head=0.2) as (address, _):
        said = await talk(address, request("POST", "/", body=b"abc"), b"\r\n", silence=3)
        assert statuses(said.raw) == [200]
        assert said.closed
        said = await talk(address, b"\r\n\r\n", request("GET", "/"), silence=3)
        assert statuses(said.raw) == [200]


async def test_a_client_that_never_takes_the_end_of_its_answer_is_cut_off() -> None:
    async def answer(received: Request) -> Response:
        return Response(200, body=b"x" * 60_000, closes=True)  # less than what makes the writer wait

    async with serving(answer, buffer=2048, request_body=0.3) as (address, server):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, address)
            await loop.sock_sendall(client, request("GET", "/"))
            await until(lambda: len(server.connections) == 1)
            await until(lambda: not server.connections, 10)


async def test_draining_lets_a_head_that_has_begun_come_to_its_end() -> None:
    async with serving(read_all) as (address, server):
        reader, writer = await asyncio.open_connection(*address)
        _, idle = await asyncio.open_connection(*address)
        whole = request("GET", "/")
        writer.write(whole[:10])
        await until(lambda: len(server.connections) == 2)
        await until(lambda: sum(not connection.is_idle for connection in server.connections) == 1)
        server.drain()
        await until(lambda: len(server.connections) == 1)
        writer.write(whole[10:])
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert statuses(head) == [200]
        assert b"Connection: close" in head
        writer.close()
        idle.close()


async def test_a_client_that_closes_in_the_middle_of_anything_leaves_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def slow(received: Request) -> Response:
        response = await read_all(received)
        await asyncio.sleep(0.01)
        return response

    caplog.set_level(logging.WARNING)
    whole = request("POST", "/", "Expect: 100-continue", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n"
    async with serving(slow) as (address, server):
        for size in range(0, len(whole) + 1, 3):
            _, writer = await asyncio.open_connection(*address)
            writer.write(whole[:size])
            await asyncio.sleep(0)
            writer.transport.abort() if size % 2 else writer.close()
        await until(lambda: not server.connections, 5)
    assert caplog.records == []


async def test_thousands_of_idle_connections_are_closed_in_time_and_new_ones_served() -> None:
    async with serving(read_all, idle=3, request_head=3, connections=300) as (address, server):
        held = [await asyncio.open_connection(*address) for _ in range(300)]
        assert (await talk(address)).status == 503
        await until(lambda: not server.connections, 20)
        assert (await talk(address, request("GET", "/"))).status == 200
        for _, writer in held:
            writer.close()
