"""The connections to one origin, kept alive and shared by all requests to it (RFC 9112 §9).

No redirects, cookies, decompression or retries: the request goes out as its bytes were given, the response comes back
as it was sent. It knows nothing of routes; `gateway.http.connection` does the talking.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiohappyeyeballs import AddrInfoType, start_connection

from gateway.http.connection import BUFFER_SIZE, Connection, Disconnected, ResponseTimeout
from gateway.http.message import Truncated
from gateway.http.response_parser import Interim, ResponseInvalid
from gateway.http.upstream_response import IdleTimeout, Told, UpstreamResponse

__all__ = [
    "FAILURES",
    "ConnectFailed",
    "ConnectTimeout",
    "Connection",
    "Disconnected",
    "IdleTimeout",
    "Origin",
    "Pool",
    "PoolTimeout",
    "ResponseInvalid",
    "ResponseTimeout",
    "UpstreamResponse",
]

REPLACEABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Safe methods: sent again when the kept-alive connection turns out to have been closed (RFC 9110 §9.2.1)."""


class ConnectFailed(Exception):
    """No connection: refused, name unknown, certificate not accepted."""


class ConnectTimeout(Exception):
    """No connection, TLS handshake included, in time."""


class PoolTimeout(Exception):
    """All connections stayed busy for too long."""


FAILURES: Final = (
    ConnectFailed,
    ConnectTimeout,
    PoolTimeout,
    ResponseTimeout,
    ResponseInvalid,
    Disconnected,
    Truncated,
)
"""Every way in which there can be no response."""

_Waiter = asyncio.Future[Connection | None]

_NEXT_ADDRESS_AFTER: Final = 0.25
"""Seconds before the next address is tried beside the one that has not answered (RFC 8305 §5)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect: `unix_path` where given, else `host` and `port`.

    With `tls` the connection is encrypted and the certificate has to be for `server_name`, or else for `host`; a
    function is asked for the context of each new connection. `addresses` are those of `host`, where somebody knows
    them already: the first that answers is taken (RFC 8305).
    """

    host: str
    port: int
    tls: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = field(default=None, repr=False)
    server_name: str | None = None
    unix_path: str | None = None
    addresses: tuple[str, ...] = ()


