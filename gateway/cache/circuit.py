"""A circuit breaker: who fails again and again is given a pause, and then one try at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CircuitOpen(Exception):
    """Not asked, for it failed a moment ago; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"paused for {retry_after:.1f} s")
        self.retry_after = retry_after


class CircuitBreaker:
    """Opens after `failures` in a row for `pause` seconds. Then one attempt at a time may show whether it works again:
    a success closes the circuit, a failure doubles the pause, up to `longest`.

    Exceptions of the kinds in `ignoring` are no failures: the other side has answered.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        pause: float = 1.0,
        longest: float = 10.0,
        ignoring: tuple[type[BaseException], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = failures
        self._shortest = pause
        self._longest = longest
        self._ignoring = ignoring
        self._clock = clock
        self._failures = 0
        self._pause = pause
        self._opened_at: float | None = None
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether an attempt would be refused now."""
        return self._opened_at is not None and (self._is_probing or self._remaining() > 0)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One attempt. Raises `CircuitOpen` instead of making it while the circuit is open."""
        if self.is_open:
            raise CircuitOpen(max(self._remaining(), 0.0))
        is_probe = self._is_probing = self._opened_at is not None
        try:
            yield
        except self._ignoring:
            self._succeeded()
            raise
        except (asyncio.CancelledError, GeneratorExit):
            # Who asked has gone away: that says nothing about the other side.
            if is_probe:
                self._is_probing = False
            raise
        except BaseException:
            self._failed(is_probe)
            raise
        self._succeeded()

    def _remaining(self) -> float:
        return self._pause - (self._clock() - self._opened_at) if self._opened_at is not None else 0.0

    def _succeeded(self) -> None:
        self._failures = 0
        self._pause = self._shortest
        self._opened_at = None
        self._is_probing = False

    def _failed(self, is_probe: bool) -> None:
        self._failures += 1
        if is_probe:
            self._is_probing = False
            self._pause = min(self._pause * 2, self._longest)
            self._opened_at = self._clock()
        elif self._failures >= self._allowed and self._opened_at is None:
            self._opened_at = self._clock()
