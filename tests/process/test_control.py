"""The control channel over real socket pairs: messages, replies, their order, and ends of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from gateway.process.control import Channel, Handler, Unanswered


@contextlib.asynccontextmanager
async def pair(
    left: Mapping[str, Handler] | None = None, right: Mapping[str, Handler] | None = None
) -> AsyncIterator[tuple[Channel, Channel]]:
    ends = socket.socketpair()
    channels = [await Channel.open(end, handlers or {}) for end, handlers in zip(ends, (left, right), strict=True)]
    yield channels[0], channels[1]
    for channel in channels:
        channel.close()
        await channel.wait_closed()


def framed(message: Any) -> bytes:
    data = json.dumps(message).encode()
    return len(data).to_bytes(4, "big") + data


async def settled(channel: Channel) -> None:
    """Wait until the other side has handled all that it was sent."""
    await channel.ask("settled", timeout=10)


def recording(told: list[Any]) -> dict[str, Handler]:
    return {"note": told.append, "settled": lambda _: None}


async def test_messages_arrive_in_order_whatever_is_in_them() -> None:
    told: list[Any] = []
    bodies = [None, 1, "ä\n\x00", {"a": [1.5, True]}, "x" * 3_000_000, *range(1000)]
    async with pair(right=recording(told)) as (left, _):
        for body in bodies:
            left.tell("note", body)
        await settled(left)
    assert told == bodies


async def test_both_sides_can_ask_at_once_and_get_their_own_replies() -> None:
    async def later(body: int) -> int:
        await asyncio.sleep(0.01 * (10 - body))
        return body * 10

    handlers: dict[str, Handler] = {"later": later, "now": lambda body: body + 1}
    async with pair(handlers, handlers) as channels:
        for left, right in (channels, channels[::-1]):
            asked = [left.ask("later", number, timeout=10) for number in range(10)]
            asked += [right.ask("now", number, timeout=10) for number in range(10)]
            assert await asyncio.gather(*asked) == [*range(0, 100, 10), *range(1, 11)]


async def test_what_was_told_is_done_before_what_is_asked_after_it() -> None:
    told: list[Any] = []
    async with pair(right={**recording(told), "count": lambda _: len(told)}) as (left, _):
        for number in range(50):
            left.tell("note", number)
            assert await left.ask("count", timeout=10) == number + 1


async def test_a_handler_that_fails_is_an_answer_that_does_not_come_and_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(_: Any) -> None:
        raise ValueError("secret")

    async with pair(right={"fails": fails, **recording([])}) as (left, _):
        with pytest.raises(Unanswered, match="ValueError") as unanswered:
            await left.ask("fails", timeout=10)
        assert "secret" not in str(unanswered.value)
        await settled(left)
    assert [record.getMessage() for record in caplog.records] == ["fails failed"]


async def test_a_reply_that_takes_too_long_is_not_waited_for_and_not_mistaken_for_another() -> None:
    go = asyncio.Event()

    async def slow(body: str) -> str:
        await go.wait()
        return body

    async with pair(right={"slow": slow, **recording([])}) as (left, _):
        with pytest.raises(Unanswered, match=r"no reply in 0\.05 s"):
            await left.ask("slow", "first", timeout=0.05)
        second = asyncio.create_task(left.ask("slow", "second", timeout=10))
        await settled(left)
        go.set()
        assert await second == "second"


async def test_when_the_other_side_goes_whoever_waits_is_told_after_its_last_message() -> None:
    told: list[Any] = []

    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    async with pair(recording(told), {"never": never}) as (left, right):
        waiting = asyncio.create_task(left.ask("never", timeout=60))
        await asyncio.sleep(0.05)
        right.tell("note", "last")
        right.close()
        with pytest.raises(Unanswered, match="gone"):
            await waiting
        await left.wait_closed()
        assert told == ["last"]
        assert left.is_closed
        with pytest.raises(Unanswered, match="gone"):
            await left.ask("never", timeout=60)
        left.tell("note", "to nobody")


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(b"\xff\xff\xff\xff", id="longer than any message"),
        pytest.param(b"\0\0\0\1{", id="no JSON"),
        pytest.param(b"\0\0\0\2[]", id="no message"),
        pytest.param(b"\0\0\0\x02{}", id="no name"),
        pytest.param(framed({"name": "nobody", "body": 1}), id="an unknown name"),
        pytest.param(framed({"reply": 1, "body": 1}) + framed({"reply": {}}), id="a reply to nothing at all"),
        pytest.param(b"\0\0\0\2\xff\xfe", id="no UTF-8"),
    ],
)
async def test_nonsense_ends_the_channel(nonsense: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = await Channel.open(ours, recording([]))
        theirs.sendall(nonsense)
        async with asyncio.timeout(10):
            await channel.wait_closed()
        assert channel.is_closed


async def test_a_message_that_breaks_off_is_none() -> None:
    told: list[Any] = []
    ours, theirs = socket.socketpair()
    channel = await Channel.open(ours, recording(told))
    theirs.sendall(framed({"name": "note", "body": 1})[:-1])
    theirs.close()
    await channel.wait_closed()
    assert told == []


async def test_a_side_that_never_reads_is_given_up_before_memory_is() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = await Channel.open(ours, {})
        for _ in range(20):
            channel.tell("note", "x" * 5_000_000)
        async with asyncio.timeout(10):
            await channel.wait_closed()
        assert channel.is_closed


async def test_a_message_that_is_too_large_ends_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    async with pair(right=recording([])) as (left, _):
        left.tell("note", "x" * (64 * 2**20))
        await left.wait_closed()
    assert "is too much to send" in caplog.text
    assert "xxx" not in caplog.text
