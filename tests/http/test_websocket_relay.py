"""A relay between a client and an origin, over real sockets and on both event loops: what passes, and every way in
which it ends.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.http.frames import BINARY, CLOSE, CONTINUATION, MASK, PING, PONG, TEXT, close, frame
from tests.http.relays import ended, setting
from tests.http.websockets import OriginSide, echo, until, websocket
from tests.issuer import server_tls

# --- what passes -------------------------------------------------------------------------------------------------


async def test_frames_pass_both_ways_as_they_are() -> None:
    sent = [
        frame(TEXT, "grüße".encode(), mask=MASK),
        frame(BINARY, bytes(range(256)) * 3, mask=MASK),
        frame(TEXT, b"one ", fin=False, mask=b"abcd"),
        frame(PING, b"still there", mask=b"\0\0\0\0"),
        frame(CONTINUATION, b"two", mask=MASK),
        frame(PONG, mask=MASK),
    ]
    async with setting(echo) as here, websocket(here.address, "/ws") as client:
        assert client.status == 101
        await client.send(*sent)
        echoed = [await client.frame() for _ in sent]
        assert [(each.opcode, each.fin, each.is_masked) for each in echoed] == [
            (TEXT, True, False),
            (BINARY, True, False),
            (TEXT, False, False),
            (PING, True, False),
            (CONTINUATION, True, False),
            (PONG, True, False),
        ]
        assert bytes(here.origin.peers[0].received).endswith(b"\r\n\r\n" + b"".join(sent))
        assert (here.relays[0].received, here.relays[0].sent) == (
            len(b"".join(sent)),
            sum(len(frame(each.opcode, each.payload)) for each in echoed),
        )


@pytest.mark.parametrize("pause", [None, 0.001])
async def test_what_is_cut_into_single_bytes_arrives_whole(pause: float | None) -> None:
    data = frame(TEXT, b"a" * 130, mask=MASK) + frame(PING, b"b", mask=MASK)
    async with setting(echo) as here, websocket(here.address, "/ws") as client:
        await client.send(*(data[index : index + 1] for index in range(len(data))), pause=pause)
        assert (await client.frame()).payload == b"a" * 130
        assert (await client.frame()).payload == b"b"


async def test_a_message_of_10_mib_arrives_unchanged() -> None:
    large = hashlib.shake_128(b"seed").digest(10 * 2**20)
    async with setting(echo) as here, websocket(here.address, "/ws") as client:
        sending = asyncio.create_task(client.say(large, BINARY))
        assert (await client.frame()).payload == large
        await sending


async def test_frames_behind_the_handshake_are_relayed_after_the_101() -> None:
    early = frame(TEXT, b"too eager", mask=MASK)
    async with setting(echo) as here, websocket(here.address, "/ws", early=early) as client:
        assert client.status == 101
        assert (await client.frame()).payload == b"too eager"


async def test_a_request_behind_the_handshake_is_no_request_any_more() -> None:
    early = b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n"
    async with setting(OriginSide.until_closed) as here, websocket(here.address, "/ws", early=early) as client:
        assert [each.code for each in await client.last_frames()] == [1002]
        await ended(here)
    assert len(here.origin.peers) == 1
    assert b"GET" not in here.origin.received[0].partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("size", [1, 200, 200_000])
async def test_frames_behind_the_origins_101_are_the_first_ones(size: int) -> None:
    first = frame(BINARY, b"x" * size)
    async with setting(echo, early=first) as here, websocket(here.address, "/ws") as client:
        assert (await client.frame()).payload == b"x" * size
        await client.say(b"after that")
        assert (await client.frame()).payload == b"after that"


async def test_a_compressed_frame_passes_where_that_was_agreed_on() -> None:
    agreed = (b"Sec-WebSocket-Extensions: permessage-deflate",)
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    async with setting(echo, agreed=agreed) as here, websocket(here.address, "/ws", offer) as client:
        await client.send(frame(TEXT, b"\xcaH\x04\x00", rsv=4, mask=MASK))
        echoed = await client.frame()
        assert (echoed.rsv, echoed.payload) == (4, b"\xcaH\x04\x00")


@pytest.mark.parametrize("size", [1, 200_000])
async def test_over_tls_on_both_sides_it_is_the_same(tmp_path: Path, size: int) -> None:
    tls = server_tls(tmp_path)
    first, eager = frame(BINARY, b"x" * size), frame(TEXT, b"too eager", mask=MASK)
    async with (
        setting(echo, early=first, tls=tls) as here,
        websocket(here.address, "/ws", early=eager, tls=tls[1]) as client,
    ):
        assert (await client.frame()).payload == b"x" * size
        assert (await client.frame()).payload == b"too eager"
        large = hashlib.shake_128(b"seed").digest(2**20)
        sending = asyncio.create_task(client.say(large, BINARY))
        assert (await client.frame()).payload == large
        await sending
        await client.bye(4000)
        assert [each.code for each in await client.last_frames()] == [4000]
        await ended(here)


@pytest.mark.parametrize("who", ["client", "origin", "neither", "client's frame", "shutdown"])
async def test_over_tls_the_end_of_one_is_the_end_of_the_other(tmp_path: Path, who: str) -> None:
    tls = server_tls(tmp_path)

    async def script(origin: OriginSide) -> None:
        assert (await origin.frame()).payload == b"hello"
        await origin.send(frame(TEXT, b"hello"))
        if who != "origin":
            await origin.until_closed()

    async with setting(script, tls=tls) as here:
        async with websocket(here.address, "/ws", tls=tls[1]) as client:
            await client.say(b"hello")
            assert (await client.frame()).payload == b"hello"
            if who == "client":
                client.writer.transport.abort()
            elif who == "origin":
                assert (await client.frame()).code == 1011
            elif who == "neither":
                here.relays[0].end(1008)
                assert (await client.frame()).code == 1008
            elif who == "client's frame":
                await client.send(frame(TEXT, b"bare"))
                assert (await client.frame()).code == 1002
            else:
                here.server.drain()
                assert (await client.frame()).code == 1001
        await ended(here)


# --- closing, as it should be ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "reason"), [(1000, b""), (1001, b"bye"), (4999, "grüße".encode()), (None, b"")])
async def test_the_clients_close_code_and_reason_reach_the_origin_and_its_answer_the_client(
    code: int | None, reason: bytes
) -> None:
    async with setting(echo) as here, websocket(here.address, "/ws") as client:
        await client.send(close(code, reason, mask=MASK), frame(TEXT, b"too late", mask=MASK))
        answers = await client.last_frames()
        assert [(each.opcode, each.code) for each in answers] == [(CLOSE, code)]
        await ended(here)
        assert [each.payload for each in here.received] == [close(code, reason)[2:]]


async def test_the_origins_close_code_and_reason_reach_the_client_and_its_answer_the_origin() -> None:
    async def leave(origin: OriginSide) -> None:
        await origin.send(frame(TEXT, b"last words"), close(3001, b"enough"), frame(TEXT, b"too late"))
        await origin.until_closed()

    async with setting(leave) as here, websocket(here.address, "/ws") as client:
        assert (await client.frame()).payload == b"last words"
        goodbye = await client.frame()
        assert (goodbye.code, goodbye.payload[2:]) == (3001, b"enough")
        await client.bye(3001)
        assert await client.rest() == b""
        await here.let_time_pass(3)  # this origin leaves it to us to close
        await ended(here)
        assert [each.code for each in here.received] == [3001]


async def test_a_client_that_ends_its_half_behind_its_close_frame_still_gets_the_answer() -> None:
    async def slow(origin: OriginSide) -> None:
        goodbye = await origin.frame()
        await asyncio.sleep(0.1)
        await origin.send(close(goodbye.code))

    async with setting(slow) as here, websocket(here.address, "/ws") as client:
        await client.bye(1000)
        client.writer.write_eof()
        assert [each.code for each in await client.last_frames()] == [1000]
        await ended(here)


@pytest.mark.parametrize("who", ["client", "origin"])
async def test_a_close_frame_that_is_never_answered_ends_by_itself(who: str) -> None:
    async def script(origin: OriginSide) -> None:
        if who == "origin":
            await origin.send(close(1000))
        await origin.until_closed()

    async with setting(script) as here, websocket(here.address, "/ws") as client:
        if who == "client":
            await client.bye()
            await until(lambda: b"\x88" in bytes(here.origin.peers[0].received)[-20:])
        else:
            assert (await client.frame()).code == 1000
        await here.let_time_pass(9)
        assert here.ends == []
        await here.let_time_pass(11)
        assert await client.rest() == b""
        await ended(here)


# --- one of the two is gone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_the_origin_hears_at_once_that_the_client_is_gone(how: str) -> None:
    async with setting(OriginSide.until_closed) as here, websocket(here.address, "/ws") as client:
        await client.say(b"hello")
        await until(lambda: here.relays[0].received > 0)
        client.reset() if how == "reset" else client.writer.close()
        await asyncio.wait_for(here.origin.peers[0].ended.wait(), 1)
        await ended(here)
        assert [(each.opcode, each.code) for each in here.received] == [(TEXT, here.received[0].code), (CLOSE, 1001)]
        assert here.received[1].is_masked


async def test_a_frame_that_the_client_leaves_unfinished_is_followed_by_nothing() -> None:
    half = frame(BINARY, b"x" * 1000, mask=MASK)[:500]
    async with setting(OriginSide.until_closed) as here, websocket(here.address, "/ws") as client:
        await client.send(half)
        await until(lambda: here.relays[0].received == 500)
        client.reset()
        await ended(here)
        assert here.origin.received[0].endswith(half)


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_the_client_hears_at_once_that_the_origin_is_gone(how: str) -> None:
    async def leave(origin: OriginSide) -> None:
        await origin.frame()
        await origin.send(frame(TEXT, b"last words"))
        if how == "reset":
            await asyncio.sleep(0.1)  # a reset takes with it what was not read
            await origin.peer.reset()

    async with setting(leave) as here, websocket(here.address, "/ws") as client:
        await client.say(b"hello")
        assert (await client.frame()).payload == b"last words"
        goodbye = await client.frame()
        assert (goodbye.opcode, goodbye.code) == (CLOSE, 1011)
        await client.bye(1011)
        assert await client.rest() == b""
        await ended(here)


async def test_a_frame_that_the_origin_leaves_unfinished_is_followed_by_nothing() -> None:
    half = frame(BINARY, b"x" * 1000)[:500]

    async def leave(origin: OriginSide) -> None:
        await origin.send(half)

    async with setting(leave) as here, websocket(here.address, "/ws") as client:
        assert await client.rest() == half
        await ended(here)


async def test_a_client_that_does_not_answer_the_loss_of_the_origin_is_cut_off() -> None:
    async def leave(origin: OriginSide) -> None:
        return

    async with setting(leave) as here, websocket(here.address, "/ws") as client:
        assert (await client.frame()).code == 1011
        await here.let_time_pass(3)
        assert await client.rest() == b""
        await ended(here)


# --- what is no frame --------------------------------------------------------------------------------------------

CLIENT_VIOLATIONS = {
    "a frame without a mask": frame(TEXT, b"bare"),
    "a reserved bit": frame(TEXT, b"a", rsv=4, mask=MASK),
    "a reserved opcode": frame(0x3, mask=MASK),
    "a ping that is too large": frame(PING, b"a" * 126, mask=MASK),
    "a close code that is none": close(1005, mask=MASK),
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
}
ORIGIN_VIOLATIONS = {
    "a masked frame": frame(TEXT, b"masked", mask=MASK),
    "a reserved bit": frame(TEXT, b"a", rsv=4),
    "a continuation of nothing": frame(CONTINUATION, b"a"),
    "HTTP": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("bad", CLIENT_VIOLATIONS.values(), ids=CLIENT_VIOLATIONS)
async def test_a_client_that_breaks_the_protocol_is_closed_with_1002(bad: bytes) -> None:
    good = frame(TEXT, b"fine", mask=MASK)
    async with setting(OriginSide.until_closed) as here, websocket(here.address, "/ws") as client:
        await client.send(good + bad + frame(TEXT, b"too late", mask=MASK))
        assert [each.code for each in await client.last_frames()] == [1002]
        await ended(here)
        assert [each.payload for each in here.received] == [b"fine", b"\x03\xe9"]


@pytest.mark.parametrize("bad", ORIGIN_VIOLATIONS.values(), ids=ORIGIN_VIOLATIONS)
async def test_an_origin_that_breaks_the_protocol_is_closed_with_1002_and_the_client_with_1011(bad: bytes) -> None:
    async def script(origin: OriginSide) -> None:
        await origin.send(frame(TEXT, b"fine") + bad + frame(TEXT, b"too late"))
        await origin.until_closed()

    async with setting(script) as here, websocket(here.address, "/ws") as client:
        assert (await client.frame()).payload == b"fine"
        assert (await client.frame()).code == 1011
        await client.bye(1011)
        assert await client.rest() == b""
        await ended(here)
        assert [(each.code, each.is_masked) for each in here.received] == [(1002, True)]


async def test_a_reason_that_is_no_text_is_closed_with_1007() -> None:
    async with setting(OriginSide.until_closed) as here, websocket(here.address, "/ws") as client:
        await client.bye(1000, b"\xff\xff")
        assert [each.code for each in await client.last_frames()] == [1007]


# --- ended by the gateway ----------------------------------------------------------------------------------------


async def test_it_can_be_ended_with_a_code_and_a_reason() -> None:
    async with setting(OriginSide.until_closed) as here, websocket(here.address, "/ws") as client:
        here.relays[0].end(1008, "token_expired")
        goodbye = await client.frame()
        assert (goodbye.code, goodbye.payload[2:]) == (1008, b"token_expired")
        await client.bye(1008)
        assert await client.rest() == b""
        await ended(here)
        assert [each.code for each in here.received] == [1001]


async def test_a_frame_that_is_under_way_is_ended_first_and_nothing_else_comes() -> None:
    whole = frame(BINARY, b"x" * 1000)
    told = asyncio.Event()

    async def script(origin: OriginSide) -> None:
        await origin.send(whole[:600])
        await told.wait()
        await origin.send(whole[600:900])
        await asyncio.sleep(0.05)
        await origin.send(whole[900:] + frame(TEXT, b"too late"))
        await origin.until_closed()

    async with setting(script) as here, websocket(here.address, "/ws") as client:
        assert await client.reader.readexactly(600) == whole[:600]
        here.relays[0].end(1008)
        here.relays[0].end(1001)  # the first word counts
        told.set()
        assert await client.reader.readexactly(len(whole) - 600) == whole[600:]
        assert (await client.frame()).code == 1008
        await client.bye(1008)
        assert await client.rest() == b""
        await ended(here)


async def test_a_frame_that_never_ends_is_cut_off_soon() -> None:
    half = frame(BINARY, b"x" * 1000)[:600]

    async def script(origin: OriginSide) -> None:
        await origin.send(half)
        await origin.until_closed()

    async with setting(script) as here, websocket(here.address, "/ws") as client:
        assert await client.reader.readexactly(600) == half
        here.relays[0].end(1008)
        await here.let_time_pass(1)
        assert here.ends == []
        await here.let_time_pass(3)
        assert await client.rest() == b""
        await ended(here)


async def test_the_clients_frame_that_is_under_way_is_ended_before_the_origin_is_told() -> None:
    whole = frame(BINARY, b"x" * 1000, mask=MASK)
    async with setting(OriginSide.until_closed) as here, websocket(here.address, "/ws") as client:
        await client.send(whole[:500])
        await until(lambda: here.relays[0].received == 500)
        here.relays[0].end(1008)
        assert (await client.frame()).code == 1008
        await client.send(whole[500:], frame(TEXT, b"too late", mask=MASK), close(1008, mask=MASK))
        assert await client.rest() == b""
        await ended(here)
        assert [each.payload for each in here.received] == [b"x" * 1000, b"\x03\xe9"]


async def test_a_server_that_shuts_down_closes_with_1001_and_waits_for_nobody() -> None:
    async with setting(OriginSide.until_closed) as here:
        async with (
            websocket(here.address, "/ws") as polite,
            websocket(here.address, "/ws") as rude,
        ):
            here.server.drain()
            assert (await polite.frame()).code == 1001
            assert (await rude.frame()).code == 1001
            await polite.bye(1001)
            assert await polite.rest() == b""
            loop = asyncio.get_running_loop()
            before = loop.time()
            await here.server.wait_closed(30)
            assert loop.time() - before < 6
            assert await rude.rest() == b""
        await ended(here, 2)


async def test_a_server_out_of_patience_cuts_websockets_off() -> None:
    async with setting(OriginSide.until_closed) as here, websocket(here.address, "/ws") as client:
        await here.server.wait_closed(0)
        assert await client.rest() == b""
        await ended(here)


async def test_open_websockets_count_as_connections() -> None:
    async with setting(OriginSide.until_closed, connections=1) as here, websocket(here.address, "/ws"):
        assert here.server.open_connections == 1
        async with websocket(here.address, "/ws") as second:
            assert second.status == 500 or second.status == 503


# --- too slow, too quiet -----------------------------------------------------------------------------------------


async def test_both_sides_are_closed_after_too_long_a_silence_of_both() -> None:
    async with setting(OriginSide.until_closed, idle=5) as here, websocket(here.address, "/ws") as client:
        await here.let_time_pass(4)
        await client.say(b"I am here")
        await until(lambda: here.relays[0].received > 0)
        await here.let_time_pass(8)  # notices what was said meanwhile
        await here.let_time_pass(12)
        assert here.ends == []
        await here.let_time_pass(14)
        assert (await client.frame()).code == 1001
        await client.bye(1001)
        await ended(here)
        assert here.received[-1].code == 1001


async def test_a_client_that_reads_slowly_slows_the_origin_down() -> None:
    sent, total = 0, 400

    async def script(origin: OriginSide) -> None:
        nonlocal sent
        for _ in range(total):
            await origin.send(frame(BINARY, b"x" * 65536))
            sent += 1
        await origin.until_closed()

    async with setting(script) as here, websocket(here.address, "/ws", narrow=True) as client:
        await settled(lambda: sent)
        held = sent
        assert held < total
        assert here.relays[0]._client.transport.get_write_buffer_size() <= 128 * 1024
        for _ in range(total):
            assert len((await client.frame()).payload) == 65536
        assert sent == total


async def test_an_origin_that_reads_slowly_slows_the_client_down() -> None:
    may_read = asyncio.Event()
    size, total = 65536, 400
    got = 0

    async def script(origin: OriginSide) -> None:
        nonlocal got
        await may_read.wait()  # meanwhile its reader takes 128 KiB, its system a few MiB
        for _ in range(total):
            got += len((await origin.frame()).payload)
        await origin.send(frame(TEXT, b"thanks"))
        await origin.until_closed()

    async with setting(script) as here, websocket(here.address, "/ws") as client:
        whole = frame(BINARY, b"x" * size, mask=MASK)
        sending = asyncio.create_task(client.send(*[whole] * total))
        await settled(lambda: here.relays[0].received)
        assert not sending.done()
        assert here.relays[0]._upstream.transport.get_write_buffer_size() <= 128 * 1024
        may_read.set()
        assert (await client.frame()).payload == b"thanks"
        await sending
        assert got == total * size


async def test_a_client_that_reads_nothing_at_all_is_cut_off() -> None:
    async def script(origin: OriginSide) -> None:
        while True:
            await origin.send(frame(BINARY, b"x" * 65536))

    async with setting(script, request_body=30) as here, websocket(here.address, "/ws", narrow=True) as client:
        await settled(lambda: here.relays[0].sent)
        await here.let_time_pass(0)
        await here.let_time_pass(29)
        assert here.ends == []
        await here.let_time_pass(31)
        await until(lambda: len(here.ends) == 1)
        assert len(await client.rest()) > 0


async def settled(value: Callable[[], int], seconds: float = 10) -> None:
    """Wait until a number has stopped growing."""
    async with asyncio.timeout(seconds):
        last = -1
        while value() != last:
            last = value()
            await asyncio.sleep(0.3)
