"""An issuer's keys as it publishes them, and how they stay fresh (RFC 7517, RFC 8414).

They are refreshed in the background before they are needed; while the issuer is down the last good ones are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.cache.single_flight import Abandoned, SingleFlight
from gateway.oauth.client import Document, IssuerClient, IssuerFailure
from gateway.oauth.discovery import Metadata, discover
from gateway.oauth.jose import Malformed
from gateway.oauth.key_source import cancelled, report_skipped
from gateway.oauth.key_store import KeyStore
from gateway.oauth.keys import KeySet, from_jwks

logger = logging.getLogger(__name__)

_MIN_REFRESH = 60.0
_FIRST_RETRY = 1.0
_SHORTEST_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class RefreshRules:
    """When fetched keys are fetched again, in seconds; see `issuers.<name>.keys` in the configuration."""

    refresh: float = 600.0
    cooldown: float = 30.0
    max_stale: float = 86_400.0


class RemoteKeys:
    """Keys that an issuer publishes, found by its metadata or at `jwks_uri`."""

    def __init__(
        self,
        name: str,
        issuer: str,
        client: IssuerClient,
        *,
        metadata: str | None = None,
        jwks_uri: str | None = None,
        rules: RefreshRules = RefreshRules(),
        store: KeyStore | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.fetched_at: float | None = None
        self.results: Counter[str] = Counter()
        self._issuer = issuer
        self._client = client
        self._metadata = metadata
        self._jwks_uri = jwks_uri
        self._rules = rules
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._keys: KeySet | None = None
        self._max_age: float | None = None
        self._searched_at = float("-inf")
        self._tried = asyncio.Event()
        self._is_closed = False
        self._flight = SingleFlight(self._fetch)
        self._task: asyncio.Task[None] | None = None

    def current(self, now: float) -> KeySet | None:
        """The keys last fetched; None once they are older than `max_stale`, for then nobody has vouched for them."""
        if self.fetched_at is None or now - self.fetched_at > self._rules.max_stale:
            return None
        return self._keys

    async def start(self) -> None:
        """Take the stored keys, if there are any, and begin to fetch."""
        await self._take_stored()
        self._task = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """End the background work and the connections."""
        self._is_closed = True
        await cancelled(self._task)
        await self._flight.cancel()
        await self._client.close()

    async def first(self) -> None:
        """Wait until the issuer has been asked once."""
        await self._tried.wait()

    async def _take_stored(self) -> None:
        stored = await self._store.load(self._issuer) if self._store is not None else None
        if stored is None:
            return
        # Never from the future: a clock that ran ahead must not make keys last for ever.
        fetched_at = min(stored.fetched_at, self._clock())
        if self._clock() - fetched_at <= self._rules.max_stale:
            with contextlib.suppress(IssuerFailure):
                self._adopt(stored.document, fetched_at)

    async def refresh_for_unknown_kid(self) -> None:
        """Fetch at most once in `cooldown`, failed fetches counted: guessed kids can't make us hammer the issuer.

        Only fetches made here count, so that a rotation right after a refresh is seen too.
        """
        if self._is_closed:
            return
        if not self._flight.is_running:
            # A clock that was set back must not lengthen the cool-down.
            if 0 <= self._clock() - self._searched_at < self._rules.cooldown:
                return
            self._searched_at = self._clock()
        with contextlib.suppress(IssuerFailure, Abandoned):
            await self._flight.run()

    async def refresh(self) -> str:
        """Fetch now. `ok`, or the kind of the failure."""
        try:
            await self._flight.run()
        except IssuerFailure as problem:
            return problem.kind
        except Abandoned:
            return "closed"
        return "ok"

    async def _keep_fresh(self) -> None:
        failures = 0
        while True:
            started = self._clock()
            try:
                await self._flight.run()
                failures = 0
            except IssuerFailure:
                failures += 1
            pause = self._retry(failures) if failures else self._period() - max(0.0, self._clock() - started)
            await self._sleep(max(_SHORTEST_PAUSE, pause))

    def _retry(self, failures: int) -> float:
        """Seconds until the next attempt: they double, up to the cool-down."""
        retry = min(_FIRST_RETRY * 2.0 ** min(failures - 1, 16), self._rules.cooldown, self._rules.refresh)
        return retry * random.uniform(0.8, 1.0)  # noqa: S311 - spreads replicas, guards nothing

    def _period(self) -> float:
        """Seconds from the start of one refresh to the start of the next."""
        refresh = self._rules.refresh
        if self._max_age is not None:
            refresh = min(refresh, max(self._max_age, _MIN_REFRESH))
        # Earlier than promised: a withdrawn key must be gone within `refresh` + 5 s, one failed attempt included.
        return refresh * random.uniform(0.85, 0.95)  # noqa: S311 - spreads replicas, guards nothing

    async def _fetch(self) -> None:
        try:
            document = await self._ask()
            if document is None:
                self._keys, self.fetched_at = self._keys or from_jwks({"keys": []}), self._clock()
            else:
                await self._take_fetched(document)
            self.results["ok"] += 1
        except IssuerFailure as problem:
            self.results[problem.kind] += 1
            logger.warning("keys of issuer %s can't be fetched: %s: %s", self.name, problem.kind, problem)
            raise
        except Exception:
            # A defect of ours must neither end the refreshing for good nor answer a client's request with 500.
            self.results["internal"] += 1
            logger.exception("keys of issuer %s can't be fetched", self.name)
            raise IssuerFailure("internal", "an unexpected error") from None
        finally:
            self._tried.set()

    async def _take_fetched(self, document: Document) -> None:
        self._adopt(document.members, self._clock())
        self._max_age = document.max_age
        if self._store is not None:
            await self._store.save(self._issuer, document.members, self._clock())

    async def _ask(self) -> Document | None:
        """The key set; None when the issuer's metadata says that it has none."""
        try:
            # One time for all the documents: four slow ones must not make a refresh four times as long.
            async with asyncio.timeout(self._client.timeout):
                if self._jwks_uri is not None:
                    return await self._client.fetch(self._jwks_uri)
                found = await discover(self._client, self._issuer, self._metadata)
                if found.jwks_uri is None:
                    self._check_needs_no_keys(found)
                    return None
                return await self._client.fetch(found.jwks_uri, named_at=found.address)
        except TimeoutError:
            raise IssuerFailure("timeout", f"no keys in {self._client.timeout:g} s") from None

    def _check_needs_no_keys(self, metadata: Metadata) -> None:
        """An issuer of opaque tokens alone needs no keys; one that had keys can't have lost them."""
        if metadata.introspection_endpoint is None or (self._keys is not None and self._keys.keys):
            raise IssuerFailure("metadata", "the metadata has no jwks_uri")

    def _adopt(self, document: dict[str, object], fetched_at: float) -> None:
        try:
            keys = from_jwks(document)
        except Malformed as problem:
            raise IssuerFailure("malformed", str(problem)) from None
        if not keys.keys:
            # An empty set is an accident at the issuer more often than a decision; the last good keys go on.
            raise IssuerFailure("empty", "no usable key in the set")
        self.fetched_at = fetched_at
        if self._keys is None or self._keys.fingerprint != keys.fingerprint:
            report_skipped(self.name, keys)
            self._keys = keys
