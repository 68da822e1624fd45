"""Remembers what has been seen, so that it counts once: in this process, in its crew, and in Redis for all replicas."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Protocol

from gateway.cache.memory import BoundedCache
from gateway.cache.redis import StoreUnavailable

_ENTRIES = 100_000


class Ledger(Protocol):
    """Where several processes write what they have seen."""

    @property
    def is_required(self) -> bool:
        """Whether nothing may count while it can't be asked."""
        ...

    async def put_once(self, name: str, seconds: float) -> bool:
        """Take a name for that long. Whether nobody had it. Raises `StoreUnavailable`."""
        ...


class SeenOnce:
    """Things of one `kind`, such as the `jti` of logout tokens.

    `store` is the Redis of all replicas, `crew` what the workers beside this one share, also while Redis is away.
    Without either, each process counts by itself.
    """

    def __init__(
        self,
        kind: str,
        store: Ledger | None = None,
        *,
        crew: Ledger | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kind = kind
        # Redis first: when it is required and away the name is not used up, and may be sent again.
        self._ledgers = [ledger for ledger in (store, crew) if ledger is not None]
        self._clock = clock
        self._seen: BoundedCache[str, float] = BoundedCache(entries=_ENTRIES, weight=_ENTRIES)

    async def is_first(self, *name: str, until: float) -> bool:
        """Whether this name comes for the first time; it is remembered until that moment.

        Raises `StoreUnavailable` when Redis is required and can't be asked: then nothing has been seen.
        """
        digest = hashlib.sha256("\0".join(name).encode("utf-8")).hexdigest()
        now = self._clock()
        if (self._seen.get(digest) or 0.0) > now:
            return False
        if not await self._is_first_of_all(digest, until - now):
            return False
        # Asked again: another request may have come while the others were being asked.
        if (self._seen.get(digest) or 0.0) > now:
            return False
        self._seen.put(digest, until)
        return True

    async def _is_first_of_all(self, digest: str, seconds: float) -> bool:
        if seconds <= 0:
            return True
        for ledger in self._ledgers:
            try:
                if not await ledger.put_once(f"{self._kind}:{digest}", seconds):
                    return False
            except StoreUnavailable:
                if ledger.is_required:
                    raise
        return True
