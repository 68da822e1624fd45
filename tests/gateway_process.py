"""The gateway as users start it: a process of its own, from a YAML file."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 15.0


@dataclass
class GatewayProcess:
    """A running `oauth-gateway serve`; `log` is everything it has written."""

    port: int
    admin_port: int
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def ask(self, path: str, token: str | None = None, method: str = "GET") -> tuple[int, Mapping[str, str], str]:
        """Status, header fields and body of one request."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return fetch(urllib.request.Request(self.origin + path, method=method, headers=headers))

    def reason(self, path: str, token: str | None = None, method: str = "GET") -> tuple[int, str]:
        """Status and reason of a refusal."""
        status, _, body = self.ask(path, token, method)
        return status, json.loads(body)["reason"]

    def admin(self, path: str) -> tuple[int, str]:
        """Status and body of the admin listener."""
        status, _, body = fetch(urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}"))
        return status, body

    def until(self, path: str, wanted: int, seconds: float = START_SECONDS) -> None:
        """Wait until the admin listener answers with this status."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if self.admin(path)[0] == wanted:
                    return
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, f"{path} is not {wanted}:\n{self.log}"
            time.sleep(0.05)


def fetch(request: urllib.request.Request) -> tuple[int, Mapping[str, str], str]:
    """Status, header fields and body; an error status is an answer like any other."""
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, dict(refusal.headers), refusal.read().decode()


@contextlib.contextmanager
def serving(folder: Path, port: int, admin_port: int, configuration: Mapping[str, Any]) -> Iterator[GatewayProcess]:
    """Start the gateway, wait until it listens, and end it with SIGTERM, which has to give exit status 0."""
    file = folder / f"gateway-{port}.yaml"
    addresses = {"listen": f"127.0.0.1:{port}", "admin": {"listen": f"127.0.0.1:{admin_port}"}}
    file.write_text(json.dumps({**addresses, **configuration}))  # JSON is YAML
    log_path = folder / f"gateway-{port}.log"
    with log_path.open("wb") as log:
        command = [sys.executable, "-m", "gateway", "serve", "-c", str(file)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    gateway = GatewayProcess(port, admin_port, process, log_path)
    try:
        gateway.until("/startupz", 200)
        yield gateway
        process.terminate()
        assert process.wait(timeout=START_SECONDS) == 0, gateway.log
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
