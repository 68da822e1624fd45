"""Keeps the deny list equal in all processes that share a Redis: a hash of the entries, a channel, a number of changes.

Nobody misses an entry: whoever (re)connects listens first, then reads everything and adds what Redis lacks, such as
what was revoked while it was away; and the number, looked at twice a second, tells whether a message was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from gateway.access.revocation import DenyList, Revocation
from gateway.cache.redis import SharedStore, StoreUnavailable
from gateway.oauth.jose import Malformed, strict_json
from gateway.oauth.key_source import cancelled

logger = logging.getLogger(__name__)

_LOOK_EVERY = 0.4
"""Seconds between looks at the number of changes; with the time of a read it stays below the promised second."""

_PAUSE = 0.3
"""Seconds until the next attempt to connect."""

_ANNOUNCED = 100
"""How many entries that Redis does not take are passed on at each look, the newest."""

# One step, so that no reader sees the entry without its number. A live entry never replaces a withdrawn one. What has
# ended is swept on the way. KEYS share a hash tag: in a cluster they lie on one node.
_WRITE = """
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
elseif redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return tonumber(redis.call('GET', KEYS[3]) or 0)
end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[5], 'LIMIT', 0, 100)) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
local number = redis.call('INCR', KEYS[3])
redis.call('PUBLISH', KEYS[4], number .. ' ' .. ARGV[2])
return number
"""


class RevocationFeed:
    """Connects one deny list with the Redis of all."""

    def __init__(
        self,
        deny_list: DenyList,
        store: SharedStore,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._deny_list = deny_list
        self._store = store
        self._clock = clock
        self._now = monotonic
        self._sleep = sleep
        self._entries, self._endings, self._number_key, self._channel = (
            store.key(f"{{revocations}}{suffix}") for suffix in ("", ":endings", ":number", ":channel")
        )
        self._number = -1
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # Entries that Redis did not take, for it was full or gone.
        self._owed: dict[str, Revocation] = {}
        self.is_connected = False
        """Whether this list holds all that Redis knew half a second ago."""

    async def start(self) -> None:
        """Connect, and wait for the first attempt: what was revoked before must be known before the first request."""
        self._task = asyncio.create_task(self._run())
        await self._tried.wait()

    async def close(self) -> None:
        """Disconnect. Entries that Redis never took end here, unless another process has heard of them."""
        await cancelled(self._task)
        if self._owed:
            logger.warning("revocations that Redis never took end with this process: %d", len(self._owed))

    async def share(self, entry: Revocation) -> None:
        """Hand an entry to the others. When Redis does not take it now, it is handed over later."""
        self._owed[entry.id] = entry
        await self._pay()

    def owes(self, entry: Revocation) -> bool:
        """Whether Redis still has to take it."""
        return entry.id in self._owed

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except StoreUnavailable:
                self.is_connected = False
            except Exception:
                # A defect of ours must not end the following for good.
                self.is_connected = False
                logger.exception("revocations can't be read")
            finally:
                self._tried.set()
            await self._sleep(_PAUSE)

    async def _follow(self) -> None:
        async with self._subscribed() as channel:
            await self._catch_up()
            self.is_connected = True
            self._tried.set()
            looked_at = self._now()
            while True:
                message = await self._next(channel, looked_at + _LOOK_EVERY - self._now())
                is_whole = message is not None and self._hear(message)
                # By time as well: a stream of messages must not keep us from what it leaves out.
                if not is_whole or self._now() - looked_at >= _LOOK_EVERY:
                    await self._look()
                    looked_at = self._now()

    @contextlib.asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[Any]:
        channel = self._store.subscription()
        try:
            await self._store.run("subscribe", lambda _: channel.subscribe(self._channel))
            yield channel
        finally:
            with contextlib.suppress(Exception):
                await channel.aclose()

    async def _next(self, channel: Any, seconds: float) -> bytes | None:
        """The next message, None when none comes in that time."""
        message = await self._store.listen(channel, max(seconds, 0.0))
        return message["data"] if message is not None and message["type"] == "message" else None

    def _hear(self, message: bytes) -> bool:
        """Take a message over. Whether none is missing before it, as far as its number tells."""
        number, _, data = message.partition(b" ")
        self._take(data)
        if not number.isdigit():
            return True
        if int(number) > self._number + 1:
            return False
        self._number = max(self._number, int(number))
        return True

    async def _look(self) -> None:
        if self._owed:
            await self._pay()
        number = await self._store.run("revocations", lambda redis: redis.get(self._number_key))
        if int(number or 0) != self._number:
            await self._catch_up()

    async def _catch_up(self) -> None:
        # The number first: what is added while we read makes it differ at the next look.
        number = await self._store.run("revocations", lambda redis: redis.get(self._number_key))
        there = await self._read_all()
        for entry in self._deny_list:
            known = there.get(entry.id)
            if self._clock() < entry.expires_at and (known is None or (entry.is_withdrawn and not known.is_withdrawn)):
                self._owed[entry.id] = entry
        await self._pay()
        self._number = int(number or 0)

    async def _read_all(self) -> dict[str, Revocation]:
        """All entries of Redis, in pieces so that none takes longer than one command may."""
        there: dict[str, Revocation] = {}
        cursor: Any = 0
        while True:
            cursor, piece = await self._store.run("revocations", partial(self._read_piece, cursor))
            for data in piece.values():
                if (entry := self._take(data)) is not None:
                    there[entry.id] = entry
            if not int(cursor):
                return there

    async def _read_piece(self, cursor: Any, redis: Any) -> tuple[Any, dict[bytes, bytes]]:
        return await redis.hscan(self._entries, cursor, count=500)  # type: ignore[no-any-return]

    def _take(self, data: bytes) -> Revocation | None:
        try:
            entry = Revocation.from_json(strict_json(data))
        except (Malformed, ValueError):
            logger.warning("an entry of the shared deny list is not a revocation; it has no effect here")
            return None
        self._deny_list.take(entry)
        return entry

    async def _pay(self) -> None:
        """Write what Redis still has to get. What it does not take is at least passed on."""
        for entry in list(self._owed.values()):
            try:
                await self._store.run("revoke", partial(self._write, entry))
            except StoreUnavailable:
                await self._announce(list(self._owed.values())[-_ANNOUNCED:])
                return
            if self._owed.get(entry.id) is entry:  # else it was withdrawn meanwhile, and that is owed now
                del self._owed[entry.id]

    async def _write(self, entry: Revocation, redis: Any) -> None:
        keys = (self._entries, self._endings, self._number_key, self._channel)
        data = json.dumps(entry.as_json())
        await redis.eval(
            _WRITE, len(keys), *keys, entry.id, data, int(entry.is_withdrawn), entry.expires_at, self._clock()
        )

    async def _announce(self, entries: list[Revocation]) -> None:
        """A Redis that is full, or can't save, keeps nothing and still passes messages on. One that is gone does not,
        which the first message finds out.
        """
        with contextlib.suppress(StoreUnavailable):
            for entry in entries:
                message = b"- " + json.dumps(entry.as_json()).encode("utf-8")
                await self._store.run("announce", partial(self._publish, message))

    async def _publish(self, message: bytes, redis: Any) -> None:
        await redis.publish(self._channel, message)
