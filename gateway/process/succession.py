"""One gateway in the place of another: what is started before, what is judged anew at the swap, what ends after it.

A part that both have, an issuer's keys or an upstream, is the same object (`build.construct`); nothing is done to it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from gateway.app import Gateway
from gateway.build import Built
from gateway.http.tls import ServerContext
from gateway.parts import Parts

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
        return self.gateway.parts.without(self.before.parts)

    @property
    def old_parts(self) -> Parts:
        """What only the old one has."""
        return self.before.parts.without(self.gateway.parts)

    async def start(self, patience: float = FIRST_KEYS) -> None:
        """Start what is new, let new issuers answer once, and take over what was verified. Waits `patience` seconds for
        the issuers at most.
        """
        parts = self.new_parts
        await parts.start()
        await parts.first_keys(patience)
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
