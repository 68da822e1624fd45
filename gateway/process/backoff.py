"""How long to wait before something that ended is started again: each time twice as long, up to a bound."""

from __future__ import annotations

import time
from collections.abc import Callable


class Backoff:
    """The pauses of one thing, in seconds. Whatever ran for `steady` seconds begins anew with the first one."""

    def __init__(
        self,
        *,
        first: float = 0.25,
        longest: float = 30.0,
        steady: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = first
        self._longest = longest
        self._steady = steady
        self._clock = clock
        self._failures = 0
        self._started_at = clock()

    def started(self) -> None:
        """It runs from now on."""
        self._started_at = self._clock()

    def pause(self) -> float:
        """It has ended: how long to wait until the next start."""
        if self._clock() - self._started_at >= self._steady:
            self._failures = 0
        pause = min(self._first * 2.0 ** min(self._failures, 32), self._longest)
        self._failures += 1
        return pause
