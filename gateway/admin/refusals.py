"""The last refusals, few and small: what an operator looks at first, and nothing of what a client sent.

Bounded, and written to only when a request is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gateway.record import RequestRecord

KEPT = 50


class Refusal(NamedTuple):
    """One refusal. `at` is in seconds since the epoch; `route` is its name in the configuration, empty for none."""

    at: float
    route: str
    reason: str
    status: int
    request_id: str

    @classmethod
    def from_json(cls, members: Any) -> Refusal:
        """What `list(refusal)` became on its way from another process. Raises ValueError."""
        match members:
            case [int() | float() as at, str(route), str(reason), int(status), str(request_id)]:
                return cls(at, route, reason, status, request_id)
        raise ValueError("not a refusal")


class Refusals:
    """The last `KEPT` of them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: list[Refusal] = []

    def observe(self, record: RequestRecord) -> None:
        """Note a request that was refused, or would have been; its response has been sent."""
        kept = self._kept
        kept.append(Refusal(self._clock(), record.route or "", record.reason or "", record.status, record.request_id))
        if len(kept) > 2 * KEPT:
            # Seldom, so that each costs an append alone.
            del kept[:-KEPT]

    def add(self, others: Iterable[Refusal]) -> None:
        """Take over those of another process."""
        self._kept = sorted([*self._kept, *others])[-KEPT:]

    def newest_first(self) -> list[Refusal]:
        """Those that are kept."""
        return sorted(self._kept, reverse=True)[:KEPT]

    def handed_over(self) -> list[Refusal]:
        """Those that are kept, which are not kept here any longer: another process does."""
        last, self._kept = self._kept[-KEPT:], []
        return last
