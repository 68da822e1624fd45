"""A gateway of several workers as users start it, an upstream that says who asked it, and load that counts failures."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.gateway_process import GatewayProcess, fetch
from tests.services import free_port
from tests.world import AUDIENCE, ISSUER, public_jwks

PATIENCE = 60.0
"""Seconds for whatever has to happen; several processes are started, and the machine may be busy."""

ADMIN_TOKEN = "admin-token-of-the-test"


def until(condition: Callable[[], Any], seconds: float = PATIENCE, told: Callable[[], str] = str) -> Any:
    """Wait until the condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def is_worker(pid: int) -> bool:
    """Whether a process runs that is a worker of this Python's gateway: the system may have given its number away."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return is_alive(pid) and command[0] == sys.executable.encode() and b"gateway.process.worker" in command


class Upstream:
    """Answers with the head it was sent, as JSON; below /slow only once `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.waiting = threading.Semaphore(0)
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.startswith("/slow"):
                    upstream.waiting.release()
                    upstream.go.wait(PATIENCE)
                body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                """A gateway that was killed closes its connections as it likes."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Upstream:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Crew(GatewayProcess):
    """A gateway whose workers a test can find, ask, and end."""

    opened: list[http.client.HTTPConnection] = field(default_factory=list)

    @property
    def pids(self) -> dict[int, int]:
        """The process that was started last for each slot."""
        return {slot: pids[-1] for slot, pids in self.started.items()}

    @property
    def started(self) -> dict[int, list[int]]:
        """All processes that were started, by slot and in order."""
        found: dict[int, list[int]] = {}
        for line in self.log.splitlines():
            words = json.loads(line)["event"].split() if line.startswith("{") and " started as process " in line else []
            if words:
                found.setdefault(int(words[1]), []).append(int(words[-1]))
        return found

    def connection(self) -> http.client.HTTPConnection:
        """A new connection to the traffic port, kept alive."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.connect()
        self.opened.append(connection)
        return connection

    def worker_of(self, connection: http.client.HTTPConnection) -> str:
        """What tells the worker of a connection from the others: the part of request ids that is its own."""
        connection.request("GET", "/open/who")
        return json.loads(connection.getresponse().read())["x-request-id"][:12]

    def connections_to_all(self, count: int = 2) -> list[http.client.HTTPConnection]:
        """Connections of which each leads to another worker."""
        found: dict[str, http.client.HTTPConnection] = {}
        deadline = time.monotonic() + PATIENCE
        while len(found) < count:
            assert time.monotonic() < deadline, f"only {len(found)} workers answer:\n{self.log}"
            connection = self.connection()
            worker = self.worker_of(connection)
            if worker in found:
                connection.close()
            found.setdefault(worker, connection)
        return list(found.values())

    def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of the admin API."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        address = f"http://127.0.0.1:{self.admin_port}{path}"
        status, _, text = fetch(urllib.request.Request(address, data, headers, method=method))
        return status, json.loads(text) if text else None

    def ready(self) -> dict[str, Any]:
        """What /readyz says, whatever its status."""
        report: dict[str, Any] = json.loads(self.admin("/readyz")[1])
        return report

    def until_whole(self) -> None:
        """Wait until every worker is ready."""
        until(lambda: set(self.ready()["workers"].values()) == {"ready"}, told=lambda: self.log)

    def metric(self, name: str, labels: str = "") -> float:
        """The sum of all samples of that name whose labels contain a text."""
        lines = [line for line in self.admin("/metrics")[1].splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines if labels in line)

    def has_ended(self, within: float = PATIENCE) -> int:
        """The exit status of the supervisor, once neither it nor any worker runs."""
        status = self.process.wait(timeout=within)
        until(lambda: not any(is_worker(pid) for pids in self.started.values() for pid in pids), told=lambda: self.log)
        return status


def configuration(upstream: str, **changes: Any) -> dict[str, Any]:
    """One issuer, one upstream, a route for tokens and one for everybody."""
    issuer = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks()), "backchannel_logout": True}
    return {
        "issuers": {"corp": issuer},
        "upstreams": {"orders": {"url": upstream}},
        "routes": [
            {"name": "orders", "path": "/orders/**", "upstream": "orders"},
            {"name": "slow", "path": "/slow/**", "upstream": "orders", "public": True},
            {"name": "open", "path": "/open/**", "upstream": "orders", "public": True},
        ],
        **changes,
    }


@contextlib.contextmanager
def crew(
    folder: Path,
    configuration: Mapping[str, Any],
    *,
    also: str | None = None,
    cores: set[int] | None = None,
    command: Sequence[str] = (sys.executable, "-m", "gateway"),
    folder_of_process: Path | None = None,
    stdout: int | None = None,
    laid_out: Callable[[str], Path] | None = None,
) -> Iterator[Crew]:
    """Start a gateway and wait until all is ready. A test may end it; else it is ended, and has to end well.

    `also` is a further address to listen on, `cores` are those that it may use, `folder_of_process` is its current one.
    `laid_out` puts the text of the configuration somewhere else, and says what the command is given for it.
    """
    port, admin_port = free_port(), free_port()
    file, log_path = folder / "gateway.yaml", folder / "gateway.log"
    admin = {"listen": f"127.0.0.1:{admin_port}", "token": ADMIN_TOKEN}
    listen = [f"127.0.0.1:{port}", *([also] if also is not None else [])]
    text = json.dumps({"listen": listen, "admin": admin, "workers": 2, **configuration})
    if laid_out is not None:
        file = laid_out(text)
    else:
        file.write_text(text)
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [*command, "serve", "-c", str(file)],
            cwd=folder_of_process,
            stdout=log if stdout is None else stdout,
            stderr=log,
            preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, cores),
        )
    gateway = Crew(port, admin_port, process, log_path)
    try:
        gateway.until("/readyz", 200, PATIENCE)
        yield gateway
        if process.poll() is None:
            process.terminate()
            assert gateway.has_ended() == 0, gateway.log
    finally:
        for connection in gateway.opened:
            connection.close()
        if process.poll() is None:
            process.kill()
            process.wait()
        # None, unless a test has failed.
        for pid in (pid for pids in gateway.started.values() for pid in pids if is_worker(pid)):
            os.kill(pid, signal.SIGKILL)


class Load:
    """Requests from several threads until it is left; `outcomes` counts statuses, `refused`, `reset` and `silent`.

    Each request has a connection of its own, or with `keep_alive` they share one as long as the server lets them; a
    kept-alive connection that closes before any byte of an answer is replaced once, as RFC 9112 §9.3.1 lets clients do.
    """

    def __init__(self, port: int, path: str = "/open/x", *, threads: int = 4, keep_alive: bool = False) -> None:
        self.outcomes: Counter[str | int] = Counter()
        self._port = port
        self._path = path
        self._keep_alive = keep_alive
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Stop asking, and wait for the last answers."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def until(self, answered: int) -> None:
        """Wait until so many more requests were answered."""
        goal = self.outcomes[200] + answered
        until(lambda: self.outcomes[200] >= goal, told=lambda: repr(self.outcomes))

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._over.wait(0.003):
            was_used = connection is not None
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
                    connection.connect()
                connection.request("GET", self._path, headers={} if self._keep_alive else {"Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                self.outcomes[answer.status] += 1
                if answer.will_close:
                    connection.close()
                    connection = None
            except ConnectionRefusedError:
                self.outcomes["refused"] += 1
                connection = None
            except (OSError, http.client.HTTPException) as problem:
                if connection is not None:
                    connection.close()
                    connection = None
                if not (was_used and isinstance(problem, http.client.RemoteDisconnected | ConnectionError)):
                    self.outcomes["silent" if isinstance(problem, TimeoutError) else "reset"] += 1
        if connection is not None:
            connection.close()


def taken_port() -> socket.socket:
    """A socket that listens on a port of its own, as another program would."""
    other = socket.socket()
    other.bind(("127.0.0.1", 0))
    other.listen()
    return other
