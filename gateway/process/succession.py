"""One gateway in the place of another: what is started before, what is judged anew at the swap, what ends after it.

A part that both have, an issuer's keys or an upstream, is the same object (`build.construct`); nothing is done to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection
from dataclasses import dataclass

from gateway.app import Gateway
from gateway.build import Built
from gateway.http.tls import ServerContext
from gateway.oauth.introspection_answers import Introspection
from gateway.oauth.key_source import KeySource
from gateway.upstream.service import Upstream

logger = logging.getLogger(__name__)

FIRST_KEYS = 5.0
"""Seconds to wait for the first answer of an issuer that is new: longer, and one that is down would keep all else from
taking effect.
"""

_LAST_REQUESTS = 60.0
"""Seconds after which parts end though requests that began before the swap have not: what is still under way then is a
stream or a WebSocket, which needs none of them any more.
"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What of a gateway runs in the background, or has connections."""

    keys: Collection[KeySource]
    introspections: Collection[Introspection]
    upstreams: Collection[Upstream]

    @classmethod
    def of(cls, gateway: Gateway) -> Parts:
        """Those of a whole gateway."""
        keys = [issuer.keys for issuer in gateway.issuers.values()]
        return cls(keys, gateway.introspections, list(gateway.upstreams.values()))

    def without(self, others: Parts) -> Parts:
        """Those that the others have not."""
        shared = set(map(id, (*others.keys, *others.introspections, *others.upstreams)))
        return Parts(
            [each for each in self.keys if id(each) not in shared],
            [each for each in self.introspections if id(each) not in shared],
            [each for each in self.upstreams if id(each) not in shared],
        )

    async def start(self) -> None:
        """Begin, without waiting for anything."""
        for source in self.keys:
            await source.start()
        for upstream in self.upstreams:
            await upstream.start()

    async def close(self) -> None:
        """End; requests that are at an upstream are served."""
        for source in self.keys:
            await source.close()
        for introspection in self.introspections:
            await introspection.close()
        for upstream in self.upstreams:
            await upstream.close()


@dataclass(frozen=True, slots=True)
class Successor:
    """A gateway that has been built and started, and that nobody asks yet. `tls` is for the listener."""

    built: Built
    tls: ServerContext | None
    before: Gateway

    @property
    def gateway(self) -> Gateway:
        """The new one."""
        return self.built.gateway

    @property
    def new_parts(self) -> Parts:
        """What only the new one has."""
        return Parts.of(self.gateway).without(Parts.of(self.before))

    @property
    def old_parts(self) -> Parts:
        """What only the old one has."""
        return Parts.of(self.before).without(Parts.of(self.gateway))

    async def start(self, patience: float = FIRST_KEYS) -> None:
        """Start what is new, let new issuers answer once, and take over what was verified. Waits `patience` seconds for
        the issuers at most.
        """
        parts = self.new_parts
        await parts.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.gather(*(source.first() for source in parts.keys))
        for _ in self.gateway.verifier.adopt(self.before.verifier):
            await asyncio.sleep(0)

    def judge_anew(self) -> None:
        """The moment of the swap: judge anew who is connected for longer than a request."""
        self.gateway.watch.judge_anew(self.gateway.place)

    async def abandon(self) -> None:
        """It will not be needed."""
        await self.new_parts.close()

    async def retire(self, patience: float = _LAST_REQUESTS) -> None:
        """End what only the old one has, once its requests have ended or `patience` seconds are over; when cancelled,
        at once.
        """
        try:
            async with asyncio.timeout(patience):
                while self.before.in_flight:  # noqa: ASYNC110 - it empties itself
                    await asyncio.sleep(0.1)
        except TimeoutError:
            logger.info("%d requests from before the reload go on", self.before.in_flight)
        finally:
            self.before.verifier.forget()
            await self.old_parts.close()
