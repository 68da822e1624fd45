"""The gateway as an `aiohttp.web.Application`, alone or as a part of another one; see `gateway.app.make_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from gateway.app import Gateway
from gateway.http.aiohttp_embedded import answer_embedded
from gateway.http.aiohttp_server import AiohttpServer
from gateway.http.server_limits import ServerLimits
from gateway.http.switching import Tunnel


def application(gateway: Gateway, limits: ServerLimits) -> web.Application:
    """The gateway as an aiohttp application: run it alone, or below a prefix of a larger one with `add_subapp`.

    Alone it listens with the gateway's own server, so that `serve` and an embedded gateway give the same answers; as a
    part of another application it works behind that one's server (see `http.aiohttp_embedded`).
    """

    async def run(_: web.Application) -> AsyncIterator[None]:
        await gateway.start()
        yield
        await gateway.close()

    tunnels: set[Tunnel] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await answer_embedded(request, gateway.handle, tunnels, silence=limits.request_body)

    async def end_tunnels(_: web.Application) -> None:
        for tunnel in list(tunnels):
            tunnel.close()

    def make_server(**_: Any) -> web.Server:
        app.freeze()
        return AiohttpServer(gateway.handle, limits, tunnels=tunnels)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer, expect_handler=_leave_to_gateway)
    app.cleanup_ctx.append(run)
    app.on_shutdown.append(end_tunnels)
    # What a runner asks for the server. aiohttp discourages subclasses of its application, and has no other seam.
    object.__setattr__(app, "_make_handler", make_server)
    return app


async def _leave_to_gateway(_: web.Request) -> None:
    """aiohttp would answer `Expect: 100-continue` before anything has been decided."""
