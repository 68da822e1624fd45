"""Sockets that listen: bound before anything is started, kept by whoever bound them, accepted on by servers.

Who accepts may come and go; as long as the socket is open somewhere, connections wait in its queue and none is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.http.tls_listener import Handshakes, TlsListener
from gateway.process.syn_filter import drop_new_connections

BACKLOG = 1024

# Where the kernel spreads connections over all that listen on one port. Elsewhere the workers share one socket.
_SPREADS = sys.platform == "linux"

_HANDSHAKES = 1.0
"""Seconds for TLS handshakes that have begun when a drain does."""

_UNDER_WAY = 0.1
"""Seconds for connections that are half open when no new ones are let in."""

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


@dataclass(frozen=True, slots=True)
class Place:
    """One address as clients write it, and the sockets that listen there: one for each slot, or one for all.

    `inode` is that of the file of a unix socket.
    """

    address: str
    sockets: tuple[socket.socket, ...]
    inode: int = 0

    def of(self, slot: int) -> socket.socket:
        """The socket of one slot."""
        return self.sockets[slot % len(self.sockets)]

    def close(self) -> None:
        """Listen no more in this process."""
        for each in self.sockets:
            each.close()

    def remove(self) -> None:
        """Take the file of a unix socket away, unless another program has put its own there since."""
        if self.inode:
            path = Path(self.address.removeprefix("unix:"))
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == self.inode:
                    path.unlink()


async def turn_away(places: Sequence[Place]) -> None:
    """Let no new connection into the queues; those that are there can still be accepted, here and elsewhere.

    It holds for everybody who has the sockets, so it is for the end: whoever runs last calls it before all is closed.
    """
    for place in places:
        place.remove()
        for each in place.sockets:
            drop_new_connections(each)
    await asyncio.sleep(_UNDER_WAY)


def bind(addresses: Sequence[str], slots: int = 1) -> list[Place]:
    """Listen on each address, with a socket for each slot where the kernel can spread connections over them.

    With port 0 the places say which port it became. Raises OSError, which names the address and says what to do.
    """
    with contextlib.ExitStack() as undo:
        places = []
        for address in addresses:
            with _names(address):
                for place in _bound(address, slots):
                    undo.callback(place.close)
                    places.append(place)
        undo.pop_all()
    return places


def _bound(address: str, slots: int) -> Iterator[Place]:
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        yield Place(address, (_unix_socket(path),), Path(path).stat().st_ino)
        return
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    endpoints = {(family, endpoint): None for family, _, _, _, endpoint in found if _is_supported(family)}
    if not endpoints:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    for family, endpoint in endpoints:
        sockets = _tcp_sockets(family, endpoint, slots if _SPREADS else 1)
        yield Place(_shown(sockets[0].getsockname()), sockets)


def _is_supported(family: int) -> bool:
    with contextlib.suppress(OSError), socket.socket(family):
        return True
    return False


def _tcp_sockets(family: int, endpoint: tuple[object, ...], count: int) -> tuple[socket.socket, ...]:
    with contextlib.ExitStack() as undo:
        sockets: list[socket.socket] = []
        for number in range(count):
            each = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if number:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(sockets[0].getsockname() if sockets else endpoint)
            if count > 1 and not number:
                # Only now: bound with it, the first one would join another gateway that listens there, and each would
                # be given half of the connections. So it fails as any program does.
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sockets.append(each)
        for each in sockets:
            each.listen(BACKLOG)
        undo.pop_all()
    return tuple(sockets)


def _unix_socket(path: str) -> socket.socket:
    with contextlib.ExitStack() as undo:
        _remove_left_over(path)
        unix = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        unix.setblocking(False)
        unix.bind(path)
        unix.listen(BACKLOG)
        undo.pop_all()
    return unix


def _remove_left_over(path: str) -> None:
    """Take away a socket file that nobody listens on any more; one that somebody does is in use."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.settimeout(1)
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


@contextlib.contextmanager
def _names(address: str) -> Iterator[None]:
    """Says which address could not be had, and what to do."""
    try:
        yield
    except socket.gaierror as problem:
        raise OSError(errno.EADDRNOTAVAIL, f"{address}: {problem.strerror}") from None
    except OSError as problem:
        hint = "; another program listens there" if problem.errno == errno.EADDRINUSE else ""
        raise OSError(problem.errno, f"{address}: {os.strerror(problem.errno or 0)}{hint}") from None


def _shown(endpoint: tuple[object, ...]) -> str:
    host, port = str(endpoint[0]), endpoint[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Acceptor:
    """Lets a server accept on sockets that others may accept on too, before, after or at the same time."""

    def __init__(self, server: ProtocolFactory, handshakes: Handshakes | None = None) -> None:
        """With `handshakes` the server gets to know a client when TLS stands."""
        self._server = server
        self._handshakes = handshakes
        self._accepting: dict[socket.socket, asyncio.Server | TlsListener] = {}

    async def accept_on(self, sockets: Collection[socket.socket]) -> None:
        """Accept on these sockets and no others."""
        for gone in [known for known in self._accepting if known not in sockets]:
            self._accepting.pop(gone).close()
        for new in [each for each in sockets if each not in self._accepting]:
            # A copy, for the event loop closes what it was given.
            self._accepting[new] = await self._listener(new.dup())

    async def finish(self, sockets: Collection[socket.socket]) -> None:
        """Accept no more on any; take in the connections that these sockets have in their queues, and close them.

        The kernel has told their clients that they are connected: closing the last copy of a socket resets them.
        """
        await self.accept_on(())
        for each in sockets:
            for connection in _queued(each):
                if self._handshakes is not None:
                    self._handshakes.begin(connection)
                else:
                    await asyncio.get_running_loop().connect_accepted_socket(self._server, connection)
            each.close()
        if self._handshakes is not None:
            await self._handshakes.finish(_HANDSHAKES)

    async def _listener(self, listening: socket.socket) -> asyncio.Server | TlsListener:
        if self._handshakes is not None:
            return TlsListener(listening, self._handshakes)
        return await asyncio.get_running_loop().create_server(self._server, sock=listening, backlog=BACKLOG)


def _queued(listening: socket.socket) -> Iterator[socket.socket]:
    for _ in range(BACKLOG):
        try:
            connection, _ = listening.accept()
        except ConnectionAbortedError:
            continue
        except OSError:  # the queue is empty, or there is no descriptor for more
            return
        connection.setblocking(False)
        yield connection
