"""The same conversations with both servers, in front of one gateway: the same answers, the same ends, and the same
bytes for the upstream.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from gateway import build
from gateway.http.aiohttp_server import AiohttpServer
from gateway.http.server import HttpServer
from tests.http import conversations
from tests.http.conversations import Answer, Conversation
from tests.http.origin import ScriptedOrigin, always_ok, until
from tests.world import configuration, mint

IN_ITS_PLACE = "it reads all that has arrived before it answers: a malformed request is refused in place of good ones"
EXCEPTIONS: dict[str, tuple[tuple[Answer, ...], bool, str]] = {
    "two blanks": ((conversations.OK,), False, "its parser takes several blanks behind the method"),
    "an upgrade that is not taken": (
        (conversations.OK,),
        False,
        "it forgets what follows a second request for an upgrade, and answers nothing more on that connection",
    ),
    "trailers": ((conversations.HOST,), True, "it counts a Host among the trailers as a second Host"),
    "an empty chunked body": ((conversations.OK,) * 2, False, "it knows the body to be empty: Content-Length: 0"),
    "a coding behind chunked": ((conversations.BAD,), True, "its parser calls that malformed and not unknown"),
    "one that asks to close": ((conversations.BAD,), True, IN_ITS_PLACE),
    "one in HTTP/1.0": ((conversations.BAD,), True, IN_ITS_PLACE),
    "one that is malformed": ((conversations.BAD,), True, IN_ITS_PLACE),
    "one that is too long": (((414, "target_too_long"),), True, IN_ITS_PLACE),
}
"""What aiohttp's server does otherwise: its answers, whether it closes, and why. That server is for embedding and for
comparison; `serve` listens with the other one.
"""


@dataclass
class Pair:
    """Both servers, by their addresses, and the upstream of their gateway."""

    ours: tuple[str, int]
    aiohttps: tuple[str, int]
    origin: ScriptedOrigin

    def received(self) -> bytes:
        """All that the upstream was sent so far, but for the requests' ids."""
        return re.sub(rb"X-Request-Id: \w+\r\n", b"", b"".join(self.origin.received))


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with ScriptedOrigin(always_ok) as origin:
        config = configuration(origin.port, *conversations.ROUTES, limits=conversations.LIMITS)
        gateway = build.build(config)
        await gateway.start()
        loop = asyncio.get_running_loop()
        limits = build.server_limits(config)
        servers = [HttpServer(gateway.handle, limits, begin=gateway.begin), AiohttpServer(gateway.handle, limits)]
        listeners = [await loop.create_server(server, "127.0.0.1", 0) for server in servers]
        addresses = [listener.sockets[0].getsockname() for listener in listeners]
        yield Pair(*addresses, origin)
        for server, listener in zip(servers, listeners, strict=True):
            listener.close()
            server.drain()
            await server.wait_closed(1)
        await gateway.close()


async def hold(
    address: tuple[str, int], parts: Sequence[bytes], count: int, *, closes: bool
) -> tuple[tuple[Answer, ...], bool]:
    """Send the parts one by one; read until there are so many answers, and for the end where one is expected."""
    reader, writer = await asyncio.open_connection(*address)
    raw, is_closed = b"", False
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.001 if len(parts) > 1 else 0)
        async with asyncio.timeout(5):
            while not is_closed and (closes or len(answers_in(raw)) < count):
                piece = await reader.read(65536)
                raw += piece
                is_closed = not piece
        async with asyncio.timeout(0.02):  # what should not be there
            while not is_closed:
                piece = await reader.read(65536)
                raw += piece
                is_closed = not piece
    except TimeoutError:
        pass
    except ConnectionError:
        is_closed = True
    finally:
        writer.close()
    return tuple(answers_in(raw)), is_closed


def answers_in(raw: bytes) -> list[Answer]:
    """The final answers in a stream, as far as they are there."""
    found: list[Answer] = []
    for head in re.finditer(rb"HTTP/1\.1 ([2-5]\d\d) [^\r]*\r\n(?:[^\r]+\r\n)*\r\n(\{[^}]*\})?", raw):
        found.append((int(head[1]), json.loads(head[2])["reason"] if head[2] else ""))
    return found


def without_bodies(answers: Sequence[Answer], conversation: Conversation) -> tuple[Answer, ...]:
    """An answer to HEAD has no reason to be read."""
    return tuple((status, "") for status, _ in answers) if b"HEAD " in conversation.sent else tuple(answers)


@pytest.mark.parametrize("conversation", conversations.ALL, ids=lambda conversation: conversation.name)
async def test_both_servers_give_the_same_answers_and_send_the_same_upstream(
    pair: Pair, conversation: Conversation
) -> None:
    sent = conversation.sent.replace(conversations.TOKEN, mint(scope="s").encode())
    expected = without_bodies(conversation.answers, conversation)
    count, closes = len(expected), conversation.closes
    ours = await hold(pair.ours, [sent], count, closes=closes)
    assert (without_bodies(ours[0], conversation), ours[1]) == (expected, closes)
    first = pair.received()
    other = EXCEPTIONS.get(conversation.name, (conversation.answers, closes, ""))
    theirs = await hold(pair.aiohttps, [sent], len(other[0]), closes=other[1])
    assert (without_bodies(theirs[0], conversation), theirs[1]) == (without_bodies(other[0], conversation), other[1])
    if conversation.name not in EXCEPTIONS and not conversation.is_cut:
        await until(lambda: len(pair.received()) >= 2 * len(first))
        assert pair.received() == first * 2
    assert b"evil" not in pair.received()


SPLIT = [
    conversation
    for conversation in conversations.ALL
    if conversation.name
    in {
        "a chunked body",
        "trailers",
        "line ends within a chunk",
        "a request within a body",
        "a refused chunked body is no request",
        "one that is malformed",
        "a folded field",
        "an expectation",
    }
]


@pytest.mark.parametrize("conversation", SPLIT, ids=lambda conversation: conversation.name)
async def test_they_do_wherever_the_bytes_are_split(pair: Pair, conversation: Conversation) -> None:
    sent, closes = conversation.sent, conversation.closes
    places = range(1, len(sent), max(1, len(sent) // 40))
    for at in places:
        found = await hold(pair.ours, [sent[:at], sent[at:]], len(conversation.answers), closes=closes)
        assert found == (conversation.answers, closes), at
        if conversation.name not in EXCEPTIONS:
            found = await hold(pair.aiohttps, [sent[:at], sent[at:]], len(conversation.answers), closes=closes)
            assert found == (conversation.answers, closes), at


def test_every_exception_is_one_of_a_conversation_that_is_held_and_has_a_reason() -> None:
    names = {conversation.name for conversation in conversations.ALL}
    assert len(names) == len(conversations.ALL)
    assert set(EXCEPTIONS) <= names
    assert all(len(why) > 20 for _, _, why in EXCEPTIONS.values())
