#!/usr/bin/env python3
"""The image without a container engine: runs the steps of the Dockerfile below a folder, and starts the result.

    image_steps.py [--build-arg NAME=VALUE]... [FOLDER]

FOLDER must be empty or absent; without one a temporary folder is used and removed.

The instructions are read from the Dockerfile itself, so what passes here is what an engine would be told. The base
image is this machine's Python, the root of the file system is the folder. The result is started as the image would be:
by ENTRYPOINT and CMD, as USER where that is possible, on files that nobody may write, with no program but its own on
the path. Prints one line a step and exits 1 when one fails. The Python that runs this needs pip and venv, as that of
.venv has.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
STEP_SECONDS = 600
START_SECONDS = 60

CONFIGURATION = """\
routes:
  - {name: hello, path: /hello, public: true, respond: {body: "hello from the image\\n"}}
"""


class StepFailed(Exception):
    """A step of the Dockerfile, or the result, does not do what it should."""


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction of a Dockerfile and its arguments, without comments and with its lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, arguments = line.strip().partition(" ")
        if name:
            yield name.upper(), arguments.strip()


@dataclass
class Image:
    """What the last stage says of itself."""

    environ: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    user: str = "0"
    folder: str = "/"
    stop_signal: str = "SIGTERM"
    health: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


class Build:
    """The stages of a Dockerfile, one after the other at the same place: absolute paths in a stage stay true."""

    def __init__(self, folder: Path, arguments: Mapping[str, str], context: Path = CHECKOUT) -> None:
        self.root = folder / "root"
        self.image = Image()
        self._folder = folder
        self._context = context
        self._arguments = dict(arguments)
        self._stages: dict[str, Path] = {}
        self._stage = ""
        self._kept = kept_by(context / ".dockerignore")
        self._do: dict[str, Callable[[str], None]] = {
            "ARG": self._arg,
            "FROM": self._from,
            "ENV": lambda text: self.image.environ.update(self._pairs(text)),
            "LABEL": lambda text: self.image.labels.update(self._pairs(text)),
            "WORKDIR": self._workdir,
            "COPY": self._copy,
            "RUN": self._run,
            "USER": lambda text: setattr(self.image, "user", text),
            "EXPOSE": lambda _: None,
            "STOPSIGNAL": lambda text: setattr(self.image, "stop_signal", text),
            "HEALTHCHECK": lambda text: setattr(self.image, "health", json.loads(text.partition(" CMD ")[2])),
            "ENTRYPOINT": lambda text: setattr(self.image, "entrypoint", json.loads(text)),
            "CMD": lambda text: setattr(self.image, "command", json.loads(text)),
        }

    def run(self) -> Image:
        """Do every step. Raises `StepFailed`."""
        for name, arguments in instructions((self._context / "Dockerfile").read_text(encoding="utf-8")):
            started = time.monotonic()
            if name not in self._do:
                raise StepFailed(f"{name} is no instruction that this script knows")
            self._do[name](arguments)
            say(f"{name} {arguments[:80]}", time.monotonic() - started)
        return self.image

    def below(self, path: str) -> Path:
        """Where an absolute path of the image is on this machine."""
        return self.root / path.lstrip("/")

    def _expanded(self, text: str) -> str:
        return string.Template(text).safe_substitute({"PATH": "", **self._arguments, **self.image.environ})

    def _pairs(self, text: str) -> dict[str, str]:
        words = (word.partition("=") for word in shlex.split(text))
        return {name: self._expanded(value) for name, _, value in words}

    def _arg(self, text: str) -> None:
        name, _, default = text.partition("=")
        self._arguments.setdefault(name, default)

    def _from(self, text: str) -> None:
        if self._stage:
            self._stages[self._stage] = self.root.rename(self._folder / f"stage-{self._stage}")
        self._stage = text.partition(" AS ")[2] or "last"
        self.image = Image()
        # The base has a `python` with pip; a link to ours would lose its environment, a script does not.
        python = self.below("/usr/local/bin/python")
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)

    def _workdir(self, text: str) -> None:
        self.image.folder = text
        self.below(text).mkdir(parents=True, exist_ok=True)

    def _copy(self, text: str) -> None:
        *sources, target = text.split()
        origin = self._context
        if sources[0].startswith("--from="):
            origin = self._stages[sources.pop(0).removeprefix("--from=")]
        elif refused := [source for source in sources if source.split("/")[0] not in self._kept]:
            raise StepFailed(f"COPY {refused[0]}: .dockerignore keeps it out of the context")
        into = self.below(target) if target.startswith("/") else self.below(self.image.folder) / target
        for source in sources:
            path = origin / source.lstrip("/")
            if path.is_dir():
                shutil.copytree(path, into, symlinks=True, ignore=None if origin != self._context else ignored)
            else:
                shutil.copy2(path, into)

    def _run(self, text: str) -> None:
        below = re.sub(r"(?<![\w./-])/opt/", f"{self.root}/opt/", text)
        environ = {
            **os.environ,
            **self._arguments,
            **self.image.environ,
            "PATH": f"{self.root}/usr/local/bin:{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["sh", "-c", below],
            cwd=self.below(self.image.folder),
            env=environ,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        if done.returncode:
            raise StepFailed(f"RUN {text}\n{done.stdout}{done.stderr}")


def kept_by(file: Path) -> frozenset[str]:
    """What a .dockerignore that begins with `*` lets into the context."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    if lines[0] != "*":
        raise StepFailed(".dockerignore must keep everything out first: `*`")
    return frozenset(line[1:] for line in lines if line.startswith("!"))


