"""What issuers said of tokens, remembered for a while (RFC 7662 §4): in this process, and sealed in Redis for others.

Failures are never remembered as an answer. Knows nothing of what a token may do: that is decided on each request.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from gateway.cache.circuit import CircuitBreaker, CircuitOpen
from gateway.cache.memory import BoundedCache
from gateway.cache.redis import SharedStore, StoreUnavailable
from gateway.cache.sealing import Sealer
from gateway.cache.single_flight import Abandoned, Flights
from gateway.oauth.client import IssuerFailure
from gateway.oauth.introspection import Claims, RequestRefused
from gateway.oauth.jose import Malformed, strict_json

logger = logging.getLogger(__name__)

_ENTRIES = 10_000
_BYTES = 32 * 2**20
_QUIET_SECONDS = 10.0
"""How often one failing issuer is told of in the log."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One answer: the token's claims, None when it is not active. `fresh_until` is in seconds since the epoch."""

    claims: Mapping[str, Any] | None = field(repr=False)
    fresh_until: float


class IssuerSilent(IssuerFailure):
    """The issuer failed a moment ago and is not asked again before `retry_after` seconds have passed."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("circuit_open", "it failed a moment ago and is given a pause")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """See `issuers.<name>.introspection` in the configuration; times are in seconds."""

    cache: float = 60.0
    negative_cache: float = 5.0
    timeout: float = 3.0
    concurrency: int = 64


class SharedAnswers:
    """Answers in Redis, named by all that an answer depends on: issuer, endpoint, our client id, token."""

    def __init__(self, store: SharedStore, sealer: Sealer, *asked: str) -> None:
        self._store = store
        self._sealer = sealer
        self._asked = [part.encode("utf-8") for part in asked]

    async def get(self, token: bytes, now: float) -> Answer | None:
        """An answer that this or another gateway was given. Raises `StoreUnavailable`."""
        names = self._sealer.names("introspection", *self._asked, token)
        # At once: while secrets are rotated, a slow Redis must not make this two times as long.
        for name, sealed in zip(names, await asyncio.gather(*map(self._store.get, names)), strict=True):
            data = self._sealer.open(name, sealed, now) if sealed is not None else None
            if data is not None:
                return _read(data)
        return None

    async def put(self, token: bytes, answer: Answer, now: float) -> None:
        """Keep an answer for the others. Raises `StoreUnavailable`."""
        name = self._sealer.name("introspection", *self._asked, token)
        data = json.dumps({"claims": answer.claims, "fresh_until": answer.fresh_until}).encode("utf-8")
        sealed = self._sealer.seal(name, data, answer.fresh_until)
        await self._store.put(name, sealed, answer.fresh_until - now)

    @property
    def is_required(self) -> bool:
        """Whether nothing may be decided without Redis."""
        return self._store.is_required


class Asked(Protocol):
    """Whoever says what the issuer says of a token: `IntrospectionClient`."""

    async def ask(self, token: bytes) -> Claims | None:
        """The token's claims, None when it is not active. Raises `IssuerFailure`."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Introspection:
    """The answers of one issuer. `on_called` hears of each call: its result in one word, and the seconds it took."""

    def __init__(
        self,
        name: str,
        client: Asked,
        rules: AnswerRules,
        *,
        shared: SharedAnswers | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.on_called: list[Callable[[str, float], None]] = []
        self.hits = 0
        self.misses = 0
        self._client = client
        self._rules = rules
        self._shared = shared
        self._clock = clock
        self._active: BoundedCache[bytes, Answer] = BoundedCache(entries=_ENTRIES, weight=_BYTES)
        # Bounded by itself: a flood of invented tokens must not push the good ones out.
        self._inactive: BoundedCache[bytes, Answer] = BoundedCache(entries=_ENTRIES, weight=_ENTRIES)
        self._flights: Flights[bytes, Answer] = Flights()
        self._sharing: Flights[bytes, None] = Flights()
        self._slots = asyncio.Semaphore(rules.concurrency)
        self._circuit = CircuitBreaker(ignoring=(RequestRefused,))
        self._told_at = float("-inf")

    async def answer(self, token: bytes) -> Answer:
        """What the issuer says of the token, from memory, from Redis or from the issuer. Raises `IssuerFailure`."""
        digest = hashlib.sha256(token).digest()
        known = self._active.get(digest) or self._inactive.get(digest)
        if known is not None and self._clock() < known.fresh_until:
            self.hits += 1
            return known
        self.misses += 1
        try:
            # The call belongs to nobody: a client that goes away must not fail the others that sent the same token.
            return await self._flights.run(digest, lambda: self._find(token, digest))
        except Abandoned:
            raise IssuerFailure("closed", "the gateway is closing") from None

    async def close(self) -> None:
        """End the calls that run, and close the connections."""
        await self._flights.cancel()
        await self._sharing.cancel()
        await self._client.close()

    async def _find(self, token: bytes, digest: bytes) -> Answer:
        answer = await self._recall(token)
        if answer is None:
            answer = await self._ask(token)
            # Beside the request, which has waited for a slow Redis once already.
            self._sharing.begin(digest, partial(self._share, token, answer))
        self._remember(digest, answer)
        return answer

    async def _ask(self, token: bytes) -> Answer:
        started = time.perf_counter()
        result = "internal"
        try:
            answer = self._answer(await self._call(token))
            result = "inactive" if answer.claims is None else "active"
            return answer
        except IssuerFailure as failure:
            result = failure.kind
            self._tell(failure)
            raise
        finally:
            for observe in self.on_called:
                observe(result, time.perf_counter() - started)

    async def _call(self, token: bytes) -> Claims | None:
        """One call, never longer than the timeout, the wait for one of the slots included."""
        try:
            # The timeout is inside the circuit, which must hear of it: outside it would look like a caller's cancel.
            with self._circuit.attempt():
                async with asyncio.timeout(self._rules.timeout), self._slots:
                    return await self._client.ask(token)
        except TimeoutError:
            raise IssuerFailure("timeout", f"no answer in {self._rules.timeout:g} s") from None
        except CircuitOpen as circuit:
            raise IssuerSilent(circuit.retry_after) from None

    def _answer(self, claims: Claims | None) -> Answer:
        now = self._clock()
        if claims is None:
            return Answer(None, now + self._rules.negative_cache)
        # RFC 7662 §4: never past `exp`. One that is no number is refused when the claims are judged.
        expires = claims.get("exp")
        last = float(expires) if isinstance(expires, int | float) and not isinstance(expires, bool) else math.inf
        return Answer(claims, min(now + self._rules.cache, last))

    def _remember(self, digest: bytes, answer: Answer) -> None:
        if answer.fresh_until <= self._clock():
            return
        if answer.claims is None:
            self._active.discard(digest)
            self._inactive.put(digest, answer)
        else:
            self._inactive.discard(digest)
            self._active.put(digest, answer, weight=len(json.dumps(answer.claims)))

    async def _recall(self, token: bytes) -> Answer | None:
        if self._shared is None:
            return None
        try:
            return await self._shared.get(token, self._clock())
        except StoreUnavailable as problem:
            if self._shared.is_required:
                raise IssuerFailure("redis", f"Redis is required and can't be asked: {problem.kind}") from None
            return None

    async def _share(self, token: bytes, answer: Answer) -> None:
        if self._shared is not None and answer.fresh_until > self._clock():
            with contextlib.suppress(StoreUnavailable):
                await self._shared.put(token, answer, self._clock())

    def _tell(self, failure: IssuerFailure) -> None:
        # Once in a while: what clients cause must not fill the log.
        if self._clock() - self._told_at >= _QUIET_SECONDS and not isinstance(failure, IssuerSilent):
            self._told_at = self._clock()
            logger.warning("introspection at issuer %s fails: %s: %s", self.name, failure.kind, failure)


def _read(data: bytes) -> Answer | None:
    """What was sealed; None for the form of another version."""
    try:
        members = strict_json(data)
    except Malformed:
        return None
    claims, fresh_until = members.get("claims"), members.get("fresh_until")
    if not isinstance(fresh_until, int | float) or not isinstance(claims, dict | None):
        return None
    return Answer(claims, float(fresh_until))
