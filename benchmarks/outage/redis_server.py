"""A Redis that can be killed and started again on the same port, with nothing of what it held."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.processes import START_SECONDS, StartError, find, free_port, is_listening


class RedisServer:
    """The server. It keeps nothing on disk."""

    def __init__(self, cores: Sequence[int], folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        pinned = ["taskset", "-c", ",".join(map(str, cores))]
        self._command = [*pinned, str(find("redis-server")), *where, "--save", "", "--appendonly", "no"]

    def start(self) -> None:
        """Raises `StartError` when it does not listen within a minute."""
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not is_listening(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"redis-server does not listen:\n{(self._folder / 'redis.log').read_text()[-2000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: no word to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def redis_server(cores: Sequence[int], folder: Path) -> Iterator[RedisServer]:
    """Run it until the block ends. Raises `StartError`."""
    if find("redis-server") is None:
        raise StartError("redis-server is not installed")
    home = folder / "redis"
    home.mkdir()
    server = RedisServer(cores, home)
    try:
        server.start()
        yield server
    finally:
        server.kill()
