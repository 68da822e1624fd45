"""What a measured server is: how it is found, configured, started, and shown to check what it is said to check."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.issuer import Issuer
from benchmarks.processes import Process, StartError, ask, free_port, running
from benchmarks.requests import Request


class Unsupported(Exception):
    """A server can't do what a scenario asks for; the text is the reason."""


@dataclass(frozen=True)
class Setting:
    """What a server is started with. `folder` is its own; `prefixes` are the paths it forwards, one route each.

    The issuer's keys are files, and also at `jwks_uri`, whose certificate nobody vouches for.
    """

    folder: Path
    cores: Sequence[int]
    upstream_port: int
    jwks_uri: str
    issuer: Issuer
    prefixes: Sequence[str]
    workers: int = 1
    port: int = field(default_factory=free_port)


@dataclass(frozen=True)
class Peer:
    """A server to measure. `command` writes its configuration and gives its command line, or raises `Unsupported`."""

    key: str
    name: str
    program: Callable[[], Path | None]
    command: Callable[[Setting], Sequence[str]]
    version: Callable[[], str]
    checks_tokens: bool = True

    @contextlib.contextmanager
    def start(self, setting: Setting) -> Iterator[Process]:
        """Run it until the block ends. Raises `Unsupported`, and `StartError`, also when it lets a bad token pass."""
        command = self.command(setting)
        good = Request(f"{setting.prefixes[-1]}42", setting.issuer.token())

        def is_ready() -> bool:
            return status_of(setting.port, good) == 200

        with running(self.name, command, setting.cores, setting.port, setting.folder, is_ready) as process:
            if self.checks_tokens:
                self._check(setting)
            yield process

    def _check(self, setting: Setting) -> None:
        """Ask what has to be refused: what would be measured else is no check."""
        issuer = setting.issuer
        refused = {
            "no token": "",
            "a bad signature": issuer.badly_signed(1)[0],
            "an expired token": issuer.token(exp=1_700_000_000, iat=1_600_000_000),
            "a token for another audience": issuer.token(aud="another-api"),
            "a token of another issuer": issuer.token(iss="https://login.example.org"),
        }
        for what, token in refused.items():
            status = status_of(setting.port, Request(f"{setting.prefixes[0]}42", token))
            if status not in (401, 403):
                raise StartError(f"{self.name} answers {status} to {what}")


def status_of(port: int, request: Request) -> int:
    """The status of the response to one request, 0 when there was none."""
    body = b"x" * request.body
    return ask(port, request.path, method=request.method, headers=request.headers, body=body).status
