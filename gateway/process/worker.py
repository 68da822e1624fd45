"""A worker: one process of several that serve together. It takes its orders from the supervisor by the control channel.

Started as `python -m gateway.process.worker`, with an `Assignment` on standard input. It ends when it is told to, when
it is sent SIGTERM itself, and when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import pickle
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from gateway import build
from gateway.access.revocation import Revocation
from gateway.cache.redis import StoreUnavailable
from gateway.config import ConfigError
from gateway.process import assignment as assignments
from gateway.process import listening, logs
from gateway.process.assignment import Assignment
from gateway.process.control import Channel, Unanswered
from gateway.process.loop import event_loop
from gateway.process.reload import as_json
from gateway.process.service import Service
from gateway.process.signals import Signals

logger = logging.getLogger(__name__)

BAD_CONFIGURATION = 2
"""Exit status of a worker that can't be built from its configuration: another one could not be either."""

_REPORT_EVERY = 1.0
_LOOK_EVERY = 0.05
"""Seconds between looks at what the report would say until it is ready: others do its work meanwhile."""
_FIGURES_EVERY = 1.0
_FIGURES_SHARE = 0.01
"""What telling figures may take of this process's time: with very many routes they are told less often."""
_LEDGER_TIMEOUT = 1.0
_AFTER_DRAIN = 5.0
_AFTER_SUPERVISOR = 0.5
"""Seconds by which the supervisor goes first where everybody was sent the signal, as service managers do."""


