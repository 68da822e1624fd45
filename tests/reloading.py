"""A gateway of one or several processes whose configuration a test changes while it runs."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crew import Crew, configuration, crew, until
from tests.world import mint

RELOADED = "configuration reloaded ("
REFUSED = "configuration not reloaded ("


@dataclass
class Reloading:
    """`config` is what the file says; `write` puts another one there, in one step, as tools do that take care."""

    gateway: Crew
    file: Path
    config: dict[str, Any]

    def write(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the file, and do nothing else."""
        change(self.config)
        self.write_text(json.dumps(self.config))

    def write_text(self, text: str) -> None:
        beside = self.file.with_name("beside")
        beside.write_text(text)
        beside.replace(self.file)

    def count(self, event: str) -> int:
        return self.gateway.log.count(event)

    @contextlib.contextmanager
    def expecting(self, event: str = RELOADED) -> Iterator[None]:
        """What is done in here leads to such a line in the log."""
        before = self.count(event)
        yield
        until(lambda: self.count(event) > before, told=lambda: self.gateway.log)

    def sighup(self, event: str = RELOADED) -> None:
        """Send the signal to the process that was started, and wait for what comes of it."""
        with self.expecting(event):
            self.gateway.process.send_signal(signal.SIGHUP)

    def readyz(self) -> tuple[int, dict[str, Any]]:
        """Its status, and what it says of the configuration."""
        status, body = self.gateway.admin("/readyz")
        return status, json.loads(body)["configuration"]

    def connections(self) -> list[http.client.HTTPConnection]:
        """A kept-alive connection to each worker."""
        return self.gateway.connections_to_all(self.config["workers"])


def asked(connection: http.client.HTTPConnection, path: str = "/orders/1", token: str | None = None) -> int:
    """The status of a request on this connection."""
    connection.request("GET", path, headers={"Authorization": f"Bearer {token or mint()}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


@contextlib.contextmanager
def reloading(
    folder: Path, upstream: str, workers: int, *, laid_out: Callable[[str], Path] | None = None, **changes: Any
) -> Iterator[Reloading]:
    """A running gateway with one route that needs a token, and one that does not. See `crew` for `laid_out`."""
    config: dict[str, Any] = {}
    file = folder / "gateway.yaml"

    def lay_out(text: str) -> Path:
        config.update(json.loads(text))
        if laid_out is not None:
            return laid_out(text)
        file.write_text(text)
        return file

    with crew(folder, configuration(upstream, workers=workers, **changes), laid_out=lay_out) as gateway:
        yield Reloading(gateway, file, config)
