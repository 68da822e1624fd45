"""WebSockets between a client and a server that others wrote (aiohttp's), through the gateway and without it: what they
say to each other is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from gateway import build
from gateway.http.server import HttpServer
from tests.http.frames import BINARY, CLOSE, CONTINUATION, MASK, PING, PONG, TEXT, Frame, close, frame
from tests.http.websockets import websocket
from tests.world import configuration, mint

Address = tuple[str, int]


async def echo(request: web.Request) -> web.WebSocketResponse:
    """aiohttp's end: says everything back, and closes when it is told to."""
    socket = web.WebSocketResponse(protocols=("chat", "soap"), max_msg_size=0, autoping=True)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            break
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.data.startswith("close "):
            await socket.close(code=int(message.data[6:]), message=b"as you wish")
        elif message.data == "vanish":
            assert request.transport is not None
            request.transport.abort()
        else:
            await socket.send_str(message.data)
    return socket


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[Address]:
    """A server that echoes."""
    application = web.Application()
    application.router.add_get("/{tail:.*}", echo)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def both() -> AsyncIterator[tuple[Address, Address]]:
    """The address of a server that echoes, and that of a gateway in front of it."""
    async with served() as address:
        config = configuration(address[1], {"name": "ws", "path": "/ws"})
        gateway = build.build(config)
        server = HttpServer(gateway.handle, build.server_limits(config), begin=gateway.begin)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        await gateway.start()
        try:
            yield address, listener.sockets[0].getsockname()
        finally:
            listener.close()
            server.drain()
            await server.wait_closed(5)
            await gateway.close()


@contextlib.asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """aiohttp's client, connected through the gateway."""
    async with (
        both() as (_, gateway),
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {mint()}"}) as session,
        session.ws_connect(f"http://127.0.0.1:{gateway[1]}/ws", max_msg_size=0, **options) as socket,
    ):
        yield socket


@pytest.mark.parametrize("compress", [0, 9, 15])
async def test_text_and_binary_come_back_with_and_without_compression(compress: int) -> None:
    async with connected(compress=compress) as socket:
        assert bool(socket.compress) == bool(compress)
        for text in ("", "hello", "grüße " * 1000):
            await socket.send_str(text)
            assert (await socket.receive_str(timeout=10)) == text
        for data in (b"", bytes(range(256)), b"squeeze me " * 10_000):
            await socket.send_bytes(data)
            assert (await socket.receive_bytes(timeout=10)) == data


@pytest.mark.parametrize("compress", [0, 15])
async def test_a_large_message_comes_back(compress: int) -> None:
    large = hashlib.shake_128(b"seed").digest(10 * 2**20)
    async with connected(compress=compress) as socket:
        sending = asyncio.create_task(socket.send_bytes(large))
        assert (await socket.receive_bytes(timeout=30)) == large
        await sending


async def test_a_subprotocol_is_agreed_on_by_the_two() -> None:
    async with connected(protocols=("mine", "soap", "chat")) as socket:
        assert socket.protocol == "soap"
    async with connected(protocols=("mine",)) as socket:
        assert socket.protocol is None


async def test_a_ping_is_answered_by_the_server() -> None:
    async with connected(autoping=False) as socket:
        await socket.ping(b"are you there")
        message = await socket.receive(timeout=10)
        assert (message.type, message.data) == (WSMsgType.PONG, b"are you there")


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_the_servers_close_code_reaches_the_client(code: int) -> None:
    async with connected() as socket:
        await socket.send_str(f"close {code}")
        message = await socket.receive(timeout=10)
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, code, "as you wish")


async def test_a_server_that_vanishes_is_an_error_of_the_server() -> None:
    async with connected() as socket:
        await socket.send_str("vanish")
        assert (await socket.receive(timeout=10)).data == 1011


async def test_without_a_token_the_client_learns_the_status() -> None:
    async with both() as (_, gateway), aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(f"http://127.0.0.1:{gateway[1]}/ws")
        assert refusal.value.status == 401


# --- the protocol, case by case ----------------------------------------------------------------------------------

# What the test suites of the protocol try on a server, by topic: payloads, pings, reserved bits, opcodes, fragments,
# text that is none, and closing.


def say(opcode: int, payload: bytes = b"", **options: Any) -> bytes:
    return frame(opcode, payload, mask=MASK, **options)


