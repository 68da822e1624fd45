"""One endpoint of an upstream: where it is, the connections to it, and whether it may be chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from gateway.http.client import Origin, Pool


@dataclass(frozen=True, slots=True)
class Site:
    """One address of the configuration. Its name may stand for several machines; each is an endpoint then.

    `authority` is what Host says there. `is_name` tells that the origin's host has to be looked up.
    """

    address: str
    origin: Origin
    authority: str
    weight: int = 1
    is_name: bool = False


class Endpoint:
    """One machine that answers for an upstream. `address` is as configured: it is what logs and metrics say."""

    __slots__ = (
        "failures",
        "is_closed",
        "is_ejected",
        "is_healthy",
        "pool",
        "probed",
        "seed",
        "site",
        "tasks",
        "turn",
        "weight",
    )

    def __init__(self, site: Site, pool: Pool) -> None:
        self.site = site
        self.pool = pool
        self.weight = site.weight
        # The same in every worker and replica, so that all of them send a key to the same endpoint.
        identity = " ".join((site.address, *pool.origin.addresses[:1]))
        self.seed = int.from_bytes(blake2b(identity.encode(), digest_size=8).digest())
        self.turn = 0.0
        """What round robin owes it."""
        self.is_healthy = True
        """What the probes say."""
        self.probed = 0
        """How many probes in a row contradict `is_healthy`."""
        self.is_ejected = False
        self.failures = 0
        """How many requests in a row have failed."""
        self.is_closed = False
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """As configured."""
        return self.site.address

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Do something in the background for as long as the endpoint is one."""
        if self.is_closed:
            coroutine.close()  # a request that was under way may fail, and nobody waits for what comes of it
            return
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def close(self) -> None:
        """No new request comes here; those under way are served."""
        self.is_closed = True
        for task in list(self.tasks):
            task.cancel()
        self.pool.close()

    def __str__(self) -> str:
        addresses = self.pool.origin.addresses
        return f"{self.address} ({addresses[0]})" if addresses else self.address

    def __repr__(self) -> str:
        state = "unhealthy" if not self.is_healthy else "ejected" if self.is_ejected else "in rotation"
        return f"<Endpoint {self} {state}>"


MakePool = Callable[[Origin], Pool]
"""The connections to one place, within the upstream's limits."""