class Pool:
    """At most `max_connections` to one origin; a request without one waits its turn, at most `connect_timeout`.

    All times are seconds: `connect_timeout` for the connection and its TLS handshake, `response_timeout` from the end
    of the request to the first byte of the final response, `idle_timeout` for silence after it, `keep_alive` for a
    connection without a request. A pool belongs to the event loop it is first used in.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        connect_timeout: float,
        response_timeout: float,
        idle_timeout: float,
        keep_alive: float,
        max_connections: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = origin
        self._addresses = origin.addresses
        self._connect_timeout = connect_timeout
        self._response_timeout = response_timeout
        self._idle_timeout = idle_timeout
        self._keep_alive = keep_alive
        self._max_connections = max_connections
        self._clock = clock
        self._closed = False
        self._open = 0
        self._idle: list[Connection] = []  # the last one used is the first one taken: the others may expire
        self._waiters: dict[_Waiter, None] = {}  # a queue in order of arrival that is quick to leave, too
        self._buffer = bytearray(BUFFER_SIZE)

    @property
    def open(self) -> int:
        """Connections that are open or being opened."""
        return self._open

    @property
    def idle(self) -> int:
        """Connections without a request."""
        return len(self._idle)

    @property
    def load(self) -> int:
        """Requests under way, those that wait for a connection included."""
        return self._open - len(self._idle) + len(self._waiters)

    async def send(
        self,
        head: bytes,
        *,
        method: str,
        body: AsyncIterable[bytes] | None = None,
        chunked: bool = False,
        response_timeout: float | None = None,
        interim: Interim | None = None,
        is_replacement: bool = False,
    ) -> UpstreamResponse:
        """Send one request and return its response as soon as the head is there.

        `head` is the whole request head with its empty line. The pieces of `body` are sent as they are, so `head` has
        to announce their length, or `chunked`. 1xx responses go to `interim`. A response that comes before the body
        was sent whole ends the sending. When `body` raises, the connection is aborted, so that the origin sees no
        complete request, and the exception passes on; so it is when the task is cancelled.

        A connection that turns out to be closed is replaced once for GET, HEAD and OPTIONS without a body; anything
        else is never sent twice. `is_replacement`: that has happened already.

        Raises `ConnectFailed`, `ConnectTimeout`, `PoolTimeout`, `ResponseTimeout`, `ResponseInvalid`, `Disconnected`.
        """
        timeout = self._response_timeout if response_timeout is None else response_timeout
        connection = (None if is_replacement else self._take()) or await self._acquire()
        try:
            return await connection.exchange(head, method, body, chunked, timeout, interim)
        except Disconnected:
            if is_replacement or not connection.replaceable or body is not None or method not in REPLACEABLE:
                raise
        connection = await self._acquire()  # not one at rest: the origin may have closed them all
        return await connection.exchange(head, method, None, False, timeout, interim)

    def begin(
        self, head: bytes, *, method: str, response_timeout: float | None, interim: Interim | None, told: Told
    ) -> Connection | None:
        """Send a request without a body at once, over a connection that rests; None when there is none: `send` then.

        `told` is called when the head of the response has arrived, or with what came instead.
        """
        connection = self._take()
        if connection is not None:
            timeout = self._response_timeout if response_timeout is None else response_timeout
            connection.begin(head, method, timeout, interim, told)
        return connection

    async def switch(
        self, head: bytes, *, response_timeout: float | None = None, interim: Interim | None = None
    ) -> tuple[UpstreamResponse, Connection]:
        """Send a GET that asks for another protocol (RFC 9110 §7.8), on a connection that counts as open until it is
        lost and never comes back, whatever the answer: after a 101 it is for the caller to `detach`.

        Waits and raises as `send`.
        """
        timeout = self._response_timeout if response_timeout is None else response_timeout
        connection = self._take() or await self._acquire()
        connection.belong(_Lender(self))
        try:
            return await connection.switch(head, timeout, interim), connection
        except Disconnected:
            if not connection.replaceable:
                raise
        connection = await self._acquire()
        connection.belong(_Lender(self))
        return await connection.switch(head, timeout, interim), connection

    async def try_connection(self) -> None:
        """Open a connection to see whether that works; the next request gets it.

        Raises `ConnectFailed`, `ConnectTimeout`.
        """
        self._open += 1
        self.released(await self._connect())

    def close(self) -> None:
        """Close what is idle; what is busy closes after its response. Requests still waiting are served."""
        self._closed = True
        for connection in self._idle[:]:
            connection.abort()

    def released(self, connection: Connection) -> None:
        """Called by a connection whose response has arrived whole."""
        if (waiter := self._next_waiter()) is not None:
            connection.rest(self._connect_timeout)
            waiter.set_result(connection)
            return
        seconds = self._keep_alive
        if connection.keep_alive is not None:
            # A second less than promised: a request must not meet the origin's close on its way.
            seconds = min(seconds, connection.keep_alive - 1)
        if self._closed or seconds <= 0:
            connection.abort()
            return
        connection.rest(seconds)
        self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """Called by a connection that has ended."""
        if connection in self._idle:
            self._idle.remove(connection)
        self._vacate()

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh():
                return connection
            connection.abort()
        return None

    async def _acquire(self) -> Connection:
        """A connection that has not rested: a new one where there is room, else the next one to be free."""
        if self._open < self._max_connections:
            self._open += 1
            return await self._connect()
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._wait_turn()
        except TimeoutError:
            raise PoolTimeout from None
        return connection or await self._connect()

    async def _wait_turn(self) -> Connection | None:
        """Wait for a connection, or (None) for the right to open one."""
        while True:
            waiter: _Waiter = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            try:
                connection = await waiter
            except asyncio.CancelledError:
                self._pass_on(waiter)
                raise
            if connection is None or connection.is_fresh():
                return connection
            connection.abort()  # it was lost on its way to us, and `lost`, still to come, makes room for the next

    def _pass_on(self, waiter: _Waiter) -> None:
        """Give to the next one what a cancelled waiter was given and can't use any more."""
        if waiter.cancelled():
            self._waiters.pop(waiter, None)
            return
        connection = waiter.result()
        if connection is None:
            self._vacate()
        elif not connection.closed:
            self.released(connection)

    def _next_waiter(self) -> _Waiter | None:
        while self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            if not waiter.done():
                return waiter
        return None

    def _vacate(self) -> None:
        """One connection less: the next in the queue may open one."""
        if (waiter := self._next_waiter()) is not None:
            waiter.set_result(None)
        else:
            self._open -= 1

    async def _connect(self) -> Connection:
        """Open a connection. The caller has counted it in `_open`; it is taken off again when this fails."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._open_connection()
            if connection.closed:
                raise ConnectFailed("closed at once")
        except BaseException as error:
            self._vacate()
            if isinstance(error, TimeoutError):
                raise ConnectTimeout from error
            if isinstance(error, OSError | ValueError):  # ValueError: a host that is no name (IDNA)
                raise ConnectFailed(_told(error)) from error
            raise
        connection.belong(self)
        return connection

    async def _open_connection(self) -> Connection:
        loop, origin = asyncio.get_running_loop(), self.origin

        def protocol() -> Connection:
            return Connection(loop, idle_timeout=self._idle_timeout, buffer=self._buffer, clock=self._clock)

        tls = origin.tls() if callable(origin.tls) else origin.tls
        name = (origin.server_name or origin.host) if tls is not None else None
        if origin.unix_path is not None:
            _, connection = await loop.create_unix_connection(protocol, origin.unix_path, ssl=tls, server_hostname=name)
        elif len(self._addresses) > 1:
            endpoint = await self._first_to_answer(loop)
            _, connection = await loop.create_connection(protocol, sock=endpoint, ssl=tls, server_hostname=name)
        else:
            host = self._addresses[0] if self._addresses else origin.host
            _, connection = await loop.create_connection(protocol, host, origin.port, ssl=tls, server_hostname=name)
        return connection

    async def _first_to_answer(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        """Try the addresses one after the other, a little apart. Next time the one that answered is the first."""
        places = [_place(address, self.origin.port) for address in self._addresses]
        endpoint = await start_connection(places, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER, loop=loop)
        winner = endpoint.getpeername()[0]
        if winner != self._addresses[0] and winner in self._addresses:
            self._addresses = (winner, *(address for address in self._addresses if address != winner))
        return endpoint

    def __repr__(self) -> str:
        return f"<Pool {self._open} open, {len(self._idle)} idle, {len(self._waiters)} waiting>"


class _Lender:
    """Owns a connection that may switch protocols: who takes the answer for an ordinary one and who does not would
    disagree about all that follows, so it carries nothing else.
    """

    __slots__ = ("_pool",)

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def released(self, connection: Connection) -> None:
        if connection.has_switched:
            connection.detach()
        else:
            connection.abort()

    def lost(self, connection: Connection) -> None:
        self._pool.lost(connection)


def _place(address: str, port: int) -> AddrInfoType:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where = (address, port, 0, 0) if family == socket.AF_INET6 else (address, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


def _told(error: Exception) -> str:
    """What went wrong with a connection, for the log: for a certificate OpenSSL's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}"
    return type(error).__name__
