"""A listening socket that takes no new connections: who is in stays in."""

from __future__ import annotations

import socket
import sys

import pytest

from gateway.process.syn_filter import drop_new_connections

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a means of Linux")


def test_connections_that_are_there_go_on_and_no_new_one_gets_in() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = listening.getsockname()
        with socket.create_connection(address, 5) as accepted, socket.create_connection(address, 5) as queued:
            first, _ = listening.accept()
            drop_new_connections(listening)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, 0.3)
            second, _ = listening.accept()
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()
            with first, second:
                for client, server in ((accepted, first), (queued, second)):
                    client.sendall(b"ping")
                    assert server.recv(4) == b"ping"
                    server.sendall(b"x" * 200_000)
                    received = 0
                    while received < 200_000:
                        received += len(client.recv(65536))


def test_it_can_be_asked_for_twice_and_on_a_unix_socket() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        for each in (tcp, tcp, unix):
            drop_new_connections(each)


def test_a_socket_that_is_closed_is_no_error() -> None:
    closed = socket.socket()
    closed.close()
    drop_new_connections(closed)
