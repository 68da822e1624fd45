"""What of a gateway runs in the background or has connections: it is started, waited for and closed together.

Two gateways may share parts, where one takes the place of the other (`process.succession`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.oauth.introspection_answers import Introspection
from gateway.oauth.key_source import KeySource
from gateway.upstream.service import Upstream


@dataclass(frozen=True, slots=True)
class Parts:
    """The keys of issuers, who is asked about tokens, and the upstreams."""

    keys: Sequence[KeySource]
    introspections: Sequence[Introspection]
    upstreams: Sequence[Upstream]

    def without(self, others: Parts) -> Parts:
        """Those that the others have not."""
        shared = set(map(id, (*others.keys, *others.introspections, *others.upstreams)))
        return Parts(
            [each for each in self.keys if id(each) not in shared],
            [each for each in self.introspections if id(each) not in shared],
            [each for each in self.upstreams if id(each) not in shared],
        )

    async def start(self) -> None:
        """Begin to fetch keys and to watch upstreams, without waiting for them."""
        for source in self.keys:
            await source.start()
        for upstream in self.upstreams:
            await upstream.start()

    async def first_keys(self, timeout: float) -> None:
        """Wait until every issuer has been asked once, at most `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(source.first() for source in self.keys))

    async def close(self) -> None:
        """End; requests that are at an upstream are served."""
        for source in self.keys:
            await source.close()
        for introspection in self.introspections:
            await introspection.close()
        for upstream in self.upstreams:
            await upstream.close()
