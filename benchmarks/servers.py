"""Starts what is measured and what it talks to, each on its own core, and stops it again."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 15.0
PATH = "/orders/42"

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
    {content}
}}
"""

UPSTREAM = """
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        default_type application/json;
        location / {{ return 200 '{{"id": "42", "state": "paid", "total": 1999}}'; }}
    }}
"""

PROXY = """
    upstream orders {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://orders;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
"""


class StartError(Exception):
    """A server did not start; the text says which and why."""


@dataclass(frozen=True)
class Server:
    """A running server: the process to measure, its port, and the Authorization field it wants."""

    name: str
    pid: int
    port: int
    authorization: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, authorization: str = "", path: str = PATH) -> int:
    """The status of one request, 0 when there is no answer."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
    if authorization:
        head += f"Authorization: {authorization}\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(head.encode() + b"\r\n")
            return int(connection.recv(4096).split(b" ", 2)[1])
    except (OSError, IndexError, ValueError):
        return 0


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], core: int, port: int, folder: Path, authorization: str = ""
) -> Iterator[Server]:
    """Run `command` on one core until the block ends; it has to answer 200 on `port` within 15 s."""
    log = folder / f"{name.replace(' ', '-')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + START_SECONDS
        while (status := ask(port, authorization)) != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                end = "ended" if process.poll() is not None else f"answers {status or 'nothing'}"
                raise StartError(f"{name} {end}:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield Server(name, process.pid, port, authorization)
    finally:
        process.terminate()
        try:
            process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def nginx(name: str, content: str, core: int, port: int, folder: Path) -> Iterator[Server]:
    """nginx with one worker and this content of its `http` block."""
    home = folder / name.replace(" ", "-")
    home.mkdir()
    (home / "nginx.conf").write_text(NGINX.format(folder=home, content=content))
    command = ["nginx", "-e", str(home / "error.log"), "-p", str(home), "-c", str(home / "nginx.conf")]
    with running(name, command, core, port, folder) as server:
        yield server


def upstream(core: int, folder: Path) -> contextlib.AbstractContextManager[Server]:
    """The API behind everything: nginx with a constant answer."""
    port = free_port()
    return nginx("upstream", UPSTREAM.format(port=port), core, port, folder)


def plain_proxy(core: int, folder: Path, upstream_port: int) -> contextlib.AbstractContextManager[Server]:
    """nginx as a proxy that checks nothing: the floor."""
    port = free_port()
    return nginx("nginx, no check", PROXY.format(port=port, upstream=upstream_port), core, port, folder)


def gateway_configuration(port: int, admin_port: int, upstream_port: int, keys: Path) -> dict[str, object]:
    """One route that asks for a scope, as `oauth-gateway serve` reads it (JSON is YAML)."""
    return {
        "listen": f"127.0.0.1:{port}",
        "admin": {"listen": f"127.0.0.1:{admin_port}"},
        "log": {"access": False},
        "issuers": {
            "bench": {"issuer": "https://login.example.com", "audience": "orders-api", "jwks_file": str(keys)},
        },
        "upstreams": {"orders": {"url": f"http://127.0.0.1:{upstream_port}"}},
        "routes": [
            {
                "name": "read-order",
                "path": "/orders/{id}",
                "methods": ["GET"],
                "upstream": "orders",
                "require": {"scopes": ["orders:read"]},
            }
        ],
    }


@contextlib.contextmanager
def gateway(command: Path, core: int, folder: Path, upstream_port: int, keys: Path, token: str) -> Iterator[Server]:
    """`oauth-gateway serve`, with a route that asks for a scope. It has to refuse who brings no token."""
    port = free_port()
    configuration = folder / "gateway.yaml"
    configuration.write_text(json.dumps(gateway_configuration(port, free_port(), upstream_port, keys), indent=2))
    serve = [str(command), "serve", "-c", str(configuration)]
    with running("oauth-gateway", serve, core, port, folder, f"Bearer {token}") as server:
        if (status := ask(port)) != 401:
            raise StartError(f"oauth-gateway answers {status} without a token: what would be measured is no check")
        yield server
