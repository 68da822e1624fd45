"""The services that tests run against are real: Redis answers, and is gone afterwards."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from tests.services import Service, free_port, held_port, is_listening, running, running_redis


def ask(service: Service, command: bytes) -> bytes:
    with socket.create_connection((service.host, service.port), timeout=5) as connection:
        connection.sendall(command)
        return connection.recv(64)


def test_redis_answers_a_ping(redis_server: Service) -> None:
    assert ask(redis_server, b"*1\r\n$4\r\nPING\r\n") == b"+PONG\r\n"


def test_a_stopped_redis_is_gone(tmp_path: Path) -> None:
    with running_redis(tmp_path) as service:
        assert is_listening(service)
    assert service.process.poll() == 0
    assert not is_listening(service)


def test_a_service_that_ends_at_once_is_an_error() -> None:
    with pytest.raises(OSError, match="did not start"), running(["false"], free_port()):
        pass


def test_a_held_port_refuses_connections_until_a_server_listens_there_and_is_given_to_nobody_else() -> None:
    with held_port() as port, contextlib.ExitStack() as stack:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        others = [stack.enter_context(held_port()) for _ in range(200)]
        assert port not in others
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
