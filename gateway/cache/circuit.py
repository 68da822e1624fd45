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
        self._probe: object | None = None

    @property
    def is_open(self) -> bool:
        """Whether an attempt would be refused now."""
        return self._opened_at is not None and (self._probe is not None or self._remaining() > 0)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One attempt. Raises `CircuitOpen` instead of making it while the circuit is open."""
        if self.is_open:
            raise CircuitOpen(max(self._remaining(), 0.0))
        # Each probe is told from others: one that ends after the circuit closed and opened again decides nothing.
        probe = self._probe = object() if self._opened_at is not None else None
        try:
            yield
        except self._ignoring:
            self._succeeded()
            raise
        except (asyncio.CancelledError, GeneratorExit):
            # Who asked has gone away: that says nothing about the other side.
            if self._probe is probe:
                self._probe = None
            raise
        except BaseException:
            self._failed(probe)
            raise
        self._succeeded()

    def _remaining(self) -> float:
        return self._pause - (self._clock() - self._opened_at) if self._opened_at is not None else 0.0

    def _succeeded(self) -> None:
        self._failures = 0
        self._pause = self._shortest
        self._opened_at = None
        self._probe = None

    def _failed(self, probe: object | None) -> None:
        self._failures += 1
        if probe is not None and self._probe is probe:
            self._probe = None
            self._pause = min(self._pause * 2, self._longest)
            self._opened_at = self._clock()
        elif self._failures >= self._allowed and self._opened_at is None:
            self._opened_at = self._clock()
