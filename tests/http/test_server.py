"""The listening side over real sockets: what aiohttp does that a gateway must not, and everything that is too slow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.errors import GatewayError
from gateway.http.aiohttp_server import AiohttpServer
from gateway.http.framing import HeadLimits, check_head
from gateway.http.message import Request, Response, Truncated
from gateway.http.server import HttpServer
from gateway.http.server_limits import ServerLimits
from tests.dialogue import request, statuses, talk

HEAD = HeadLimits(target=200, head=2000, fields=20)
Address = tuple[str, int]


async def echo(received: Request) -> Response:
    """Answers with the number of body bytes, or with the reason of a refusal."""
    try:
        check_head(received, HEAD)
        size = 0
        if received.body is not None:
            received.body.limit(5000)
            async for piece in received.body:
                size += len(piece)
    except GatewayError as error:
        return Response(error.reason.status, [(b"X-Reason", error.reason.name.encode())], closes=error.reason.closes)
    return Response(200, [(b"Content-Type", b"text/plain")], b"%d bytes" % size)


Start = Callable[..., Awaitable[Address]]


@pytest.fixture(params=[HttpServer, AiohttpServer])
async def start(request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    running = []

    async def begin(handler: Callable[[Request], Awaitable[Response]] = echo, **limits: float) -> Address:
        server = request.param(handler, ServerLimits(HEAD, **limits))  # type: ignore[arg-type]
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        running.append((server, listener))
        host, port = listener.sockets[0].getsockname()
        return host, port

    yield begin
    for server, listener in running:
        listener.close()
        server.drain()
        await server.wait_closed(1)


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"GET /\r\n\r\n", 505, "version_unsupported"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version_unsupported"),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "version_unsupported"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "host_invalid"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "host_invalid"),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_invalid"),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400, "request_invalid"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "request_invalid"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400, "request_invalid"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400, "request_invalid"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400, "request_invalid"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_invalid"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "request_invalid"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not_implemented"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not_implemented"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417, "expectation_failed"),
        (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
        (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 3000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 3000, 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: %b\r\n" % (b"a" * 500) * 5 + b"\r\n", 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20 + b"\r\n", 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431, "head_too_large"),
    ],
)
async def test_a_head_that_can_be_misread_is_refused_and_the_connection_closed(
    start: Start, sent: bytes, status: int, reason: str
) -> None:
    answer = await talk(await start(), sent)
    assert (answer.status, answer.header("X-Reason"), answer.closed) == (status, reason, True)


@pytest.mark.parametrize(
    ("framing", "status"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3", 400),
        (b"Content-Length: 3\r\nContent-Length: 3", 400),
        (b"Content-Length: 3\r\nContent-Length: 4", 400),
        (b"Content-Length: +3", 400),
        (b"Content-Length: 3, 3", 400),
        (b"Content-Length: 0x3", 400),
        (b"Content-Length:", 400),
        (b"Transfer-Encoding: xchunked", 501),
        (b"Transfer-Encoding: gzip, chunked", 501),
        (b"Transfer-Encoding: ,chunked", 501),
        (b"Transfer-Encoding: chunked, chunked", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: identity\r\nContent-Length: 3", 400),
    ],
)
async def test_framing_that_two_readers_could_take_differently_is_refused(
    start: Start, framing: bytes, status: int
) -> None:
    answer = await talk(await start(), b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n0\r\n\r\n")
    assert answer.status in {status, 400, 501}
    assert answer.status == status or status == 400
    assert answer.closed


async def test_transfer_encoding_on_http_1_0_is_refused(start: Start) -> None:
    answer = await talk(
        await start(), b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n\r\n"
    )
    assert answer.status == 400
    assert answer.closed


@pytest.mark.parametrize("broken", [b"zz\r\n", b"-1\r\n", b"0x1\r\n", b"1\rx\r\n", b"FFFFFFFFFFFFFFFFF\r\n"])
async def test_a_chunk_that_is_malformed_ends_the_request_with_400(start: Start, broken: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await talk(await start(), head, b"3\r\nabc\r\n", broken)
    assert answer.status == 400
    assert answer.closed


async def test_chunk_extensions_and_trailers_do_not_count_as_body(start: Start) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await talk(await start(), head, b"3;a=b\r\nabc\r\n0\r\nHost: evil\r\n\r\n")
    assert answer.body == b"3 bytes"


async def test_nothing_a_client_sent_comes_back_or_reaches_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = await start()
    for field in (b"Authorization: Bearer CANARY\x01", b"CANARY : x", b"X: y\n CANARY"):
        answer = await talk(address, b"GET /CANARY HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
        assert answer.status == 400
        assert b"CANARY" not in answer.raw
    assert "CANARY" not in caplog.text


async def test_a_client_that_waits_for_100_gets_it_only_when_the_body_is_wanted(start: Start) -> None:
    async def refuse_all(received: Request) -> Response:
        return Response(401)

    head = request("POST", "/", "Expect: 100-continue", "Content-Length: 3")
    wanted = await talk(await start(), head, b"abc")
    refused = await talk(await start(refuse_all), head)
    assert statuses(wanted.raw) == [100, 200]
    assert statuses(refused.raw) == [401]
    assert refused.header("Connection") == "close"


async def test_an_expectation_on_http_1_0_is_ignored(start: Start) -> None:
    answer = await talk(
        await start(), b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    )
    assert statuses(answer.raw) == [200]


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    async def name_target(received: Request) -> Response:
        await asyncio.sleep(0.02 if received.target == "/1" else 0)
        return Response(200, body=received.target.encode())

    answer = await talk(await start(name_target), b"".join(request("GET", f"/{n}") for n in range(1, 6)))
    assert [part[-2:] for part in answer.raw.split(b"HTTP/1.1 200 OK")[1:]] == [b"/%d" % n for n in range(1, 6)]


async def test_requests_behind_an_upgrade_that_is_not_taken_are_answered_once_each(start: Start) -> None:
    upgrade = request("GET", "/", "Connection: upgrade", "Upgrade: websocket")
    answer = await talk(await start(), upgrade + request("GET", "/") * 40, silence=0.5)
    assert statuses(answer.raw) == [200] * 41


async def test_a_compressed_body_arrives_unchanged(start: Start) -> None:
    answer = await talk(await start(), request("POST", "/", "Content-Encoding: gzip", body=b"no gzip at all"))
    assert answer.body == b"14 bytes"


async def test_a_head_that_never_ends_is_answered_with_408(start: Start) -> None:
    address = await start(request_head=0.2)
    answer = await talk(address, b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n", pause=0.1, silence=2)
    assert (answer.status, answer.closed) == (408, True)


async def test_a_connection_without_a_byte_is_closed_after_the_time_for_a_head(start: Start) -> None:
    answer = await talk(await start(request_head=0.2))
    assert (answer.raw, answer.closed) == (b"", True)


async def test_an_idle_connection_is_closed(start: Start) -> None:
    answer = await talk(await start(idle=0.2), request("GET", "/"), silence=2)
    assert (answer.status, answer.closed) == (200, True)


async def test_a_body_that_stalls_is_answered_with_408(start: Start) -> None:
    answer = await talk(await start(request_body=0.2), request("POST", "/", "Content-Length: 10") + b"abc", silence=4)
    assert (answer.status, answer.closed) == (408, True)


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Content-Length: 6000", b"x" * 6000),
        ("Transfer-Encoding: chunked", b"1770\r\n" + b"x" * 6000 + b"\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_over_the_limit_is_answered_with_413(start: Start, framing: str, body: bytes) -> None:
    answer = await talk(await start(), request("POST", "/", framing) + body)
    assert (answer.status, answer.closed) == (413, True)


async def test_a_connection_over_the_limit_is_told_so_and_closed(start: Start) -> None:
    address = await start(connections=2)
    held = [await asyncio.open_connection(*address) for _ in range(2)]
    answer = await talk(address)
    for _, writer in held:
        writer.close()
    assert (answer.status, answer.header("X-Reason"), answer.closed) == (503, "overloaded", True)


async def test_a_connection_ends_after_its_number_of_requests(start: Start) -> None:
    answer = await talk(await start(requests_per_connection=2), request("GET", "/") * 3)
    assert statuses(answer.raw) == [200, 200]
    assert answer.closed


class Broken:
    """A response body that breaks off after its first piece."""

    def __init__(self) -> None:
        self.closed = False
        self.pieces = [b"half"]

    async def read(self) -> bytes:
        if not self.pieces:
            raise Truncated
        return self.pieces.pop()

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("length", [None, 8])
async def test_a_response_that_breaks_off_never_looks_whole(start: Start, length: int | None, version: bytes) -> None:
    stream = Broken()
    ends = []

    async def break_off(received: Request) -> Response:
        return Response(200, stream=stream, length=length, upon_end=lambda *end: ends.append(end))

    reader, writer = await asyncio.open_connection(*await start(break_off))
    writer.write(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
    reset = False
    raw = b""
    try:
        raw = await asyncio.wait_for(reader.read(), 2)
    except ConnectionResetError:
        reset = True
    writer.close()
    assert not raw.endswith(b"0\r\n\r\n")
    assert reset or length == 8 or b"chunked" in raw
    assert stream.closed
    assert ends == [(4, False)]


async def test_a_client_that_goes_away_ends_the_handler(start: Start) -> None:
    ended = asyncio.Event()

    async def wait_for_ever(received: Request) -> Response:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        raise AssertionError

    _, writer = await asyncio.open_connection(*await start(wait_for_ever))
    writer.write(request("GET", "/"))
    await asyncio.sleep(0.05)
    writer.close()
    await asyncio.wait_for(ended.wait(), 2)


async def test_head_and_204_have_no_body_and_keep_the_connection_in_step(start: Start) -> None:
    async def answer(received: Request) -> Response:
        return Response(204) if received.target == "/204" else Response(200, body=b"body")

    said = await talk(await start(answer), request("HEAD", "/") + request("GET", "/204") + request("GET", "/"))
    assert statuses(said.raw) == [200, 204, 200]
    assert said.raw.count(b"\r\nContent-Length: 4\r\n") == 2
    assert said.raw.endswith(b"\r\n\r\nbody")


async def test_a_fault_in_the_handler_is_a_bare_500(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(received: Request) -> Response:
        raise RuntimeError("inside")

    answer = await talk(await start(fail), request("GET", "/"))
    assert (answer.status, answer.body, answer.closed) == (500, b"", True)
    assert "inside" in caplog.text


async def test_a_client_that_does_not_read_is_cut_off(start: Start) -> None:
    ended = asyncio.Event()

    class Endless:
        async def read(self) -> bytes:
            return b"x" * 65536

        def close(self) -> None:
            ended.set()

    async def answer(received: Request) -> Response:
        return Response(200, stream=Endless())

    _, writer = await asyncio.open_connection(*await start(answer, request_body=0.2), limit=1024)
    writer.write(request("GET", "/"))
    await asyncio.wait_for(ended.wait(), 5)
    writer.close()


async def test_a_connection_that_comes_while_draining_is_told_so() -> None:
    server = HttpServer(echo, ServerLimits(HEAD))
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    server.drain()
    answer = await talk(listener.sockets[0].getsockname())
    listener.close()
    await server.wait_closed(1)
    assert (answer.status, answer.header("X-Reason"), answer.closed) == (503, "draining", True)


async def test_a_renewed_server_lets_another_handler_answer_on_open_connections_within_other_limits() -> None:
    async def other(received: Request) -> Response:
        check_head(received, wide)
        return Response(200, (), b"other")

    wide = HeadLimits(target=20_000, head=20_000, fields=20)
    server = HttpServer(echo, ServerLimits(HEAD))
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    try:
        for _ in range(2):
            writer.write(request("GET", "/"))
            assert (await asyncio.wait_for(reader.readuntil(b"0 bytes"), 20)).startswith(b"HTTP/1.1 200 ")
        server.renew(other, ServerLimits(wide, requests_per_connection=4))
        for target in ("/", f"/{'x' * 10_000}"):
            writer.write(request("GET", target))
            answer = await asyncio.wait_for(reader.readuntil(b"other"), 20)
            assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close" in answer
    finally:
        writer.close()
        listener.close()
        server.drain()
        await server.wait_closed(1)
