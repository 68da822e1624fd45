"""A service behind the gateway: its endpoints, which of them are in rotation, and how a request finds one."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from gateway import errors
from gateway.errors import GatewayError
from gateway.http import client
from gateway.http.client import Pool, UpstreamResponse
from gateway.upstream.balance import Balance, Key, RoundRobin
from gateway.upstream.ejection import FAILED_STATUSES, Ejection, EjectionRules
from gateway.upstream.endpoint import Endpoint, MakePool, Site
from gateway.upstream.health import ProbeRules, Probes
from gateway.upstream.names import LOOK_EVERY, Lookup, Place, follow, system_lookup
from gateway.upstream.retry import Retry, cause_of

logger = logging.getLogger(__name__)

_PAUSE = 0.05
"""Seconds, at most, before the same endpoint is tried again: the time in which a listener comes back."""

Attempt = Callable[[Endpoint], Awaitable[UpstreamResponse]]
"""Sends the request to one endpoint."""


class Upstream:
    """A service by its name in the configuration.

    `direct` are the connections to its only endpoint, where there is nothing to choose, to watch or to repeat: then a
    request goes there without a detour. Else `send` chooses.
    """

    def __init__(
        self,
        name: str,
        sites: Sequence[Site],
        make_pool: MakePool,
        *,
        balance: Balance | None = None,
        key: Key | None = None,
        health: ProbeRules | None = None,
        ejection: EjectionRules | None = None,
        retry: Retry | None = None,
        lookup: Lookup = system_lookup,
        look_every: float = LOOK_EVERY,
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.sites = tuple(sites)
        self.key = key
        self.retries = 0
        """How often a request was sent again."""
        self.direct: Pool | None = None
        self._make_pool = make_pool
        self._randomness = randomness
        self._turns = RoundRobin(randomness)
        self._balance: Balance = balance or self._turns
        self._retry = retry
        self._lookup = lookup
        self._look_every = look_every
        self._probes = Probes(name, health, changed=self._arrange) if health is not None else None
        self._probe_interval = health.interval if health is not None else 1.0
        self._ejection = (
            Ejection(name, ejection, may_eject=self._has_another, changed=self._arrange) if ejection else None
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._is_running = False
        self._rotation: tuple[Endpoint, ...] = ()
        self._of_site: dict[Site, tuple[Endpoint, ...]] = {site: (self._endpoint(site, ()),) for site in self.sites}
        self._arrange()

    @property
    def endpoints(self) -> list[Endpoint]:
        """All there are, well or not."""
        return [endpoint for endpoints in self._of_site.values() for endpoint in endpoints]

    @property
    def health(self) -> dict[str, bool]:
        """For each configured address, whether requests go to it, or to one of the machines behind it."""
        return {
            site.address: any(endpoint in self._rotation for endpoint in endpoints)
            for site, endpoints in self._of_site.items()
        }

    async def start(self) -> None:
        """Begin to look names up and to probe, without waiting for the first answers."""
        self._is_running = True
        loop = asyncio.get_running_loop()
        for site in self.sites:
            if site.is_name:
                tell = partial(self._moved, site)
                name = site.origin.host, site.origin.port
                following = follow(*name, tell, lookup=self._lookup, every=self._look_every)
                self._tasks.append(loop.create_task(following))
        for endpoint in self.endpoints:
            self._watch(endpoint)

    async def close(self) -> None:
        """Stop what runs in the background and close the idle connections; requests under way are served."""
        self._is_running = False
        for task in self._tasks:
            task.cancel()
        for endpoint in self.endpoints:
            endpoint.close()

    # --- one request -------------------------------------------------------------------------------------------

    def choose(self, key: bytes | None = None, tried: Sequence[Endpoint] = ()) -> Endpoint:
        """An endpoint for a request, if possible one that was not `tried`. Raises `GatewayError` when none is well."""
        rotation: Sequence[Endpoint] = self._rotation
        if not rotation:
            after = math.ceil(self._probe_interval)
            raise GatewayError(errors.UPSTREAM_UNAVAILABLE, f"{self.name}: no healthy endpoint", retry_after=after)
        if tried:
            rotation = [endpoint for endpoint in rotation if endpoint not in tried] or rotation
        return rotation[0] if len(rotation) == 1 else self._balance(rotation, key)

    async def send(self, attempt: Attempt, *, key: bytes | None, method: str, has_body: bool) -> UpstreamResponse:
        """Let `attempt` send a request to an endpoint, and again to another one where the rules allow it.

        Raises what `Pool.send` raises, and `GatewayError` when there is no healthy endpoint.
        """
        retry = self._retry
        if retry is not None:
            retry.budget.earn()
        tried: list[Endpoint] = []
        while True:
            endpoint = self.choose(key, tried)
            if endpoint in tried:
                await asyncio.sleep(_PAUSE * self._randomness())
            tried.append(endpoint)
            try:
                answer = await attempt(endpoint)
            except client.FAILURES as problem:
                self._failed(endpoint, problem)
                if retry is None or not retry.allows(
                    cause_of(problem), attempt=len(tried), method=method, has_body=has_body
                ):
                    raise
                logger.info("upstream %s: sent again after %s: %s", self.name, endpoint, problem)
            else:
                self._answered(endpoint, answer.status)
                if retry is None or not retry.allows(
                    str(answer.status), attempt=len(tried), method=method, has_body=has_body
                ):
                    return answer
                answer.close()
            self.retries += 1

    def _failed(self, endpoint: Endpoint, problem: Exception) -> None:
        # A queue that is full says nothing of the endpoint's health.
        if self._ejection is not None and not isinstance(problem, client.PoolTimeout):
            self._ejection.failed(endpoint)

    def _answered(self, endpoint: Endpoint, status: int) -> None:
        if self._ejection is None:
            return
        if status in FAILED_STATUSES:
            self._ejection.failed(endpoint)
        else:
            self._ejection.succeeded(endpoint)

    # --- which endpoints there are -----------------------------------------------------------------------------

    def _arrange(self) -> None:
        """Put into rotation what is well. Of those that probes call healthy, the last ones are never left out."""
        healthy = [endpoint for endpoint in self.endpoints if endpoint.is_healthy]
        self._rotation = tuple(endpoint for endpoint in healthy if not endpoint.is_ejected) or tuple(healthy)
        is_direct = len(self.sites) == len(self.endpoints) == len(self._rotation) == 1 and self._retry is None
        self.direct = self._rotation[0].pool if is_direct else None

    def _has_another(self, endpoint: Endpoint) -> bool:
        return any(other is not endpoint and not other.is_ejected for other in self._rotation)

    def _endpoint(self, site: Site, place: Place) -> Endpoint:
        origin = site.origin
        placed = client.Origin(origin.host, origin.port, origin.tls, origin.server_name, origin.unix_path, place)
        endpoint = Endpoint(site, self._make_pool(placed))
        self._turns.joins(endpoint)
        return endpoint

    def _moved(self, site: Site, found: Sequence[Place]) -> None:
        """A name stands for these places now: those that stay keep their connections and what is known of them."""
        known = {endpoint.pool.origin.addresses: endpoint for endpoint in self._of_site[site]}
        came = [place for place in found if place not in known]
        gone = [endpoint for place, endpoint in known.items() if place not in found]
        self._of_site[site] = tuple(known.get(place) or self._endpoint(site, place) for place in found)
        logger.info(
            "upstream %s: %s has %d address(es): %d new, %d gone",
            self.name,
            site.address,
            len(found),
            len(came),
            len(gone),
        )
        self._arrange()
        for endpoint in gone:
            endpoint.close()
        for endpoint in self._of_site[site]:
            if endpoint.pool.origin.addresses in came:
                self._watch(endpoint)

    def _watch(self, endpoint: Endpoint) -> None:
        if self._probes is not None and self._is_running:
            endpoint.run(self._probes.watch(endpoint))

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {len(self._rotation)} of {len(self.endpoints)} in rotation>"
