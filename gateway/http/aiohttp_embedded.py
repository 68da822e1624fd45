"""Answers one request that another aiohttp application has read: the gateway below a prefix of a larger service.

That application's server has parsed the request, by its own limits and with aiohttp's defaults; what the gateway's own
server does before a request exists (`gateway.http.aiohttp_server`) does not happen here.
"""

from __future__ import annotations

import socket
from typing import cast

from aiohttp import web

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.aiohttp_reply import Line, Reply
from gateway.http.aiohttp_server import RESET_AT_CLOSE, read_request
from gateway.http.aiohttp_switching import SwitchingReply
from gateway.http.host import address_of
from gateway.http.message import Fields, Handler, Request
from gateway.http.switching import SWITCHING_PROTOCOLS, Switching, Tunnel

# What aiohttp's server has unpacked before we see it, unless it was told not to.
_UNPACKED = frozenset({"gzip", "deflate", "br", "zstd"})


class _AioLine(Line):
    """The connection of a request that aiohttp owns."""

    def __init__(self, base: web.BaseRequest) -> None:
        self._base = base

    async def write(self, data: bytes) -> None:
        self.write_interim(data)
        await self._base.writer.drain()

    def write_interim(self, head: bytes) -> None:
        if self._base.transport is None:
            raise ConnectionResetError("the client is gone")
        self._base.transport.write(head)

    def end(self) -> None:
        if self._base.transport is not None:
            self._base.transport.close()

    def abort(self) -> None:
        if self._base.transport is not None:
            connection = self._base.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            self._base.transport.abort()


async def answer_embedded(
    base: web.BaseRequest, handler: Handler, tunnels: set[Tunnel], *, silence: float
) -> web.StreamResponse:
    """Let the handler answer; `silence` is the longest pause of a body in seconds, `tunnels` takes those that open."""
    line = _AioLine(base)
    peer = address_of(base.transport.get_extra_info("peername")) if base.transport is not None else ""
    request = read_request(base, line, peer, base.scheme, silence)
    if request.body is not None and base.headers.get("Content-Encoding", "").lower() in _UNPACKED:
        # Its bytes and its length are no longer those that were sent: nothing true could be forwarded.
        evidence = "the embedding server unpacks bodies: give its AppRunner auto_decompress=False"
        defect = GatewayError(errors.NOT_IMPLEMENTED, evidence)
        request = Request("", "", Fields(()), peer=peer, defect=defect)
    response = await handler(request)
    if response.status == SWITCHING_PROTOCOLS:
        return SwitchingReply(cast("Switching", response), base, tunnels, silence)
    return Reply(response, base, line, keep_alive=base.keep_alive and request.defect is None)
