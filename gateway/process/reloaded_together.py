"""A new configuration at all workers: built by every one before any goes over to it, so that all have the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from gateway.config import Config, ConfigError
from gateway.process.child import WorkerProcess
from gateway.process.control import Unanswered
from gateway.process.keeper import Keeper
from gateway.process.reload import NotTaken

logger = logging.getLogger(__name__)


async def take_together(keeper: Keeper, config: Config) -> None:
    """Let all workers go over to a configuration that was checked. Raises `ConfigError` or `NotTaken`: none has, then.

    One that has prepared it and then does not go over is ended, and another takes its place, with this configuration.
    """
    # One that is being started prepares it when it has started.
    asked = [worker for worker in keeper.workers if not worker.is_leaving]
    outcomes = await asyncio.gather(*(worker.prepare(config) for worker in asked), return_exceptions=True)
    if failure := _failure(asked, outcomes):
        for worker in asked:
            worker.abandon_prepared()
        raise failure
    # Whoever is started from here on has it already.
    keeper.config = config
    await asyncio.gather(*(_go_over(worker, config, is_prepared=worker in asked) for worker in keeper.workers))


def _failure(workers: Iterable[WorkerProcess], outcomes: Iterable[BaseException | None]) -> Exception | None:
    """Why none may go over. A worker that has ended meanwhile is no reason: its successor is given the new one."""
    failure: Exception | None = None
    for worker, outcome in zip(workers, outcomes, strict=True):
        if isinstance(outcome, ConfigError):
            return outcome
        if isinstance(outcome, Unanswered) and (worker.is_gone or worker.is_leaving):
            continue
        if outcome is not None:
            logger.error("worker %d, process %d, can't prepare a reload: %s", worker.slot, worker.pid, outcome)
            failure = NotTaken(f"worker {worker.slot} could not prepare it")
    return failure


async def _go_over(worker: WorkerProcess, config: Config, *, is_prepared: bool) -> None:
    if worker.config is config or worker.is_leaving:
        return
    try:
        if not is_prepared:
            await worker.prepare(config)
        await worker.swap(config)
    except (ConfigError, Unanswered) as problem:
        if not worker.is_gone:
            logger.error("worker %d, process %d, does not go over and is ended: %s", worker.slot, worker.pid, problem)
            worker.kill()
