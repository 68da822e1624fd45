"""`oauth-gateway token` as users run it: a process of its own with a state folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60.0
"""More than any command of these tests takes on a machine that does much else."""


@dataclass(frozen=True)
class Ended:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def token(self) -> str:
        """The one line of standard output, of a command that did what it should."""
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1
        return self.out.removesuffix("\n")


@dataclass
class Running:
    """A command that runs. Its standard error is read line by line, and kept."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def line(self, pattern: str) -> str:
        """The first group of the next line of standard error that matches."""
        assert self.process.stderr is not None
        async with asyncio.timeout(SECONDS):
            while line := (await self.process.stderr.readline()).decode():
                self.lines.append(line)
                if found := re.search(pattern, line):
                    return found[1] if found.re.groups else found[0]
        raise AssertionError(f"no {pattern!r} in {''.join(self.lines)}")

    async def end(self, text: bytes | None = None) -> Ended:
        """Wait until it ends by itself."""
        async with asyncio.timeout(SECONDS):
            out, err = await self.process.communicate(text)
        assert self.process.returncode is not None
        return Ended(self.process.returncode, out.decode(), "".join(self.lines) + err.decode())


@dataclass
class User:
    """Somebody with a home folder, and these further variables of the environment."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> Path:
        """Where the tokens are kept."""
        return self.home / "state" / "oauth-gateway" / "tokens"

    @property
    def files(self) -> list[Path]:
        """The files with tokens."""
        return sorted(self.tokens.glob("*.json"))

    @contextlib.asynccontextmanager
    async def runs(self, *arguments: str, **environ: str) -> AsyncIterator[Running]:
        """Start `oauth-gateway token` with these arguments."""
        own = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "VIRTUAL_ENV")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "token", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **own,
                "HOME": str(self.home),
                "XDG_STATE_HOME": str(self.home / "state"),
                "PYTHONPATH": str(ROOT),
                **self.environ,
                **environ,
            },
            cwd=self.home,
        )
        try:
            yield Running(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(self, *arguments: str, text: str | None = None, **environ: str) -> Ended:
        """Run it to its end."""
        async with self.runs(*arguments, **environ) as running:
            ended = await running.end(None if text is None else text.encode())
        assert "Traceback" not in ended.err, ended.err
        return ended


def client(issuer: str, *, name: str = "app", secret: str | None = None) -> list[str]:
    """The options that say who asks whom."""
    options = ["--issuer", issuer, "--client-id", name]
    return options if secret is None else [*options, "--client-secret", secret]
