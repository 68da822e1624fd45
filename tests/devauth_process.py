"""The development authorization server as users start it: a process of its own."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 30.0


@dataclass
class DevauthProcess:
    """A running `oauth-gateway devauth`; `output` is everything it has written, to either stream."""

    process: subprocess.Popen[bytes]
    path: Path
    issuer: str = ""

    @property
    def output(self) -> str:
        return self.path.read_text()

    def until(self, text: str) -> None:
        """Wait until it has written this."""
        deadline = time.monotonic() + SECONDS
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self.process.send_signal(signal.SIGHUP)


@contextlib.contextmanager
def running_devauth(folder: Path, *options: str) -> Iterator[DevauthProcess]:
    """Start it on a free port, wait until it listens, and end it with SIGTERM, which has to give exit status 0."""
    path = folder / "devauth.log"
    command = [sys.executable, "-m", "gateway", "devauth", "--listen", "127.0.0.1:0", "--algorithm", "ES256", *options]
    with path.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    running = DevauthProcess(process, path)
    try:
        running.until("Ctrl-C ends it")
        running.issuer = running.output.split()[1]
        yield running
        process.terminate()
        assert process.wait(SECONDS) == 0, running.output
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
