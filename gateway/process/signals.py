"""What signals ask of the process that an operator talks to."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Signals:
    """SIGTERM and SIGINT ask to stop; a second one of them ends the process at once, after `at_once` was called."""

    def __init__(self, at_once: Callable[[], None] = lambda: None) -> None:
        self._stop = asyncio.Event()
        self._at_once = at_once
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)

    def on(self, number: signal.Signals, call: Callable[[], None]) -> None:
        """Call that on another signal."""
        asyncio.get_running_loop().add_signal_handler(number, call)

    async def told_to_stop(self) -> None:
        """Wait for the first one."""
        await self._stop.wait()

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            logger.warning("told to stop again: ending at once")
            self._at_once()
            os._exit(1)
        self._stop.set()
