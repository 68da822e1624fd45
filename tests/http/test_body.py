"""Request bodies: framing at every split, what is dropped, limits, and how much of one is ever in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator

import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.body import UNREAD, ChunkDecoder, LengthDecoder, RequestBody, begin_body
from gateway.http.message import Fields
from tests.http.origin import until


class Wire:
    """Where a body comes from: counts how often it was told to read on."""

    def __init__(self) -> None:
        self.reads = 0

    def read_on(self) -> None:
        self.reads += 1


def chunked() -> tuple[RequestBody, ChunkDecoder]:
    body = RequestBody(Wire(), None)
    return body, ChunkDecoder(body)


async def whole(body: RequestBody) -> bytes:
    return b"".join([piece async for piece in body])


def feed(decoder: ChunkDecoder, parts: Iterable[bytes]) -> None:
    for part in parts:
        decoder.feed(part)


def splits(data: bytes) -> Iterator[list[bytes]]:
    """The bytes at once, one by one, and in two parts at every place."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


# --- framing -----------------------------------------------------------------------------------------------------

CHUNKED = [
    (b"0\r\n\r\n", b""),
    (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    (b"3;a=b;c\r\nabc\r\n1\r\nd\r\n0;x\r\n\r\n", b"abcd"),
    (b"A\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n\r\n\r\n\r\n"),
    (b"003\r\n\r\n\r\r\n0\r\n\r\n", b"\r\n\r"),
    (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    (b"1\r\nx\r\n0\r\nHost: evil\r\nX: y\r\n\r\n", b"x"),
]


@pytest.mark.parametrize(("sent", "expected"), CHUNKED)
async def test_a_chunked_body_is_the_same_at_every_split_and_takes_nothing_behind_it(
    sent: bytes, expected: bytes
) -> None:
    behind = b"GET / HTTP/1.1\r\n\r\n"
    for parts in splits(sent + behind):
        body, decoder = chunked()
        taken = 0
        for part in parts:
            if not body.is_whole:
                taken += decoder.feed(part)
        assert taken == len(sent), parts
        assert await whole(body) == expected, parts


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_a_body_of_known_length_ends_there(size: int) -> None:
    for parts in splits(b"x" * size + b"GET"):
        body = RequestBody(Wire(), size)
        decoder = LengthDecoder(body, size)
        taken = 0
        for part in parts:
            if not body.is_whole:
                taken += decoder.feed(part)
        assert (taken, await whole(body)) == (size, b"x" * size)


BROKEN = [
    b"zz\r\n",
    b"-1\r\nx\r\n",
    b"+1\r\nx\r\n",
    b"0x1\r\nx\r\n",
    b" 1\r\nx\r\n",
    b"1 \r\nx\r\n",
    b"1\nx\n0\n\n",
    b"1\r\nxx\r\n",
    b"1\r\nx0\r\n\r\n",
    b"1\r\nx\n0\r\n\r\n",
    b"1;a\nb\r\nx\r\n",
    b"1;\x00\r\nx\r\n",
    b"FFFFFFFFFFFFFFFFF\r\n",
    b"\r\n",
    b"1\r\nx\r\n0\r\nX : y\r\n\r\n",
    b"1\r\nx\r\n0\r\n folded\r\n\r\n",
    b"1\r\nx\r\n0\r\nX: a\nb\r\n\r\n",
]


@pytest.mark.parametrize("sent", BROKEN)
def test_chunks_that_two_readers_could_take_differently_are_refused_at_every_split(sent: bytes) -> None:
    for parts in splits(sent):
        _, decoder = chunked()
        with pytest.raises(GatewayError) as refused:
            feed(decoder, parts)
        assert refused.value.reason is errors.FRAMING_INVALID
        assert refused.value.__cause__ is None


@pytest.mark.parametrize("endless", [b"1;" + b"a" * 1000, b"0\r\n" + b"X: y\r\n" * 200])
def test_neither_extensions_nor_trailers_go_on_for_ever(endless: bytes) -> None:
    _, decoder = chunked()
    decoder.feed(endless)
    more = b"a" * 1000 if endless.startswith(b"1;") else b"X: y\r\n" * 200
    with pytest.raises(GatewayError):
        feed(decoder, [more] * 100)


def test_no_contents_of_a_body_make_it_dear_to_read() -> None:
    # Each empty line is looked at as a possible end; a body of nothing else must not cost the square of its size.
    lines = b"\r\n" * 100_000
    started = time.process_time()
    _, decoder = chunked()
    decoder.feed(b"%x\r\n" % len(lines) + lines + b"\r\n0\r\n\r\n")
    _, decoder = chunked()
    decoder.feed(b"1\r\nx\r\n" * 100_000)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("fields", "length", "decoder"),
    [
        ([(b"Content-Length", b"5")], 5, LengthDecoder),
        ([(b"content-length", b"0")], None, None),
        ([(b"Transfer-Encoding", b"chunked")], None, ChunkDecoder),
    ],
)
def test_the_fields_say_what_follows(
    fields: list[tuple[bytes, bytes]], length: int | None, decoder: type | None
) -> None:
    body, found = begin_body(Wire(), Fields(fields), None)
    assert (body.length if body is not None else None) == length
    assert (type(found) if found is not None else None) is decoder


# --- reading -----------------------------------------------------------------------------------------------------


async def test_a_reader_gets_what_has_arrived_in_one_piece_and_waits_for_the_rest() -> None:
    body = RequestBody(Wire(), 6)
    reading = asyncio.create_task(whole(body))
    await until(lambda: body.is_waited_for)
    body.feed(b"ab")
    await until(lambda: body.is_waited_for and body.received == 2)
    body.feed(b"cd")
    body.feed(b"ef", is_last=True)
    assert await reading == b"abcdef"
    assert (body.received, body.is_whole) == (6, True)


async def test_only_a_reader_that_comes_for_more_lets_the_client_go_on() -> None:
    wire = Wire()
    body = RequestBody(wire, None)
    body.feed(b"a" * 10_000)
    assert body.unread > UNREAD
    assert len(await anext(body)) == 10_000
    assert (wire.reads, body.unread) == (0, 10_000)  # it still has that piece in its hands
    reading = asyncio.create_task(anext(body))
    await until(lambda: body.is_waited_for)
    assert (wire.reads, body.unread) == (1, 0)
    body.feed(b"b", is_last=True)
    assert await reading == b"b"


async def test_the_client_is_asked_when_the_first_piece_is_wanted_and_not_if_it_has_begun() -> None:
    asked: list[str] = []
    waiting = RequestBody(Wire(), 1, ask=lambda: asked.append("please"))
    assert waiting.is_withheld
    reading = asyncio.create_task(whole(waiting))
    await until(lambda: asked == ["please"])
    assert not waiting.is_withheld
    waiting.feed(b"x", is_last=True)
    await reading
    eager = RequestBody(Wire(), 1, ask=lambda: asked.append("needless"))
    eager.feed(b"x", is_last=True)
    assert await whole(eager) == b"x"
    assert asked == ["please"]


async def test_what_was_announced_too_long_is_refused_at_once_and_what_becomes_too_long_then() -> None:
    announced = RequestBody(Wire(), 11)
    with pytest.raises(GatewayError) as refused:
        announced.limit(10)
    assert refused.value.reason is errors.BODY_TOO_LARGE
    for size, is_refused in ((9, False), (10, False), (11, True)):
        body = RequestBody(Wire(), None)
        body.limit(10)
        body.feed(b"x" * size, is_last=True)
        if is_refused:
            with pytest.raises(GatewayError):
                await whole(body)
        else:
            assert len(await whole(body)) == size
    unlimited = RequestBody(Wire(), 10**9)
    unlimited.limit(0)


async def test_what_arrived_before_it_failed_is_still_read_and_then_the_failure() -> None:
    body = RequestBody(Wire(), 10)
    body.feed(b"abc")
    body.fail(GatewayError(errors.FRAMING_INVALID))
    assert await anext(body) == b"abc"
    for _ in range(2):
        with pytest.raises(GatewayError):
            await anext(body)


async def test_silence_is_measured_from_when_the_reader_waits() -> None:
    body = RequestBody(Wire(), 10)
    reading = asyncio.create_task(whole(body))
    await until(lambda: body.is_waited_for)
    body.fail_if_silent(100.0, 5)
    body.fail_if_silent(105.0, 5)
    body.feed(b"x")
    await until(lambda: body.received == 1 and body.is_waited_for)
    body.fail_if_silent(106.0, 5)
    body.fail_if_silent(111.0, 5)
    assert not reading.done()
    body.fail_if_silent(111.1, 5)
    with pytest.raises(GatewayError) as refused:
        await reading
    assert refused.value.reason is errors.REQUEST_TIMEOUT


async def test_what_nobody_reads_is_not_kept() -> None:
    body = RequestBody(Wire(), None)
    body.feed(b"x" * 100)
    body.discard()
    body.feed(b"y" * 100)
    assert body.unread == 0
    body.feed(b"", is_last=True)
    assert await whole(body) == b""
    assert body.received == 0
