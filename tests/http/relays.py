"""A server with a relay behind it: for each request it opens a WebSocket to a scripted origin."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from gateway.http import websocket_handshake
from gateway.http.aiohttp_embedded import answer_embedded
from gateway.http.aiohttp_server import AiohttpServer
from gateway.http.client import Pool
from gateway.http.framing import HeadLimits
from gateway.http.message import Handler, Request, Response
from gateway.http.server import HttpServer
from gateway.http.server_limits import ServerLimits
from gateway.http.switching import Switching, Tunnel
from gateway.http.websocket_relay import Relay
from tests.http.frames import Frame, frames_in
from tests.http.origin import ScriptedOrigin, pool_to
from tests.http.websockets import OriginSide, switched, until

OriginScript = Callable[[OriginSide], Awaitable[None]]


@dataclass
class Running:
    """A server that listens; `server` is None where it is somebody else's."""

    address: tuple[str, int]
    server: Any


@dataclass
class Setting:
    """A server that opens a WebSocket to a scripted origin for each request."""

    address: tuple[str, int]
    server: Any
    pool: Pool
    origin: ScriptedOrigin
    relays: list[Relay] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Bytes sent by each relay that has ended."""

    @property
    def received(self) -> list[Frame]:
        """What the origin was sent by its first client, once that is whole frames."""
        return frames_in(bytes(self.origin.peers[0].received).partition(b"\r\n\r\n")[2])

    async def let_time_pass(self, seconds: float) -> None:
        """What the sweep would do so many seconds from now."""
        for relay in self.relays:
            relay.end_if_late(asyncio.get_running_loop().time() + seconds)


Run = Callable[[Handler, ServerLimits, ssl.SSLContext | None], contextlib.AbstractAsyncContextManager[Running]]


@contextlib.asynccontextmanager
async def own(handler: Handler, limits: ServerLimits, tls: ssl.SSLContext | None) -> AsyncIterator[Running]:
    """The gateway's own server."""
    server = HttpServer(handler, limits)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=tls)
    try:
        yield Running(listener.sockets[0].getsockname(), server)
    finally:
        listener.close()
        server.drain()
        await server.wait_closed(2)


@contextlib.asynccontextmanager
async def of_aiohttp(handler: Handler, limits: ServerLimits, tls: ssl.SSLContext | None) -> AsyncIterator[Running]:
    """The gateway's handler behind aiohttp's server."""
    server = AiohttpServer(handler, limits)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=tls)
    try:
        yield Running(listener.sockets[0].getsockname(), server)
    finally:
        listener.close()
        server.drain()
        await server.wait_closed(2)


@contextlib.asynccontextmanager
async def embedded(handler: Handler, limits: ServerLimits, tls: ssl.SSLContext | None) -> AsyncIterator[Running]:
    """The gateway's handler in an application of somebody else."""
    tunnels: set[Tunnel] = set()

    async def answer(base: web.BaseRequest) -> web.StreamResponse:
        return await answer_embedded(base, handler, tunnels, silence=limits.request_body)

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield Running(runner.addresses[0], None)
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def setting(
    script: OriginScript,
    *,
    early: bytes = b"",
    agreed: tuple[bytes, ...] = (),
    idle: float = 60.0,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | tuple[None, None] = (None, None),
    run: Run = own,
    **limits: Any,
) -> AsyncIterator[Setting]:
    async with (
        ScriptedOrigin(switched(script, *agreed, early=early), tls=tls[0]) as origin,
        pool_to(origin, idle_timeout=idle, tls=tls[1]) as pool,
    ):

        async def handler(request: Request) -> Response:
            handshake = websocket_handshake.read(request)
            head = b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (request.target.encode(), handshake.lines)
            answer, connection = await pool.switch(head)
            agreement = websocket_handshake.check_answer(handshake, answer.fields)
            relay = Relay(connection, answer.body, compressed=agreement.compressed)
            here.relays.append(relay)
            response = Switching(agreement.fields, relay)
            response.upon_end = lambda sent, whole: here.ends.append(sent)
            return response

        async with run(handler, ServerLimits(HeadLimits(200, 2000, 20), **limits), tls[0]) as running:
            here = Setting(running.address, running.server, pool, origin)
            try:
                yield here
            finally:
                for relay in here.relays:
                    relay.abort()


async def ended(here: Setting, count: int = 1) -> None:
    """Every relay is over: told to whoever counts, forgotten by the server, its connection out of the pool."""
    await until(lambda: len(here.ends) == count and here.pool.open == 0)
    if here.server is not None:
        await until(lambda: here.server.open_connections == 0)
