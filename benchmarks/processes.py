"""Starts programs on their cores, waits until they answer, and ends them again."""

from __future__ import annotations

import contextlib
import http.client
import random
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60.0
PORTS = range(12_000, 32_000)
"""Below those of outgoing connections (from 32,768 on Linux): a load that keeps none alive goes through thousands."""
SYSTEM_PATHS = "/usr/sbin:/usr/local/sbin"


class StartError(Exception):
    """A program did not start; the text says which and why."""


@dataclass(frozen=True)
class Process:
    """A running program: what it is called, its process, and its port on loopback."""

    name: str
    pid: int
    port: int


@dataclass(frozen=True)
class Answer:
    """One response. Status 0: there was none."""

    status: int
    body: bytes = b""


def find(program: str) -> Path | None:
    """Where a program is installed, also in the folders that only root has on its path."""
    found = shutil.which(program) or shutil.which(program, path=SYSTEM_PATHS)
    return Path(found) if found else None


def first_line(program: str, *arguments: str) -> str:
    """What a program says of itself, on whichever stream."""
    path = find(program)
    if path is None:
        return f"{program} is missing"
    done = subprocess.run([str(path), *arguments], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def allow_many_connections() -> None:
    """As many open files as the system lets this process and those it starts have: idle connections need one each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """A port nobody listens on right now, and that the system gives to no outgoing connection meanwhile."""
    while True:
        port = random.choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def is_listening(port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def ask(
    port: int, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """The response to one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body=body or None, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except (OSError, http.client.HTTPException):
        return Answer(0)
    finally:
        connection.close()


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], cores: Sequence[int], port: int, folder: Path, is_ready: Callable[[], bool]
) -> Iterator[Process]:
    """Run `command` on these cores until the block ends. Raises `StartError` when it is not ready within a minute."""
    log = folder / "output.log"
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                end = "ended" if process.poll() is not None else "is not ready"
                raise StartError(f"{name} {end}:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield Process(name, process.pid, port)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, by force when it does not go within a minute."""
    process.terminate()
    try:
        process.wait(timeout=START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
