"""Connections that have made one request and then say nothing: what a server pays for clients that stay."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from benchmarks.load import LoadError
from benchmarks.requests import Request


@contextlib.contextmanager
def idle_connections(port: int, count: int, request: Request) -> Iterator[None]:
    """Keep them open until the block ends. Raises `LoadError` when one is refused, or was closed meanwhile."""
    encoded = request.encoded()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(_used_once(port, encoded)) for _ in range(count)]
        yield
        closed = sum(not _is_open(connection) for connection in connections)
        if closed:
            raise LoadError(f"{closed} of {count} idle connections were closed")


def _used_once(port: int, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(request)
    start = connection.recv(65536)
    if not start.startswith(b"HTTP/1.1 200 "):
        connection.close()
        raise LoadError("an idle connection did not get 200 for its one request")
    return connection


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        # The rest of the response may still be there; an end of the connection is read as no bytes at all.
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
