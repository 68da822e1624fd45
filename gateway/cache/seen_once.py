"""Remembers what has been seen, so that it counts once: in this process, and in Redis for all that share it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from gateway.cache.memory import BoundedCache
from gateway.cache.redis import SharedStore, StoreUnavailable

_ENTRIES = 100_000


class SeenOnce:
    """Things of one `kind`, such as the `jti` of logout tokens. Without Redis each process counts by itself."""

    def __init__(self, kind: str, store: SharedStore | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._kind = kind
        self._store = store
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
        # Asked again: another request may have come while Redis was being asked.
        if (self._seen.get(digest) or 0.0) > now:
            return False
        self._seen.put(digest, until)
        return True

    async def _is_first_of_all(self, digest: str, seconds: float) -> bool:
        if self._store is None or seconds <= 0:
            return True
        try:
            return await self._store.put_once(f"{self._kind}:{digest}", seconds)
        except StoreUnavailable:
            if self._store.is_required:
                raise
            return True
