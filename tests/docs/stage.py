"""The programs that docs/recipes/index.md starts, started as it says, on free ports; and a shell to ask them.

A page speaks of fixed addresses. Each is given a port of its own here, in what is run and back again in what is
printed, so that pages can be run side by side.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.documents import ROOT, SECRET
from tests.services import find_program, held_port

INDEX = ROOT / "docs/recipes/index.md"
SECONDS = 60.0
PORTS = ("8080", "8443", "9000", "9001", "9002", "9090", "9400", "9401", "9443")
"""The ports of 127.0.0.1 that pages speak of."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    line: int
    language: str
    title: str
    text: str


@dataclass(frozen=True)
class Command:
    """A line after `$`, and what is shown below it."""

    line: int
    text: str
    output: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    return [
        Block(text.count("\n", 0, found.start()) + 1, found[1], found[2] or "", found[3])
        for found in pattern.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a console block; a line that ends with a backslash goes on."""
    found = re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE)
    return [Command(block.line + 1 + block.text.count("\n", 0, one.start()), one[1], one[2]) for one in found]


def as_shown(shown: str, printed: str) -> bool:
    """Is this what a page shows? There `…` stands for anything, also for nothing; alone on a line for any lines."""
    lines = ("(?:.*\n)?" if line == "…" else f"{re.escape(line)}\n" for line in shown.strip().split("\n"))
    return re.fullmatch("".join(lines).replace("…", ".*"), f"{printed.strip()}\n", re.DOTALL) is not None


@dataclass
class Stage:
    """A folder with running programs; `ports` has the real port for each that pages speak of."""

    folder: Path
    ports: dict[str, int]
    functions: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """A text of a page with the ports that there are."""
        return re.sub(r"\b(127\.0\.0\.1|localhost)([: ])(\d{4})\b", self._port, text)

    def _port(self, found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}{self.ports.get(found[3], found[3])}"

    def there(self, text: str) -> str:
        """What was printed, with the ports that pages speak of."""
        for shown, port in self.ports.items():
            text = re.sub(rf"\b(127\.0\.0\.1|localhost):{port}\b", rf"\1:{shown}", text)
        return text

    @property
    def environ(self) -> dict[str, str]:
        """What programs are run with: the checkout's own command, and the addresses of the gateway."""
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("OAUTH_GATEWAY")},
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "CURL_HOME": str(self.folder),
            "ADMIN_TOKEN": SECRET,
            "XDG_STATE_HOME": str(self.folder / "state"),
        }

    def run(self, command: str) -> str:
        """What a command prints, on both streams."""
        shell = find_program("bash")
        done = subprocess.run(
            [shell, "-uc", f"{self.here(self.functions)}\n{self.here(command)}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=self.environ,
            timeout=SECONDS,
            check=False,
        )
        return self.there(done.stdout.decode().replace("\r\n", "\n"))

    def start(self, command: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a program that goes on running; it ends with the stage."""
        with self.log_of(command).open("wb") as log:
            process = subprocess.Popen(
                shlex.split(self.here(command)),
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**self.environ, **environ},
            )
        self.processes[command] = process
        return process

    def log_of(self, command: str) -> Path:
        """Where a program's output goes."""
        return self.folder / (re.sub(r"\W+", "-", command) + ".log")

    def start_listening(self, command: str) -> None:
        """Start a program, and wait until it listens at the address that its command names."""
        self.start(command)
        address = re.search(r"127\.0\.0\.1[: ](\d+)", self.here(command))
        assert address is not None, f"{command}: says no address"
        self._until(command, lambda: socket.create_connection(("127.0.0.1", int(address[1])), 5).close())

    def _until(self, command: str, succeeds: Callable[[], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(OSError):
                succeeds()
                return
            assert self.processes[command].poll() is None, self.log_of(command).read_text()
            assert time.monotonic() < deadline, f"{command}: {self.log_of(command).read_text()}"
            time.sleep(0.05)

    def start_gateway(self, command: str) -> None:
        """Start the gateway, and wait until it is ready."""
        admin = self.here("127.0.0.1:9090")
        self.start(command, OAUTH_GATEWAY__ADMIN__LISTEN=admin)
        self._until(command, lambda: urllib.request.urlopen(f"http://{admin}/readyz", timeout=5).close())

    def stop(self, command: str) -> None:
        """End a program, if it runs."""
        process = self.processes.pop(command, None)
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def stage(folder: Path, *, with_index: bool = True) -> Iterator[Stage]:
    """A folder with the files of the index, its authorization server and its API; the gateway comes with a page.

    Without the index it is an empty folder.
    """
    (folder / "bin").mkdir()
    program = folder / "bin/oauth-gateway"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gateway "$@"\n')
    program.chmod(0o755)
    # As on a terminal, where curl shows no progress beside an answer.
    (folder / ".curlrc").write_text("no-progress-meter\n")
    there = {block.title: block for block in blocks(INDEX)}
    with contextlib.ExitStack() as stack:
        made = Stage(folder, {port: stack.enter_context(held_port()) for port in PORTS}, there["token"].text)
        stack.callback(lambda: [made.stop(command) for command in list(made.processes)])
        for name in ("clients.yaml", "api.py") if with_index else ():
            (folder / name).write_text(made.here(there[name].text), encoding="utf-8")
        for title in ("authorization server", "API") if with_index else ():
            for command in commands(there[title]):
                made.start_listening(command.text)
        yield made