BYE = close(1000, mask=MASK)
GREEK = "κόσμε".encode()
SURROGATE = b"\xed\xa0\x80"
LEGAL: dict[str, bytes] = {
    **{f"text of {n} bytes": say(TEXT, b"*" * n) for n in (0, 125, 126, 127, 128, 65535, 65536)},
    **{f"binary of {n} bytes": say(BINARY, b"\xfe" * n) for n in (0, 125, 126, 127, 128, 65535, 65536)},
    "a ping without a payload": say(PING),
    "a ping with text": say(PING, b"Hello, world!"),
    "a ping with bytes": say(PING, b"\x00\xff\xfe\xfd"),
    "a ping of 125 bytes": say(PING, b"\xfe" * 125),
    "a pong that nobody asked for": say(PONG, b"unsolicited") + say(PING, b"ping"),
    "ten pings": b"".join(say(PING, b"%d" % n) for n in range(10)),
    "a text in two fragments": say(TEXT, b"one", fin=False) + say(CONTINUATION, b"two"),
    "a text in fragments with a ping between": say(TEXT, b"one", fin=False) + say(PING, b"p") + say(CONTINUATION, b"2"),
    "a text in fifty fragments": say(TEXT, b"", fin=False)
    + b"".join(say(CONTINUATION, b"%d " % n, fin=False) for n in range(50))
    + say(CONTINUATION),
    "valid UTF-8": say(TEXT, GREEK),
    "valid UTF-8 cut inside a character": say(TEXT, GREEK[:3], fin=False) + say(CONTINUATION, GREEK[3:]),
    # What a text has to be is between the two.
    "a surrogate": say(TEXT, GREEK + SURROGATE + b"edited"),
    "a surrogate in a fragment": say(TEXT, GREEK, fin=False) + say(CONTINUATION, SURROGATE + b"edited"),
    "overlong UTF-8": say(TEXT, b"\xc0\xaf"),
    "UTF-8 beyond Unicode": say(TEXT, b"\xf4\x90\x80\x80"),
    "a text cut off inside a character": say(TEXT, b"\xce"),
    "a text, then a close": say(TEXT, b"hello") + BYE,
    "two closes": BYE + BYE,
    "a ping after a close": BYE + say(PING, b"late"),
    "a text after a close": BYE + say(TEXT, b"late"),
    "a close inside a message": say(TEXT, b"one", fin=False) + BYE + say(CONTINUATION, b"two"),
    "a close without a code": close(mask=MASK),
    "a close with a reason": close(1000, b"Hello, world!", mask=MASK),
    "a close with a reason of 123 bytes": close(1000, b"*" * 123, mask=MASK),
    **{
        f"close code {code}": close(code, mask=MASK)
        for code in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    },
}
ILLEGAL: dict[str, bytes] = {
    "a ping of 126 bytes": say(PING, b"\xfe" * 126),
    **{f"reserved bits {rsv}": say(TEXT, b"two", rsv=rsv) + say(PING) for rsv in range(1, 8)},
    "reserved bits of a ping": say(PING, b"x", rsv=5),
    "reserved bits of a close": say(CLOSE, b"\x03\xe8", rsv=7),
    **{f"opcode {opcode}": say(opcode, b"x") + say(PING) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a fragmented ping": say(PING, b"one", fin=False) + say(CONTINUATION, b"two"),
    "a fragmented pong": say(PONG, b"one", fin=False) + say(CONTINUATION, b"two"),
    "a continuation of nothing": say(CONTINUATION, b"x") + say(TEXT, b"later"),
    "a continuation of nothing, unfinished": say(CONTINUATION, b"x", fin=False) + say(TEXT, b"later"),
    "a text inside a fragmented one": say(TEXT, b"one", fin=False) + say(TEXT, b"two"),
    "a close with half a code": say(CLOSE, b"\x03"),
    "a close with a reason of 124 bytes": close(1000, b"*" * 124, mask=MASK),
    **{f"close code {code}": close(code, mask=MASK) for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)},
    # These the server of the test takes.
    "a frame without a mask": frame(TEXT, b"bare"),
}


async def conversation(address: Address, data: bytes, size: int) -> list[Frame]:
    """What a client hears that sends this in pieces of that size, up to a close frame or the answer to a last ping."""
    heard: list[Frame] = []
    data += say(PING, b"the last one")
    async with websocket(address, "/ws", f"Authorization: Bearer {mint()}") as client:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await client.send(*(data[start : start + size] for start in range(0, len(data), size)))
            while not heard or (heard[-1].opcode != CLOSE and heard[-1].payload != b"the last one"):
                heard.append(await client.frame())
    return heard


def gist(heard: list[Frame]) -> list[tuple[int, bytes]]:
    """What was said; of a close frame its code, for the words of its reason are each server's own."""
    return [(each.opcode, each.payload[:2] if each.opcode == CLOSE else each.payload) for each in heard]


@pytest.mark.parametrize("size", [10**6, 17])
async def test_through_the_gateway_a_server_behaves_as_without_it(size: int) -> None:
    async with both() as (server, gateway):
        for name, data in LEGAL.items():
            if size * 100 < len(data):
                continue
            direct, relayed = await asyncio.gather(conversation(server, data, size), conversation(gateway, data, size))
            assert gist(relayed) == gist(direct), name


@pytest.mark.parametrize("size", [10**6, 17])
async def test_what_is_not_allowed_is_closed_with_1002_before_a_server_sees_it(size: int) -> None:
    async with both() as (_, gateway):
        for name, data in ILLEGAL.items():
            heard = await conversation(gateway, data, size)
            assert gist(heard) == [(CLOSE, (1002).to_bytes(2, "big"))], name
