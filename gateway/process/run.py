"""Runs the gateway in as many processes as the configuration says."""

from __future__ import annotations

import asyncio

from gateway.config import Config, ConfigFiles
from gateway.process import logs, single, supervisor
from gateway.process.cores import worker_count
from gateway.process.loop import event_loop
from gateway.process.supervisor import CanNotStart

__all__ = ["CanNotStart", "run"]


def run(config: Config, files: ConfigFiles | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends it at once. SIGHUP, or a change of `files`, where
    the configuration comes from, reloads it.

    Raises `ConfigError`, OSError when an address can't be had, and `CanNotStart`.
    """
    logs.configure(config.log.level, config.log.format)
    count = worker_count(config.workers)
    # One worker needs nobody who tells it what others do: a supervisor would cost its memory, and a hop for operators.
    serving = single.serve(config, files) if count == 1 else supervisor.supervise(config, count, files)
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(serving)
