"""Lets a tunnel have a connection whose request aiohttp has read (RFC 9110 §7.8), whoever's server that is."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from gateway.http.response_head import interim_head
from gateway.http.switching import Handover, Switching, Tunnel

_PERIOD: Final = 1.0
"""Seconds between two looks at whether a tunnel hangs."""


class SwitchingReply(web.StreamResponse):
    """A 101 response that lasts as long as its tunnel. Made before anything is awaited, or aiohttp takes what the
    client sent behind its request for the next one. `tunnels` holds those that are open, `patience` is how many seconds
    a client may read nothing.
    """

    def __init__(self, response: Switching, request: web.BaseRequest, tunnels: set[Tunnel], patience: float) -> None:
        super().__init__(status=response.status)
        self.force_close()
        self._response = response
        self._tunnels = tunnels
        self._patience = patience
        self._early = b""
        self._end = asyncio.get_running_loop().create_future()
        request.protocol.set_parser(self)  # type: ignore[arg-type]  # all it needs are the two methods below

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called by aiohttp's connection with what is no HTTP any more."""
        self._early += data
        return False, b""

    def feed_eof(self) -> None:
        """Called by aiohttp's connection when it is lost."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Hand the connection over, and wait until the tunnel has ended."""
        tunnel = self._response.tunnel
        try:
            await request.writer.drain()
            if request.transport is None:
                raise ConnectionResetError("the client is gone")
            self._begin(request.transport)
            while not self._end.done():
                await asyncio.wait((self._end,), timeout=_PERIOD)
                tunnel.end_if_late(asyncio.get_running_loop().time())
        finally:
            tunnel.abort()
            self._tunnels.discard(tunnel)
            if self._response.upon_end is not None:
                self._response.upon_end(tunnel.sent, True)
        # Its transport was given away, and tells only its new owner that it is gone.
        request.protocol.connection_lost(None)

    def _begin(self, transport: asyncio.Transport) -> None:
        tunnel = self._response.tunnel
        transport.write(interim_head(self._response.status, self._response.fields))
        self._tunnels.add(tunnel)
        tunnel.begin(Handover(transport, self._early, False, self._patience, lambda: self._end.set_result(None)))

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""
