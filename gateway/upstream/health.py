"""Active health: asks each endpoint again and again whether it is well, on connections of its own."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from gateway.http.client import FAILURES, Origin, Pool
from gateway.upstream.endpoint import Endpoint

logger = logging.getLogger(__name__)

_JITTER = 0.1
"""Up to this share of the interval a probe comes early: many gateways must not all ask at once."""


@dataclass(frozen=True, slots=True)
class ProbeRules:
    """What is asked, how often, and how many answers in a row change the verdict. Times are seconds."""

    path: str
    interval: float
    timeout: float
    unhealthy_after: int
    healthy_after: int
    statuses: tuple[tuple[int, int], ...]
    """The first and the last status of each range of good ones."""

    def is_good(self, status: int) -> bool:
        """Whether an answer with this status says that all is well."""
        return any(first <= status <= last for first, last in self.statuses)


class Probes:
    """Watches the endpoints of one upstream. `changed` is called when a verdict has changed."""

    def __init__(
        self,
        name: str,
        rules: ProbeRules,
        *,
        changed: Callable[[], None],
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._rules = rules
        self._changed = changed
        self._randomness = randomness

    async def watch(self, endpoint: Endpoint) -> None:
        """Probe one endpoint until cancelled: at once, then at each interval. Until it has failed it is well."""
        rules = self._rules
        pool = self._pool(endpoint.pool.origin)
        try:
            while True:
                self._judge(endpoint, await self._ask(pool, endpoint.site.authority))
                await asyncio.sleep(rules.interval * (1 - _JITTER * self._randomness()))
        finally:
            pool.close()

    def _pool(self, origin: Origin) -> Pool:
        # No connection is kept: a probe is also to show whether one can be had.
        seconds = self._rules.timeout
        return Pool(
            origin,
            connect_timeout=seconds,
            response_timeout=seconds,
            idle_timeout=seconds,
            keep_alive=0,
            max_connections=1,
        )

    async def _ask(self, pool: Pool, authority: str) -> str | None:
        """What is wrong, None when all is well."""
        rules = self._rules
        head = (
            f"GET {rules.path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: oauth-gateway\r\nConnection: close\r\n\r\n"
        )
        try:
            async with asyncio.timeout(rules.timeout):
                answer = await pool.send(head.encode("ascii"), method="GET")
        except TimeoutError:
            return f"no answer within {rules.timeout:g} s"
        except FAILURES as problem:
            return str(problem) or type(problem).__name__
        answer.close()
        return None if rules.is_good(answer.status) else f"status {answer.status}"

    def _judge(self, endpoint: Endpoint, problem: str | None) -> None:
        if (problem is None) == endpoint.is_healthy:
            endpoint.probed = 0
            return
        endpoint.probed += 1
        if endpoint.probed < (self._rules.healthy_after if problem is None else self._rules.unhealthy_after):
            return
        endpoint.is_healthy, endpoint.probed = problem is None, 0
        if problem is None:
            logger.info("upstream %s: %s is healthy again", self._name, endpoint)
        else:
            logger.warning("upstream %s: %s is unhealthy: %s", self._name, endpoint, problem)
        self._changed()
