"""Whether a peer has gone, without reading from it."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from gateway.http.hangup import has_hung_up
from tests.http.origin import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it before it is read")


@pytest.mark.parametrize("family", ["tcp", "unix"])
async def test_an_end_is_seen_behind_what_was_not_read(family: str) -> None:
    if family == "unix":
        ours, theirs = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            theirs = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
    _, writer = await asyncio.open_connection(sock=ours)
    writer.transport.pause_reading()
    theirs.sendall(b"unread")
    assert not has_hung_up(writer.transport)
    theirs.close()
    await until(lambda: has_hung_up(writer.transport))
    writer.close()


async def test_a_peer_that_only_stops_sending_has_ended_its_side_too() -> None:
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    writer.transport.pause_reading()
    theirs.shutdown(socket.SHUT_WR)
    await until(lambda: has_hung_up(writer.transport))
    writer.close()
    theirs.close()


async def test_of_a_transport_without_a_socket_nothing_is_known() -> None:
    assert not has_hung_up(asyncio.Transport())
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    writer.close()
    await writer.wait_closed()
    assert not has_hung_up(writer.transport)
    theirs.close()
