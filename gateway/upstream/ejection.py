"""Passive health: an endpoint whose requests fail again and again gets none for a while.

It comes back when a connection to it can be opened: the gateway tries that itself, so that no request has to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from gateway.http.client import ConnectFailed, ConnectTimeout
from gateway.upstream.endpoint import Endpoint

logger = logging.getLogger(__name__)

FAILED_STATUSES = frozenset({502, 503, 504})
"""Answers that count as failures: somebody on the way says that the service is not there."""


@dataclass(frozen=True, slots=True)
class EjectionRules:
    """So many failures in a row, and out for so many seconds."""

    failures: int
    seconds: float


class Ejection:
    """Counts the failures of one upstream's endpoints.

    `may_eject` says whether others would be left; `changed` is called when an endpoint was taken out or came back.
    """

    def __init__(
        self, name: str, rules: EjectionRules, *, may_eject: Callable[[Endpoint], bool], changed: Callable[[], None]
    ) -> None:
        self._name = name
        self._rules = rules
        self._may_eject = may_eject
        self._changed = changed

    def succeeded(self, endpoint: Endpoint) -> None:
        """A request was answered."""
        endpoint.failures = 0

    def failed(self, endpoint: Endpoint) -> None:
        """A request was not answered, or with a status that says so."""
        endpoint.failures += 1
        if endpoint.failures < self._rules.failures or endpoint.is_ejected or not self._may_eject(endpoint):
            return
        endpoint.is_ejected = True
        logger.warning(
            "upstream %s: %s is out for %g s after %d failures in a row",
            self._name,
            endpoint,
            self._rules.seconds,
            endpoint.failures,
        )
        endpoint.run(self._let_back(endpoint))
        self._changed()

    async def _let_back(self, endpoint: Endpoint) -> None:
        while True:
            await asyncio.sleep(self._rules.seconds)
            try:
                await endpoint.pool.try_connection()
                break
            except (ConnectFailed, ConnectTimeout) as problem:
                logger.info("upstream %s: %s stays out: %s", self._name, endpoint, problem)
        # It takes connections; whether it answers shows the next request, and one failure is enough now.
        endpoint.failures = self._rules.failures - 1
        endpoint.is_ejected = False
        logger.info("upstream %s: %s is back", self._name, endpoint)
        self._changed()
