"""Listens for HTTP/1.1 at protocol level and hands each request to a `Handler` (RFC 9112). Knows nothing of OAuth.

`server_connection` reads and answers; here is what all connections share: limits, the sweep that ends what takes too
long, and the drain.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.http.message import Begin, Handler
from gateway.http.request_parser import KnownFields
from gateway.http.server_connection import ServerConnection
from gateway.http.server_limits import ServerLimits
from gateway.http.switching import Connected

__all__ = ["HttpServer", "ServerLimits"]

_LONGEST_PERIOD: Final = 1.0
_SHORTEST_PERIOD: Final = 0.05


class HttpServer:
    """Makes a connection for each client. Pass it to `loop.create_server` as the protocol factory."""

    def __init__(
        self, handler: Handler, limits: ServerLimits, *, scheme: str = "http", begin: Begin | None = None
    ) -> None:
        self.handler = handler
        self.begin = begin
        self.limits = limits
        self.scheme = scheme
        self.is_draining = False
        self.known_fields = KnownFields()
        self.connections: set[Connected] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def __call__(self) -> ServerConnection:
        """A connection for a new client; the event loop calls this."""
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._period, self._end_late_ones)
        return ServerConnection(self)

    def renew(self, handler: Handler, limits: ServerLimits, *, begin: Begin | None = None) -> None:
        """From now on requests go to another handler, within other limits, on the connections that are open too.

        Requests that have begun end as they began. `begin` has to belong to the handler.
        """
        self.handler, self.begin, self.limits = handler, begin, limits
        # What is kept with known fields is found by whoever kept it, who is asked no more.
        self.known_fields.forget()
        for connection in self.connections:
            if isinstance(connection, ServerConnection):
                connection.renew(limits.head)

    @property
    def _period(self) -> float:
        shortest = min(self.limits.request_head, self.limits.request_body, self.limits.idle)
        return max(_SHORTEST_PERIOD, min(_LONGEST_PERIOD, shortest / 4))

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self.connections)

    def drain(self) -> None:
        """Close idle connections and WebSockets; the busy ones close with their current response (RFC 9112 §9.6)."""
        self.is_draining = True
        for connection in list(self.connections):
            if connection.is_idle:
                connection.close()

    async def wait_closed(self, timeout: float) -> None:
        """Wait until every connection is gone, at most `timeout` seconds, then cut the rest off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self.connections and loop.time() < deadline:  # noqa: ASYNC110 - it empties itself
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()
        while self.connections and loop.time() < deadline + 1:  # noqa: ASYNC110 - until the loop has told them
            await asyncio.sleep(0)

    def _end_late_ones(self) -> None:
        """One sweep over all connections instead of a timer for each request."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self.connections):
            connection.end_if_late(now)
        self._sweep = loop.call_later(self._period, self._end_late_ones)