def ignored(_: str, names: list[str]) -> list[str]:
    """What never comes along out of the checkout."""
    return [name for name in names if name == "__pycache__"]


def say(what: str, seconds: float) -> None:
    """One line for a step that is done."""
    print(f"ok  {seconds:5.1f} s  {what}", flush=True)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Container:
    """The result, run as an engine would run it with --read-only, but for the ports."""

    def __init__(self, build: Build, configuration: str = CONFIGURATION) -> None:
        self._build = build
        self._image = build.image
        self.port, self.admin_port = free_port(), free_port()
        (build.below(self._image.folder) / "gateway.yaml").write_text(configuration, encoding="utf-8")
        make_read_only(build.root)
        self._environ = {
            **{name: self._placed(value) for name, value in self._image.environ.items()},
            "OAUTH_GATEWAY__LISTEN": f"127.0.0.1:{self.port}",
            "OAUTH_GATEWAY__ADMIN__LISTEN": f"127.0.0.1:{self.admin_port}",
            "OAUTH_GATEWAY_HEALTH_URL": f"http://127.0.0.1:{self.admin_port}/readyz",
        }
        self.runs_as = f"user {os.geteuid()}"
        self._prefix: list[str] = []
        self._user: dict[str, Any] = {}
        if self._image.user.partition(":")[0] in ("0", "root"):
            raise StepFailed("USER: the image would run as root")
        if os.geteuid() == 0:
            self._give_up_root()

    def _placed(self, value: str) -> str:
        """A value of the environment with its absolute paths below the folder, and no others."""
        parts = [part for part in value.split(":") if part]
        return ":".join(f"{self._build.below(part)}" if part.startswith("/") else part for part in parts)

    def _give_up_root(self) -> None:
        """The image's user; or root without any privilege, where the machine's Python is for root's eyes alone."""
        user, _, group = self._image.user.partition(":")
        self._user = {"user": int(user), "group": int(group), "extra_groups": []}
        self.runs_as = f"user {self._image.user}"
        with contextlib.suppress(PermissionError):
            self._run([*self._image.entrypoint, "version"])
            return
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise StepFailed(
                f"{self.runs_as} can't read {sys.executable}, and there is no setpriv to give up root with"
            )
        self._user = {}
        self._prefix = [setpriv, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        self.runs_as = "root without any privilege"

    def _run(self, words: list[str]) -> int:
        return subprocess.run(
            self._command(words), env=self._environ, capture_output=True, check=False, **self._user
        ).returncode

    def _command(self, words: list[str]) -> list[str]:
        program = shutil.which(words[0], path=self._environ["PATH"])
        if program is None:
            raise StepFailed(f"{words[0]} is not on the image's path")
        return [*self._prefix, program, *words[1:]]

    def check(self) -> None:
        """Start it, ask its health check and its traffic port, stop it. Raises `StepFailed`."""
        before = listing(self._build.root)
        command = self._command([*self._image.entrypoint, *self._image.command])
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(command, env=self._environ, stdout=log, stderr=log, cwd="/", **self._user)
            try:
                self._wait_until_healthy(process)
                self._ask()
                process.send_signal(getattr(signal, self._image.stop_signal))
                code = process.wait(timeout=START_SECONDS)
            except (StepFailed, OSError, subprocess.TimeoutExpired) as problem:
                log.seek(0)
                raise StepFailed(f"{problem}\n{log.read().decode('utf-8', 'replace')}") from None
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if code != 0:
            raise StepFailed(f"{self._image.stop_signal} ended it with exit status {code}")
        if listing(self._build.root) != before:
            raise StepFailed("it wrote to its own files")

    def _wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._run(self._image.health):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StepFailed("HEALTHCHECK never succeeds")
            time.sleep(0.1)

    def _ask(self) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/hello", timeout=10) as answer:
            if answer.read() != b"hello from the image\n":
                raise StepFailed("the traffic port answers something else")


def make_read_only(root: Path) -> None:
    """Nobody may write below it; root still could, which `listing` would show."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
        Path(folder).chmod(0o555)


def listing(root: Path) -> Mapping[str, tuple[int, int]]:
    """Every file and folder with its size and time of change."""
    found = {}
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        found[str(path.relative_to(root))] = (state.st_size, state.st_mtime_ns)
    return found


def remove(folder: Path) -> None:
    """Remove a folder that was made read-only."""
    for inner, _, _ in os.walk(folder):
        Path(inner).chmod(0o755)
    shutil.rmtree(folder)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="The image without a container engine.")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as of docker build")
    parser.add_argument("folder", nargs="?", type=Path, help="empty or absent; else a temporary one, removed again")
    return parser


def main(words: list[str]) -> int:
    """Build in a clean folder, start the result, and say how it went."""
    chosen = options().parse_args(words)
    arguments = {name: value for name, _, value in (word.partition("=") for word in chosen.build_arg)}
    given = chosen.folder.resolve() if chosen.folder is not None else None
    folder = given or Path(tempfile.mkdtemp(prefix="oauth-gateway-image-"))
    if folder.exists() and any(folder.iterdir()):
        print(f"{folder} is not empty", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    # The image's user has to get in.
    folder.chmod(0o755)
    try:
        build = Build(folder, arguments)
        build.run()
        started = time.monotonic()
        container = Container(build)
        container.check()
        how = f"started as {container.runs_as} on files it can't write, healthy, answered, stopped"
        say(how, time.monotonic() - started)
    except StepFailed as problem:
        print(f"FAILED  {problem}", file=sys.stderr)
        return 1
    finally:
        if given is None:
            remove(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
