"""The gateway as users start it: a process of its own, from a YAML file."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 30.0
ADMIN_TOKEN = "the admin's token"
"""What `admin.token` has to be for `api`."""


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

    def figure(self, name: str, **labels: str) -> float:
        """One sample of the metrics; 0 when it is not there."""
        for found, value in re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", self.admin("/metrics")[1], re.MULTILINE):
            if dict(re.findall(r'(\w+)="([^"]*)"', found)) == labels:
                return float(value)
        return 0.0

    def api(self, method: str, path: str, members: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Status and JSON of an operator's request, made with the token that is `ADMIN_TOKEN` here."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        data = None if members is None else json.dumps(members).encode()
        address = f"http://127.0.0.1:{self.admin_port}/api{path}"
        status, _, body = fetch(urllib.request.Request(address, data, headers, method=method))
        return status, json.loads(body) if body else None

    def revoke(self, **members: Any) -> dict[str, Any]:
        """Make a revocation for the issuer `corp`, and return its entry."""
        status, entry = self.api("POST", "/revocations", {"issuer": "corp", **members})
        assert status == 201, entry
        revocation: dict[str, Any] = entry
        return revocation

    def revocations(self) -> dict[str, bool]:
        """Those that hold here, by id, and whether the others have been told."""
        return {entry["id"]: entry["delivered"] for entry in self.api("GET", "/revocations")[1]["revocations"]}

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
    admin = {"listen": f"127.0.0.1:{admin_port}", **configuration.get("admin", {})}
    file.write_text(json.dumps({**configuration, "listen": f"127.0.0.1:{port}", "admin": admin}))  # JSON is YAML
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
