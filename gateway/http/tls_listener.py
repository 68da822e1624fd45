"""Accepts connections and shakes hands over TLS before a server gets to know them (RFC 8446): in bounded time, and only
so many at once. Each handshake is made with the certificate of the moment.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 100
"""Connections taken from the queue before others get their turn."""

_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_WAIT_FOR_ROOM: Final = 1.0

_SHUTDOWN_SECONDS: Final = 5.0
"""How long a client may take to answer our close_notify."""

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Handshakes:
    """Makes protocols of connections that have been accepted, when their handshake has succeeded within `timeout` s.

    At most `most` are under way. Then the oldest gives way: an honest client needs a moment, and only those who let us
    wait are ever old. A failed one is the client's affair; it is logged at `debug`.
    """

    def __init__(
        self, server: ProtocolFactory, context: Callable[[], ssl.SSLContext], *, timeout: float, most: int = 1000
    ) -> None:
        self._server = server
        self._context = context
        self._timeout = timeout
        self._most = most
        self._under_way: dict[asyncio.Task[None], None] = {}

    def renew(self, context: Callable[[], ssl.SSLContext], *, timeout: float) -> None:
        """The next handshakes are made with another certificate, or with other patience."""
        self._context, self._timeout = context, timeout

    @property
    def under_way(self) -> int:
        """How many clients are shaking hands."""
        return len(self._under_way)

    def begin(self, connection: socket.socket) -> None:
        """Shake hands over an accepted connection, in the background. It is closed when that fails."""
        if len(self._under_way) >= self._most:
            oldest = next(iter(self._under_way))
            oldest.cancel()
            del self._under_way[oldest]
        task = asyncio.get_running_loop().create_task(self._shake_hands(connection))
        self._under_way[task] = None
        task.add_done_callback(self._ended)

    async def finish(self, seconds: float) -> None:
        """Wait until none is under way, at most so long, then end the rest: for after the last one has begun."""
        if self._under_way:
            _, late = await asyncio.wait(list(self._under_way), timeout=seconds)
            for task in late:
                task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a handshake failed", exc_info=error)

    async def _shake_hands(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            # A small piece of a stream must not wait for the acknowledgement of the last one.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.get_running_loop().connect_accepted_socket(
                    self._server,
                    connection,
                    ssl=self._context(),
                    ssl_handshake_timeout=self._timeout,
                    ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
                )
        except (OSError, TimeoutError) as problem:
            logger.debug("a TLS handshake came to nothing: %s", problem or type(problem).__name__)


class TlsListener:
    """Takes connections from one listening socket, for as long as it is not closed."""

    def __init__(self, listening: socket.socket, handshakes: Handshakes) -> None:
        self._listening = listening
        self._handshakes = handshakes
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(listening, self._accept)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What it listens on."""
        return (self._listening,)

    def close(self) -> None:
        """Accept no more and close the socket; handshakes under way go on."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as problem:
                if problem.errno not in _NO_ROOM:
                    raise
                # It would be told of the same connection again and again, and have no time for anything else.
                logger.error("no connection can be accepted: %s", problem.strerror)
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(_WAIT_FOR_ROOM, self._go_on)
                return
            self._handshakes.begin(connection)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)


def tcp_sockets(host: str | None, port: int, backlog: int) -> list[socket.socket]:
    """Sockets that listen on each address of a host, None for all. Raises OSError."""
    flags, listening = socket.AI_PASSIVE, []
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags):
        each = socket.socket(family, kind, protocol)
        listening.append(each)
        try:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind(address)
            each.listen(backlog)
            each.setblocking(False)
        except OSError:
            for opened in listening:
                opened.close()
            raise
    return listening


def unix_socket(path: str, backlog: int) -> socket.socket:
    """A socket that listens at this path; a socket that was left there goes. Raises OSError."""
    file = Path(path)
    if file.is_socket():
        file.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path)
        listening.listen(backlog)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
