"""When a request may be sent again: only if nothing of it was written, or it is safe and has no body (RFC 9110 §9.2).

A budget bounds how many are, so that an upstream in trouble does not get a multiple of its load on top.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.http import client

CONNECT, DISCONNECT, TIMEOUT = "connect", "disconnect", "timeout"
CAUSES = (CONNECT, DISCONNECT, TIMEOUT, "502", "503", "504")
"""No connection; closed before a response; no first byte in time; and answers with such a status."""

_REMEMBERED = 500
"""The budget is a share of about so many requests: as many retries as they allow may come at once."""


def cause_of(problem: Exception) -> str | None:
    """The cause a failure counts as, None for one after which nothing is ever sent again."""
    if isinstance(problem, client.ConnectFailed | client.ConnectTimeout):
        return CONNECT
    if isinstance(problem, client.Disconnected):
        return DISCONNECT
    return TIMEOUT if isinstance(problem, client.ResponseTimeout) else None


class Budget:
    """Each request earns a share of a retry; a retry costs a whole one."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._most = max(_REMEMBERED * share, 1.0) if share > 0 else 0.0
        self._left = self._most

    def earn(self) -> None:
        """A request came."""
        self._left = min(self._left + self._share, self._most)

    def spend(self) -> bool:
        """Take a retry out; False when there is none left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, after what and for which methods requests are sent again."""

    attempts: int
    causes: frozenset[str]
    methods: frozenset[str]
    budget: Budget = field(repr=False)

    def allows(self, cause: str | None, *, attempt: int, method: str, has_body: bool) -> bool:
        """Whether to try again after the `attempt`-th try (from 1) failed. A yes takes it out of the budget."""
        if attempt > self.attempts or cause not in self.causes or method not in self.methods:
            return False
        # Once a byte was written nobody knows what came of it: then only what may be done twice is sent twice, and a
        # body that has begun is gone. Without a connection nothing was written.
        if cause != CONNECT and (has_body or method not in client.REPLACEABLE):
            return False
        return self.budget.spend()
