"""Real services for tests: found on the machine, started on a free port and stopped, or skipped with the reason."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 10.0


@dataclass(frozen=True)
class Service:
    """A running service and where it listens on loopback."""

    port: int
    process: subprocess.Popen[bytes]
    host: str = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listened on a moment ago; whoever starts something there must be ready to try another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A port that stays this test's own, for a server that is stopped and started again.

    On Linux a socket that is bound and does not listen keeps it: connections are refused until a server listens there
    (which has to set SO_REUSEADDR, as they do), and no other process is given the port meanwhile.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        if sys.platform != "linux":
            holder.close()
        yield port


def find_program(name: str) -> str:
    """The path of a program, or a skipped test that says what to install."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if path is None:
        pytest.skip(f"{name} is not installed; scripts/test installs it where the user may, else install its package")
    return path


def is_listening(service: Service) -> bool:
    """Whether the service takes connections yet."""
    with contextlib.suppress(OSError), socket.create_connection((service.host, service.port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[Service]:
    """A process that listens on `port`; raises OSError when it ends, or does not listen within 10 s."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    service = Service(port, process)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_listening(service):
            if process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"{command[0]} did not start on port {port}")
            time.sleep(0.02)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running_redis(folder: Path, attempts: int = 3) -> Iterator[Service]:
    """A redis-server with nothing in it, which keeps nothing on disk."""
    program = find_program("redis-server")
    with contextlib.ExitStack() as stack:
        for attempt in range(1, attempts + 1):
            port = free_port()
            command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
            try:
                service = stack.enter_context(running([*command, "--save", "", "--appendonly", "no"], port))
                break
            except OSError:
                # Another process may have taken the port between the look and the start.
                if attempt == attempts:
                    raise
        yield service


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One Redis per test process; whoever uses it picks keys of its own."""
    with running_redis(tmp_path_factory.mktemp("redis")) as service:
        yield service
