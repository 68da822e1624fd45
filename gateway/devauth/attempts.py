"""A limit on guessing: passwords, and the short codes of devices (RFC 8628 §5.1)."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.cache.memory import BoundedCache

_NAMES = 10_000


class Attempts:
    """Counts failures by name; `most` of them within `per` seconds are allowed."""

    def __init__(self, most: int, per: float = 60.0, clock: Callable[[], float] = time.time) -> None:
        self._most = most
        self._per = per
        self._clock = clock
        self._failures: BoundedCache[str, list[float]] = BoundedCache(entries=_NAMES, weight=_NAMES)

    def are_used_up(self, name: str) -> bool:
        """Whether the next one must wait."""
        return len(self._recent(name)) >= self._most

    def count(self, name: str) -> None:
        """Note a failure."""
        self._failures.put(name, [*self._recent(name), self._clock()])

    def _recent(self, name: str) -> list[float]:
        since = self._clock() - self._per
        return [moment for moment in self._failures.get(name) or () if moment > since]
