"""One exchange with an origin: bodies both ways, time limits, back-pressure, and everything that breaks off."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway.http.client import Disconnected, IdleTimeout, ResponseInvalid, ResponseTimeout
from gateway.http.connection import BUFFER_SIZE
from gateway.http.inline_task import Wakeup
from gateway.http.message import Field, Truncated
from tests.http.origin import OK, Peer, ScriptedOrigin, always_ok, answers, pool_to, silent, until, whole

GET = b"GET /orders HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD /orders HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
CHUNKED_POST = b"POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def pieces_of(*pieces: bytes, pause: float | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        if pause is not None:
            await asyncio.sleep(pause)
        yield piece


# The common exchange


async def test_a_small_response_is_complete_at_once_and_its_connection_is_free() -> None:
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin) as pool:
        response = await pool.send(GET, method="GET")
        assert (response.status, response.reason, response.length) == (200, b"OK", 2)
        assert (response.complete, response.body, pool.idle) == (True, b"ok", 1)
        response.close()  # changes nothing any more
        await pool.send(GET, method="GET")
    assert origin.received == [GET * 2]


async def test_a_small_exchange_makes_no_task_and_no_future() -> None:
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        loop = asyncio.get_running_loop()
        tasks = asyncio.all_tasks()
        exchange = pool.send(GET, method="GET").__await__()
        waited_for = next(exchange)
        assert isinstance(waited_for, Wakeup)
        assert asyncio.all_tasks() == tasks
        await waited_for
        with pytest.raises(StopIteration) as end:
            exchange.send(None)
        assert end.value.value.body == b"ok"
        assert loop is asyncio.get_running_loop()


async def test_small_writes_are_not_delayed() -> None:
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        endpoint = pool._idle[0]._transport.get_extra_info("socket")
        assert endpoint.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# Response bodies


@pytest.mark.parametrize(
    ("response", "body", "kept"),
    [
        (OK, b"ok", True),
        (STREAM + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok", True),
        (b"HTTP/1.1 200 OK\r\n\r\nok", b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"ok", False),
    ],
)
async def test_a_body_arrives_whole_wherever_the_response_is_split(response: bytes, body: bytes, kept: bool) -> None:
    cuts = itertools.count(1)

    async def split(peer: Peer) -> None:
        while True:
            await peer.head()
            cut = next(cuts)
            await peer.send(response[:cut], response[cut:], pause=0.002)
            if not kept:
                return

    async with ScriptedOrigin(split) as origin, pool_to(origin) as pool:
        for _ in range(1, len(response)):
            assert await whole(await pool.send(GET, method="GET")) == body
            await until(lambda: pool.idle == pool.open == kept)
    assert len(origin.peers) == (1 if kept else len(response) - 1)


async def test_a_large_body_arrives_unchanged() -> None:
    large = bytes(range(256)) * 8192
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Encoding: gzip\r\n\r\n" % len(large)
    async with ScriptedOrigin(answers(head + large)) as origin, pool_to(origin) as pool:
        response = await pool.send(GET, method="GET")
        assert not response.complete
        assert await whole(response) == large
        assert pool.idle == 1


@pytest.mark.parametrize(
    ("method", "response"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 100\r\n\r\n"),
    ],
)
async def test_a_response_without_a_body_keeps_the_connection_in_step(method: str, response: bytes) -> None:
    async with ScriptedOrigin(answers(response, OK)) as origin, pool_to(origin) as pool:
        first = await pool.send(HEAD if method == "HEAD" else GET, method=method)
        assert (first.complete, first.body, first.length) == (True, b"", 100)
        assert (await pool.send(GET, method="GET")).body == b"ok"
    assert len(origin.peers) == 1


async def test_events_are_delivered_one_by_one_as_they_come() -> None:
    go_on = asyncio.Event()

    async def events(peer: Peer) -> None:
        await peer.head()
        await peer.send(STREAM)
        for event in (b"one", b"two"):
            await go_on.wait()
            go_on.clear()
            await peer.send(b"3\r\n" + event + b"\r\n")
        await peer.send(b"0\r\n\r\n")
        await peer.until_closed()

    async with ScriptedOrigin(events) as origin, pool_to(origin) as pool:
        response = await pool.send(GET, method="GET")
        for event in (b"one", b"two"):
            go_on.set()
            assert await response.read() == event
        assert await response.read() == b""
        assert pool.idle == 1


# What breaks off


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", STREAM + b"2\r\nhe\r\n", STREAM + b"5\r\nhe"]
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_body_cut_short_never_ends_cleanly(start: bytes, reset: bool) -> None:
    async def cut(peer: Peer) -> None:
        await peer.head()
        await peer.send(start, pause=0.02)
        if reset:
            await peer.reset()

    async with ScriptedOrigin(cut) as origin, pool_to(origin) as pool:
        response = await pool.send(GET, method="GET")
        assert await response.read() == b"he"
        for _ in range(2):
            with pytest.raises(Truncated):
                await response.read()


async def test_a_body_until_close_that_ends_in_a_reset_is_cut_short() -> None:
    async def cut(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello", pause=0.02)
        await peer.reset()

    async with ScriptedOrigin(cut) as origin, pool_to(origin) as pool:
        response = await pool.send(GET, method="GET")
        with pytest.raises(Truncated):
            await whole(response)


async def test_a_malformed_chunk_breaks_the_body_off() -> None:
    async with ScriptedOrigin(answers(STREAM + b"2\r\nhe\r\n", close=True)) as origin, pool_to(origin) as pool:
        response = await pool.send(GET, method="GET")
        assert await response.read() == b"he"
        with pytest.raises(Truncated):
            await response.read()


@pytest.mark.parametrize(
    ("sent", "error"),
    [(b"", Disconnected), (b"HTTP/1.1 200 OK\r\nContent-", ResponseInvalid), (b"nonsense", ResponseInvalid)],
)
async def test_a_connection_closed_before_the_head_is_an_error(sent: bytes, error: type[Exception]) -> None:
    async with ScriptedOrigin(answers(sent, close=True)) as origin, pool_to(origin) as pool:
        with pytest.raises(error):
            await pool.send(GET, method="GET")
    assert len(origin.peers) == 1


async def test_closing_an_unread_response_ends_the_connection() -> None:
    async def endless(peer: Peer) -> None:
        await peer.head()
        while True:
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536)

    async with ScriptedOrigin(endless) as origin, pool_to(origin) as pool:
        response = await pool.send(GET, method="GET")
        response.close()
        response.close()
        await until(lambda: pool.open == 0)
        await origin.peers[0].ended.wait()
        with pytest.raises(Truncated):
            await whole(response)


async def test_a_cancelled_reader_ends_the_connection() -> None:
    async def stall(peer: Peer) -> None:
        await peer.head()
        await peer.send(STREAM)
        await peer.until_closed()

    async with ScriptedOrigin(stall) as origin, pool_to(origin, idle_timeout=30) as pool:
        response = await pool.send(GET, method="GET")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.read(), 0.02)
        await until(lambda: pool.open == 0)
        await origin.peers[0].ended.wait()


# Time limits


async def test_an_origin_that_answers_nothing_times_out() -> None:
    async with ScriptedOrigin(silent) as origin, pool_to(origin, response_timeout=0.05) as pool:
        with pytest.raises(ResponseTimeout):
            await pool.send(GET, method="GET")
        await until(lambda: pool.open == 0)
    assert origin.received == [GET]


async def test_a_request_may_bring_its_own_response_timeout() -> None:
    async with ScriptedOrigin(always_ok, silent) as origin, pool_to(origin) as pool:
        await pool.send(GET, method="GET")
        pool.close()
        with pytest.raises(ResponseTimeout):
            await asyncio.wait_for(pool.send(GET, method="GET", response_timeout=0.05), 1)


async def test_the_response_timeout_ends_with_the_first_byte() -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        await peer.send(*[OK[cut : cut + 10] for cut in range(0, len(OK), 10)], pause=0.03)

    async with ScriptedOrigin(slow) as origin, pool_to(origin, response_timeout=0.06, idle_timeout=1) as pool:
        assert await whole(await pool.send(GET, method="GET")) == b"ok"


async def test_an_interim_response_does_not_extend_the_response_timeout() -> None:
    async def hints(peer: Peer) -> None:
        await peer.request()
        await peer.send(*[b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 10, pause=0.03)

    async with ScriptedOrigin(hints) as origin, pool_to(origin, response_timeout=0.1) as pool:
        with pytest.raises(ResponseTimeout):
            await pool.send(GET, method="GET")


@pytest.mark.parametrize(
    ("sent", "error"), [(b"HTTP/1.1 200 OK\r\nX", ResponseTimeout), (STREAM + b"2\r\nhe\r\n", IdleTimeout)]
)
async def test_an_origin_that_falls_silent_times_out(sent: bytes, error: type[Exception]) -> None:
    async with ScriptedOrigin(answers(sent)) as origin, pool_to(origin, idle_timeout=0.05) as pool:
        with pytest.raises(error):
            await whole(await pool.send(GET, method="GET"))


async def test_a_stream_that_keeps_coming_has_no_total_limit() -> None:
    async def ticks(peer: Peer) -> None:
        await peer.head()
        await peer.send(STREAM, *[b"1\r\nx\r\n"] * 8, b"0\r\n\r\n", pause=0.03)

    async with ScriptedOrigin(ticks) as origin, pool_to(origin, idle_timeout=0.15, response_timeout=0.1) as pool:
        assert await whole(await pool.send(GET, method="GET")) == b"x" * 8


async def test_a_slow_reader_is_not_taken_for_a_silent_origin() -> None:
    large = b"x" * 4_000_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large)
    async with ScriptedOrigin(answers(head + large)) as origin, pool_to(origin, idle_timeout=0.05) as pool:
        response = await pool.send(GET, method="GET")
        await asyncio.sleep(0.15)
        assert await whole(response) == large


async def test_silence_counts_again_once_a_slow_reader_has_read_everything() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000
    async with ScriptedOrigin(answers(half)) as origin, pool_to(origin, idle_timeout=0.05) as pool:
        response = await pool.send(GET, method="GET")
        await asyncio.sleep(0.15)
        with pytest.raises(IdleTimeout):
            await asyncio.wait_for(whole(response), 1)


async def test_an_origin_that_takes_no_more_of_the_body_times_out() -> None:
    async def deaf(peer: Peer) -> None:
        await peer.head()
        await asyncio.sleep(1)

    async with ScriptedOrigin(deaf) as origin, pool_to(origin, idle_timeout=0.05) as pool:
        body = pieces_of(*[b"x" * 65536] * 500)
        with pytest.raises(ResponseTimeout):
            await pool.send(CHUNKED_POST, method="POST", body=body, chunked=True)


async def test_a_slow_client_is_not_taken_for_a_slow_origin() -> None:
    short = {"response_timeout": 0.05, "idle_timeout": 0.05, "keep_alive": 0.05}
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin, **short) as pool:
        await pool.send(GET, method="GET")
        response = await pool.send(POST, method="POST", body=pieces_of(b"hello", b"world", pause=0.1))
        assert response.body == b"ok"
    assert origin.received == [GET + POST + b"helloworld"]


# Request bodies


async def test_a_body_with_a_length_goes_out_as_it_is() -> None:
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin) as pool:
        for _ in range(2):
            await pool.send(POST, method="POST", body=pieces_of(b"he", b"", b"lloworld"))
        assert pool.idle == 1
    assert origin.received == [(POST + b"helloworld") * 2]


async def test_a_body_without_a_length_goes_out_in_chunks() -> None:
    async with ScriptedOrigin(always_ok) as origin, pool_to(origin) as pool:
        # An empty piece would be the last chunk, and what follows it the next request.
        body = pieces_of(b"hello", b"", b"world world world")
        await pool.send(CHUNKED_POST, method="POST", body=body, chunked=True)
    assert origin.received == [CHUNKED_POST + b"5\r\nhello\r\n11\r\nworld world world\r\n0\r\n\r\n"]


async def test_a_response_that_comes_first_stops_the_body() -> None:
    stopped: list[str] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"hello"
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            stopped.append("cancelled")
            raise

    async def refuse(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.until_closed()

    async with ScriptedOrigin(refuse) as origin, pool_to(origin) as pool:
        response = await pool.send(CHUNKED_POST, method="POST", body=endless(), chunked=True)
        assert (response.status, await whole(response), stopped) == (413, b"no", ["cancelled"])
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await until(lambda: pool.open == 0)
        await origin.peers[0].ended.wait()
    assert not origin.received[0].endswith(b"0\r\n\r\n")


async def test_a_response_that_comes_first_may_still_be_long() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.head()
        await peer.send(STREAM, b"2\r\nno\r\n", b"0\r\n\r\n", pause=0.02)
        await peer.until_closed()

    async with ScriptedOrigin(refuse) as origin, pool_to(origin) as pool:
        body = pieces_of(b"hello", b"world", pause=1)
        assert await whole(await pool.send(POST, method="POST", body=body)) == b"no"
        await until(lambda: pool.open == 0)


async def test_a_response_that_comes_while_the_origin_reads_nothing_is_delivered() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.head()
        await peer.send(STREAM, b"2\r\nno\r\n", b"0\r\n\r\n", pause=0.05)
        await asyncio.sleep(0.5)

    async with ScriptedOrigin(refuse) as origin, pool_to(origin) as pool:
        body = pieces_of(*[b"x" * 65536] * 500)
        response = await pool.send(CHUNKED_POST, method="POST", body=body, chunked=True)
        assert await whole(response) == b"no"
        await until(lambda: pool.open == 0)


class BodyError(Exception):
    pass


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_fails_leaves_the_origin_without_a_complete_request(chunked: bool) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"hello"
        await asyncio.sleep(0.02)
        raise BodyError

    async with ScriptedOrigin(silent) as origin, pool_to(origin) as pool:
        with pytest.raises(BodyError):
            await pool.send(CHUNKED_POST if chunked else POST, method="POST", body=broken(), chunked=chunked)
        await origin.peers[0].ended.wait()
    assert origin.received[0].endswith(b"\r\n\r\n5\r\nhello\r\n" if chunked else b"\r\n\r\nhello")


async def test_a_cancelled_sender_aborts_the_request() -> None:
    async with ScriptedOrigin(silent) as origin, pool_to(origin) as pool:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.send(POST, method="POST", body=pieces_of(b"hello", b"w", pause=0.1)), 0.15)
        await until(lambda: pool.open == 0)
        await origin.peers[0].ended.wait()
    assert origin.received == [POST + b"hello"]


async def test_a_cancellation_from_outside_is_not_swallowed_by_an_early_response() -> None:
    answered = asyncio.Event()

    async def until_answered() -> AsyncIterator[bytes]:
        yield b"hello"
        try:
            await asyncio.sleep(10)
        finally:
            answered.set()
            await asyncio.sleep(0.05)  # the outside cancels in between

    async with ScriptedOrigin(always_ok) as origin, pool_to(origin) as pool:
        head = POST.replace(b"10", b"05")
        task = asyncio.create_task(pool.send(head, method="POST", body=until_answered()))
        await answered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: pool.open == 0)


async def test_an_origin_that_closes_during_the_body_is_an_error_and_never_asked_again() -> None:
    async def leave(peer: Peer) -> None:
        await peer.head()

    async with ScriptedOrigin(leave) as origin, pool_to(origin) as pool:
        with pytest.raises(Disconnected):
            await pool.send(CHUNKED_POST, method="POST", body=pieces_of(b"a", b"b", pause=0.05), chunked=True)
    assert len(origin.peers) == 1


# Back-pressure


async def test_a_client_that_reads_nothing_holds_the_origin_back() -> None:
    sent = 0

    async def flood(peer: Peer) -> None:
        nonlocal sent
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(b"x" * 65536)
            sent += 65536

    async with ScriptedOrigin(flood) as origin, pool_to(origin) as pool:
        response = await pool.send(GET, method="GET")
        await asyncio.sleep(0.1)
        before = sent
        await asyncio.sleep(0.1)
        assert sent == before
        while sent == before:
            assert len(await response.read()) <= 2 * BUFFER_SIZE
        response.close()


async def test_an_origin_that_reads_slowly_holds_the_client_back() -> None:
    taken = 0
    go_on = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.head()
        await go_on.wait()
        while await peer.piece() and not peer.received.endswith(b"0\r\n\r\n"):
            pass
        await peer.send(OK)
        await peer.until_closed()

    async def large() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(400):
            taken += 1
            yield b"x" * 65536

    async with ScriptedOrigin(slow) as origin, pool_to(origin) as pool:
        task = asyncio.create_task(pool.send(CHUNKED_POST, method="POST", body=large(), chunked=True))
        await asyncio.sleep(0.1)
        before = taken
        await asyncio.sleep(0.1)
        assert before == taken < 400
        go_on.set()
        assert (await task).body == b"ok"
        assert (taken, pool.idle) == (400, 1)


# Interim responses


async def test_interim_responses_are_passed_on() -> None:
    seen: list[tuple[int, Sequence[Field]]] = []
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    async with ScriptedOrigin(answers(hints + OK, OK)) as origin, pool_to(origin) as pool:
        response = await pool.send(GET, method="GET", interim=lambda status, fields: seen.append((status, fields)))
        assert (response.status, seen) == (200, [(103, [(b"Link", b"</a.css>")])])
        assert (await pool.send(GET, method="GET")).body == b"ok"
    assert len(origin.peers) == 1


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_a_response_that_is_none_is_refused_and_its_connection_closed(response: bytes) -> None:
    async with ScriptedOrigin(answers(response)) as origin, pool_to(origin) as pool:
        with pytest.raises(ResponseInvalid):
            await pool.send(GET, method="GET")
        await until(lambda: pool.open == 0)
        await origin.peers[0].ended.wait()
    assert origin.received == [GET]
