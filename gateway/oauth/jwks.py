"""Where an issuer's keys come from, and how they stay fresh: inline, a file, or fetched (RFC 7517, RFC 8414).

Fetched keys are refreshed in the background before they are needed; while the issuer is down the last good ones are
kept. The object that `current` returns changes exactly when the keys do, so a cache can tell by identity.
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
from pathlib import Path
from typing import Protocol

from gateway.cache.single_flight import SingleFlight
from gateway.oauth.client import Document, IssuerClient, IssuerFailure
from gateway.oauth.discovery import discover
from gateway.oauth.jose import Malformed, strict_json
from gateway.oauth.key_store import KeyStore
from gateway.oauth.keys import KeySet, from_jwks

logger = logging.getLogger(__name__)

_MIN_REFRESH = 60.0
_FIRST_RETRY = 1.0
_SHORTEST_PAUSE = 0.5
_FILE_PERIOD = 5.0


class KeySource(Protocol):
    """The keys of one issuer, from wherever."""

    name: str
    fetched_at: float | None
    """When the keys were last had from their source, in seconds since the epoch; None before the first time."""
    results: Counter[str]
    """How often keys were fetched, by result: `ok`, `unchanged`, or the kind of a failure."""

    def current(self, now: float) -> KeySet | None:
        """The keys to verify with; None when there are none, or none that may still be used."""
        ...

    async def start(self) -> None:
        """Begin to fetch, without waiting for it."""
        ...

    async def close(self) -> None:
        """End what runs in the background."""
        ...

    async def first(self) -> None:
        """Wait for the first attempt to have keys, whatever comes of it."""
        ...

    async def refresh_for_unknown_kid(self) -> None:
        """A token names a key that is not there: fetch, unless that was done a moment ago."""
        ...


class StaticKeys:
    """Keys that stand in the configuration."""

    def __init__(self, name: str, keys: KeySet, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.fetched_at: float | None = clock()
        self.results: Counter[str] = Counter()
        self._keys = keys

    def current(self, now: float) -> KeySet | None:
        """The keys; they never change."""
        return self._keys

    async def start(self) -> None:
        """Nothing to fetch."""

    async def close(self) -> None:
        """Nothing runs."""

    async def first(self) -> None:
        """They are here."""

    async def refresh_for_unknown_kid(self) -> None:
        """There is nowhere else to look."""


class FileKeys:
    """Keys from a file, read again when it changes (a mounted secret's symlink swap included)."""

    def __init__(self, name: str, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.fetched_at: float | None = None
        self.results: Counter[str] = Counter()
        self._path = path
        self._clock = clock
        self._keys: KeySet | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._problem = ""
        self._task: asyncio.Task[None] | None = None
        self._read()

    def current(self, now: float) -> KeySet | None:
        """The keys of the last readable version of the file."""
        return self._keys

    async def start(self) -> None:
        """Watch the file."""
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching."""
        await _cancel(self._task)

    async def first(self) -> None:
        """It was read when this was made."""

    async def refresh_for_unknown_kid(self) -> None:
        """Look whether the file has changed."""
        self._read()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_FILE_PERIOD)
            self._read()

    def _read(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                data = self._path.read_bytes()
                # Noted before it is parsed: a broken file is read once, and not again for each unknown `kid`.
                self._stamp = stamp
                self._adopt(from_jwks(strict_json(data)))
        except OSError as problem:
            self._stamp = None
            self._failed("unreadable", problem.strerror or "")
        except Malformed as problem:
            self._failed("malformed", str(problem))
        else:
            if not self._problem:
                self.fetched_at = self._clock()

    def _adopt(self, keys: KeySet) -> None:
        if not keys.keys:
            self._failed("empty", "no usable key")
            return
        self._problem = ""
        self.results["ok"] += 1
        _report_skipped(self.name, keys)
        if self._keys is None or self._keys.fingerprint != keys.fingerprint:
            self._keys = keys

    def _failed(self, kind: str, problem: str) -> None:
        # Counted and told once: guessed kids can't fill the log.
        if problem == self._problem:
            return
        self._problem = problem
        self.results[kind] += 1
        logger.warning("keys of issuer %s: %s can't be used: %s", self.name, self._path, problem)


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
        self._flight = SingleFlight(self._fetch)
        self._task: asyncio.Task[None] | None = None

    def current(self, now: float) -> KeySet | None:
        """The keys last fetched; None once they are older than `max_stale`, for then nobody has vouched for them."""
        if self.fetched_at is None or now - self.fetched_at > self._rules.max_stale:
            return None
        return self._keys

    async def start(self) -> None:
        """Take the stored keys, if there are any, and begin to fetch."""
        if self._store is not None and (stored := self._store.load(self._issuer)) is not None:
            # Never from the future: a clock that ran ahead must not make keys last for ever.
            fetched_at = min(stored.fetched_at, self._clock())
            if self._clock() - fetched_at <= self._rules.max_stale:
                with contextlib.suppress(IssuerFailure):
                    self._adopt(stored.document, fetched_at)
        self._task = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """End the background work and the connections."""
        await _cancel(self._task)
        await self._flight.cancel()
        await self._client.close()

    async def first(self) -> None:
        """Wait until the issuer has been asked once."""
        await self._tried.wait()

    async def refresh_for_unknown_kid(self) -> None:
        """Fetch at most once in `cooldown`, failed fetches counted: guessed kids can't make us hammer the issuer.

        Only fetches made here count, so that a rotation right after a refresh is seen too.
        """
        if not self._flight.is_running:
            # A clock that was set back must not lengthen the cool-down.
            if 0 <= self._clock() - self._searched_at < self._rules.cooldown:
                return
            self._searched_at = self._clock()
        with contextlib.suppress(IssuerFailure):
            await self._flight.run()

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
            self._adopt(document.members, self._clock())
            self._max_age = document.max_age
            self.results["ok"] += 1
            if self._store is not None:
                self._store.save(self._issuer, document.members, self._clock())
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

    async def _ask(self) -> Document:
        try:
            # One time for all the documents: four slow ones must not make a refresh four times as long.
            async with asyncio.timeout(self._client.timeout):
                if self._jwks_uri is not None:
                    return await self._client.fetch(self._jwks_uri)
                found = await discover(self._client, self._issuer, self._metadata)
                return await self._client.fetch(found.jwks_uri, named_at=found.address)
        except TimeoutError:
            raise IssuerFailure("timeout", f"no keys in {self._client.timeout:g} s") from None

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
            _report_skipped(self.name, keys)
            self._keys = keys


def _report_skipped(name: str, keys: KeySet) -> None:
    for reason in keys.skipped:
        logger.warning("keys of issuer %s: skipped %s", name, reason)


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