class Worker:
    """One worker, from its assignment to its end."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._config = self._prepared = assignment.config
        self._places = assignment.open_places()
        self._wanted: frozenset[int] = frozenset()
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._is_hearing = False

    async def run(self) -> None:
        """Serve until the end. Raises `ConfigError` when it can't be built."""
        self._end_when_abandoned()
        signals = Signals()
        # The supervisor decides what these mean.
        signals.on(signal.SIGHUP, lambda: None)
        signals.on(signal.SIGUSR2, lambda: None)
        self._channel = await Channel.open(socket.socket(fileno=self._assignment.control), self._handlers())
        # Without an `await` from here on: the first message must find everything in place.
        self._service = Service(
            self._assignment.config, build.Crew(self._assignment.workers, _CrewLedger(self._channel))
        )
        self._deny_list = self._service.gateway.revoker.deny_list
        self._take(self._assignment.revocations)
        self._deny_list.on_news.append(self._tell_revocation)
        await self._service.start()
        reporting = asyncio.create_task(self._report())
        await self._serve(signals)
        await self._drain()
        reporting.cancel()
        self._channel.tell("figures", self._figures())
        await self._service.close()
        self._channel.close()

    async def _serve(self, signals: Signals) -> None:
        works = (
            self._ending.wait(),
            self._accept(),
            self._push_figures(),
            self._obey(signals),
            self._stay_supervised(),
        )
        tasks = [asyncio.create_task(work) for work in works]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in done:
            task.result()  # a defect ends the process; the supervisor starts another

    async def _drain(self) -> None:
        mine = self._sockets(self._wanted | {self._assignment.slot})
        for each in (each for place in self._places for each in place.sockets if each not in mine):
            each.close()
        await self._service.drain(mine)

    def _sockets(self, slots: frozenset[int]) -> list[socket.socket]:
        return list({place.of(slot): None for place in self._places for slot in sorted(slots)})

    def _end_when_abandoned(self) -> None:
        """End some time after the supervisor, whatever the event loop hangs in: the full pipe of a log, for one."""
        hung_up = select.poll()
        hung_up.register(os.dup(self._assignment.control), 0)

        def wait() -> None:
            hung_up.poll()
            time.sleep(self._config.timeouts.drain + _AFTER_DRAIN)
            os._exit(1)

        threading.Thread(target=wait, daemon=True).start()

    # --- what the supervisor asks for --------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "accept": self._told_to_accept,
            "take": lambda entries: self._take(map(Revocation.from_json, entries)),
            "figures": lambda _: self._figures(),
            "operate": self._operate,
            "prepare": self._prepare,
            "swap": lambda _: self._swap(),
            "abandon": lambda _: self._service.abandon(),
            "drain": lambda _: self._ending.set(),
        }

    def _told_to_accept(self, slots: list[int]) -> None:
        self._wanted = frozenset(slots)
        self._changed.set()

    async def _operate(self, asked: dict[str, Any]) -> dict[str, Any]:
        outcome = await self._service.operations(asked["operation"], asked["members"])
        return {"status": outcome.status, "members": outcome.members}

    async def _prepare(self, packed: str) -> list[dict[str, Any]]:
        # Only the supervisor is at the other end: the same program, run by the same user.
        config = await asyncio.to_thread(lambda: pickle.loads(base64.b85decode(packed)))  # noqa: S301 - see above
        try:
            await self._service.prepare(config)
        except ConfigError as error:
            return [as_json(problem) for problem in error.problems]
        self._prepared = config
        return []

    def _swap(self) -> None:
        self._service.swap()
        self._config = self._prepared
        # Before the answer: whoever is told that all have gone over can be told how they are.
        self._channel.tell("report", self._service.health.report())
        logs.configure(self._config.log.level, self._config.log.format, worker=self._assignment.slot)

    def _take(self, entries: Any) -> None:
        self._is_hearing = True
        try:
            for entry in entries:
                self._deny_list.take(entry)
        finally:
            self._is_hearing = False

    # --- what the supervisor is told ---------------------------------------------------------------------------

    def _tell_revocation(self, entry: Revocation) -> None:
        if not self._is_hearing:
            self._channel.tell("revoked", entry.as_json())

    async def _report(self) -> None:
        told, told_at = None, 0.0
        while True:
            report = self._service.health.report()
            if report != told or time.monotonic() - told_at >= _REPORT_EVERY:
                told, told_at = report, time.monotonic()
                self._channel.tell("report", report)
            await asyncio.sleep(_REPORT_EVERY if report["ready"] else _LOOK_EVERY)

    def _figures(self) -> dict[str, Any]:
        """The figures of this moment; the refusals since the last time are told before."""
        if refusals := self._service.metrics.refusals.handed_over():
            self._channel.tell("refused", refusals)
        return self._service.metrics.figures().as_json()

    async def _push_figures(self) -> None:
        """Tell the figures now and then, so that little is lost when this process is killed."""
        pause = _FIGURES_EVERY
        while True:
            await asyncio.sleep(pause)
            started = time.perf_counter()
            self._channel.tell("figures", self._figures())
            pause = max(_FIGURES_EVERY, (time.perf_counter() - started) / _FIGURES_SHARE)

    # --- what this process does by itself ----------------------------------------------------------------------

    async def _accept(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._service.accept_on(self._sockets(self._wanted))

    async def _obey(self, signals: Signals) -> None:
        """SIGTERM to a worker replaces that one: the supervisor starts another, while this one finishes."""
        await signals.told_to_stop()
        self._channel.tell("leaving")
        self._service.health.draining = True
        await asyncio.sleep(self._config.timeouts.drain_delay + _AFTER_SUPERVISOR)

    async def _stay_supervised(self) -> None:
        await self._channel.wait_closed()
        logger.warning("the supervisor is gone: taking no more connections, finishing what runs")
        await listening.turn_away(self._places)


class _CrewLedger:
    """What may count only once, as the supervisor keeps it for all workers."""

    is_required = False

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def put_once(self, name: str, seconds: float) -> bool:
        try:
            return bool(await self._channel.ask("once", {"name": name, "seconds": seconds}, timeout=_LEDGER_TIMEOUT))
        except Unanswered:
            raise StoreUnavailable("unreachable") from None


def main() -> None:
    """Be a worker. Exit status 2: the configuration can't be built."""
    assignment = assignments.read(sys.stdin.buffer)
    log = assignment.config.log
    logs.configure(log.level, log.format, worker=assignment.slot)
    try:
        with asyncio.Runner(loop_factory=event_loop()) as runner:
            runner.run(_run(assignment))
    except ConfigError as error:
        logger.error("the configuration can't be built: %s", "; ".join(map(str, error.problems)))
        sys.exit(BAD_CONFIGURATION)
    except Exception:
        logger.exception("the worker failed")
        sys.exit(1)


async def _run(assignment: Assignment) -> None:
    await Worker(assignment).run()


if __name__ == "__main__":
    main()
