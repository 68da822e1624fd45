"""One worker process, as its supervisor sees it: how it is started, what it has told, and its end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gateway
from gateway.admin.figures import Figures
from gateway.admin.operations import Members, Outcome
from gateway.config import Config, ConfigError
from gateway.process.assignment import Assignment
from gateway.process.control import Channel, Handler
from gateway.process.reload import as_problem

logger = logging.getLogger(__name__)

_MODULE = "gateway.process.worker"
_LAST_MESSAGES = 5.0
"""Seconds to read what a process sent before it ended."""
_FIGURES_TIMEOUT = 1.0
_OPERATION_TIMEOUT = 30.0
_PREPARE_TIMEOUT = 120.0
"""Ten thousand routes on a busy machine, and new issuers that do not answer."""
_SWAP_TIMEOUT = 30.0


class WorkerProcess:
    """A worker. `handlers` take what it tells the supervisor, besides what is kept here.

    `report` is its own `Health.report`, empty before the first; `accepts_on` are the slots whose connections it was
    told to take; `is_leaving` is true once it was told to drain, or was sent a signal itself.
    """

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.pid = 0
        self.report: Mapping[str, Any] = {}
        self.figures = Figures()
        self.accepts_on: frozenset[int] = frozenset()
        self.is_leaving = False
        self.config: Config | None = None
        """What it was given last, or has taken over since."""
        self.silence = 0
        """Seconds for which it was not heard of."""
        self.exit_status: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None

    async def connect(self, handlers: Mapping[str, Handler], on_change: Callable[[], None]) -> socket.socket:
        """Open our end of the channel, before the process is there: it misses nothing. Returns the other end."""
        ours, theirs = socket.socketpair()

        def take_report(report: dict[str, Any]) -> None:
            is_change = report != self.report
            self.report, self.silence = report, 0
            if is_change:
                on_change()

        def take_leaving(_: Any) -> None:
            self.is_leaving = True
            on_change()

        self._channel = await Channel.open(
            ours, {**handlers, "report": take_report, "leaving": take_leaving, "figures": self._take_figures}
        )
        return theirs

    async def start(self, assignment: Assignment, theirs: socket.socket) -> None:
        """Start the process. Raises OSError."""
        descriptors = [theirs.fileno(), *(number for place in assignment.places for number in place.numbers)]
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *_command(),
                str(self.slot),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=descriptors,
                env=_environment(),
                # Ctrl-C in a terminal is for the supervisor, who tells the workers in its order.
                start_new_session=True,
            )
            assignment = replace(assignment, control=theirs.fileno())
        self.pid = self._process.pid
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):  # it has ended already, which is seen elsewhere
            stdin.write(assignment.packed())
            await stdin.drain()
            stdin.close()
            await stdin.wait_closed()

    # --- what it is --------------------------------------------------------------------------------------------

    @property
    def has_started(self) -> bool:
        """Whether it can take connections."""
        return bool(self.report.get("started")) and not self.is_leaving and not self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self._speak().is_closed

    @property
    def is_ready(self) -> bool:
        """Whether it can decide about requests."""
        return bool(self.report.get("ready")) and self.has_started

    # --- what it is told ---------------------------------------------------------------------------------------

    def accept_on(self, slots: Collection[int]) -> None:
        """Let it take the connections of these slots and no others."""
        if self.accepts_on != frozenset(slots):
            self.accepts_on = frozenset(slots)
            self._speak().tell("accept", sorted(slots))

    def take(self, revocations: list[dict[str, Any]]) -> None:
        """Let it take over revocations."""
        self._speak().tell("take", revocations)

    async def settle(self, timeout: float) -> None:
        """Wait until it has acted on all that it was told. Raises `Unanswered`."""
        await self._speak().ask("take", [], timeout=timeout)

    async def operate(self, name: str, members: Members) -> Outcome:
        """Let it carry out an operation. Raises `Unanswered`."""
        asked = {"operation": name, "members": dict(members)}
        answer = await self._speak().ask("operate", asked, timeout=_OPERATION_TIMEOUT)
        return Outcome(answer["status"], answer["members"])

    async def refresh_figures(self) -> None:
        """Ask for its figures of this moment. Raises `Unanswered`."""
        self._take_figures(await self._speak().ask("figures", timeout=_FIGURES_TIMEOUT))

    async def prepare(self, config: Config) -> None:
        """Let it build another configuration aside. Raises `ConfigError` if it can't, and `Unanswered`."""
        asked = base64.b85encode(pickle.dumps(config)).decode("ascii")
        answer = await self._speak().ask("prepare", asked, timeout=_PREPARE_TIMEOUT)
        if answer:
            raise ConfigError([as_problem(each) for each in answer])

    async def swap(self, config: Config) -> None:
        """Let it go over to what it has prepared. Raises `Unanswered`."""
        await self._speak().ask("swap", timeout=_SWAP_TIMEOUT)
        self.config = config

    def abandon_prepared(self) -> None:
        """What it has prepared is not wanted."""
        self._speak().tell("abandon")

    def drain(self) -> None:
        """Let it take no more connections, finish what runs, and end."""
        self.is_leaving = True
        self._speak().tell("drain")

    def abandon(self) -> None:
        """Close the channel of a process that was never started."""
        self._speak().close()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def wait(self) -> int:
        """Wait for its end, and read what it sent before. Its exit status, negative for a signal."""
        assert self._process is not None
        status = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_MESSAGES):
                await self._speak().wait_closed()
        self._speak().close()
        self.exit_status = status
        return status

    def _speak(self) -> Channel:
        assert self._channel is not None
        return self._channel

    def _take_figures(self, members: dict[str, Any]) -> None:
        self.figures = Figures.from_json(members)

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.slot} pid {self.pid}>"


def ending(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-status).name}"
    return f"signal {-status}"


def _command() -> list[str]:
    # -P: the current folder is no place for modules; it may hold a `gateway` of somebody else.
    return [sys.executable, "-I" if sys.flags.isolated else "-P", "-m", _MODULE]


def _environment() -> dict[str, str]:
    """Ours. From a checkout that is not installed, what was found in the current folder is found by name."""
    environment = dict(os.environ)
    folder = str(Path(gateway.__file__).resolve().parents[1])
    if sys.path[:1] == [folder]:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, environment.get("PYTHONPATH")]))
    return environment
