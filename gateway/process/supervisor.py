"""The parent of the workers: binds the sockets, has the workers kept, answers operators, and drains them all.

It takes no connection of a client and reads no byte of one, so nothing that a client sends can bring it down.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any

from gateway import __version__, build
from gateway.config import Config, ConfigError, ConfigFiles
from gateway.oauth.key_source import cancelled
from gateway.process import listening, logs
from gateway.process.admin_site import AdminSite
from gateway.process.child import WorkerProcess
from gateway.process.keeper import Keeper
from gateway.process.reload import Reloader
from gateway.process.reloaded_together import take_together
from gateway.process.signals import Signals
from gateway.process.together import CountedTogether, OperatedTogether, Readiness

logger = logging.getLogger(__name__)

_AFTER_DRAIN = 5.0
"""Seconds the workers may take to end, beyond the time that they were given to finish requests."""


class CanNotStart(Exception):
    """A worker said that it can't be started, before all had been; its log says why."""

    def __init__(self, exit_status: int) -> None:
        super().__init__("a worker can't be started; nothing was started")
        self.exit_status = exit_status


class Supervisor:
    """Runs `count` workers. Raises `ConfigError` or OSError when made for what can't be built or listened on."""

    def __init__(self, config: Config, count: int, files: ConfigFiles | None = None) -> None:
        """`files` is where the configuration was read, and is read again when they change."""
        _check(config)
        self._count = count
        self._places = listening.bind(config.listen, count)
        self._keeper = Keeper(config, count, self._places, on_change=self._look, on_end=self._count_in)
        self._readiness = Readiness(self._keeper.in_slots)
        self.reloader = Reloader(config, files, self._take)
        self._reloading: asyncio.Task[None] | None = None
        self._counted = CountedTogether(self._keeper, self.reloader.tell)
        self._failed = asyncio.Event()
        self._exit_status = 0
        self._admin: AdminSite | None = None

    @property
    def addresses(self) -> list[str]:
        """Where clients are listened for."""
        return [place.address for place in self._places]

    async def start(self) -> None:
        """Answer operators, and start the workers without waiting for them. Raises OSError."""
        keeper = self._keeper
        operations = OperatedTogether(lambda: keeper.workers)
        refusals = keeper.refusals.newest_first
        self._admin = AdminSite(self.reloader, self._readiness, self._counted.figures, refusals, operations)
        await self._admin.start()
        self._keeper.start()
        self._reloading = asyncio.create_task(self.reloader.run())
        logger.info(
            "oauth-gateway %s listens on %s with %d workers", __version__, ", ".join(self.addresses), self._count
        )

    async def wait_failed(self) -> None:
        """Wait until a worker says that none can be started. Raises `CanNotStart`."""
        await self._failed.wait()
        raise CanNotStart(self._exit_status)

    async def stop(self) -> None:
        """Drain: not ready, accept for `drain_delay` more, let every worker finish within `drain`, close."""
        self._readiness.draining = True
        self.reloader.stop()
        self._keeper.stop_restarting()
        await asyncio.sleep(self.reloader.config.timeouts.drain_delay)
        await listening.turn_away(self._places)
        for place in self._places:
            place.close()
        await self._keeper.drain(self.reloader.config.timeouts.drain + _AFTER_DRAIN)
        await self.close()

    async def close(self) -> None:
        """End everything at once."""
        await cancelled(self._reloading)
        await self.reloader.close()
        await self._keeper.close(_AFTER_DRAIN)
        for place in self._places:
            place.close()
            place.remove()
        if self._admin is not None:
            await self._admin.stop()

    def kill(self) -> None:
        """End all workers at once."""
        self._keeper.kill()

    async def replace_workers(self) -> None:
        """Put a new worker in the place of each, one after the other, without refusing a connection."""
        await self._keeper.replace_all()

    async def _take(self, config: Config) -> None:
        # Here first, and from nothing, as a worker that is started later has to build it: nobody is asked in vain.
        await asyncio.to_thread(_check, config)
        await take_together(self._keeper, config)
        logs.configure(config.log.level, config.log.format)

    def _look(self) -> None:
        self._readiness.look()

    def _count_in(self, ended: WorkerProcess) -> None:
        self._counted.take_over(ended)
        status = ended.exit_status or 0
        if not self._readiness.started and status > 0:
            # It said itself that it can't. As long as not all have run, there is no reason to believe that they will.
            self._exit_status = self._exit_status or status
            self._failed.set()


def _check(config: Config) -> None:
    if problems := build.problems(config):
        raise ConfigError(problems)


async def supervise(config: Config, count: int, files: ConfigFiles | None = None) -> None:
    """Run workers until told to stop, then drain them. Raises `ConfigError`, OSError, `CanNotStart`."""
    supervisor = Supervisor(config, count, files)
    signals = Signals(at_once=supervisor.kill)
    replacing: set[asyncio.Task[None]] = set()

    def replace() -> None:
        task = asyncio.create_task(supervisor.replace_workers())
        replacing.add(task)
        task.add_done_callback(replacing.discard)

    signals.on(signal.SIGHUP, supervisor.reloader.ask)
    signals.on(signal.SIGUSR2, replace)
    try:
        await supervisor.start()
        await _first(signals.told_to_stop(), supervisor.wait_failed())
        await supervisor.stop()
    except BaseException:
        await supervisor.close()
        raise


async def _first(*awaited: Coroutine[Any, Any, None]) -> None:
    """Wait for one of them; raises what it raises."""
    tasks = [asyncio.create_task(each) for each in awaited]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()
