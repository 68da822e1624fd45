"""How many requests may pass: buckets that refill steadily (GCRA, the generic cell rate algorithm), by who asks.

In this process's memory, or in Redis for all that share it. Keyed on what has been verified, or on the address of the
peer: a limit by a name that anybody can claim would let strangers use up somebody else's.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from gateway import errors
from gateway.cache.memory import BoundedCache
from gateway.cache.redis import SharedStore, StoreUnavailable
from gateway.errors import GatewayError
from gateway.http.message import Field
from gateway.oauth.tokens import Token, find_claim

logger = logging.getLogger(__name__)

_ENTRIES: Final = 100_000
_IPV6_NETWORK: Final = 64
"""One household or one machine: whoever has an IPv6 address has all of its network."""

# One step, so that no two gateways take the same place in a bucket; by the clock of Redis, which all of them share. No
# bucket is emptier than empty: else one that another clock wrote, before a failover, could lock a client out for hours.
_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local full = tonumber(redis.call('GET', KEYS[1])) or now
local most = now + ARGV[2] * ARGV[1]
if full < now then full = now end
if full > most then full = most end
local wait = full - now - (ARGV[2] - 1) * ARGV[1]
if wait > 0 then return {string.format('%.6f', wait), string.format('%.6f', full - now)} end
full = full + ARGV[1]
redis.call('SET', KEYS[1], string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
return {'0', string.format('%.6f', full - now)}
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """`requests` in `seconds`, of which up to `burst` may come at once."""

    requests: int
    seconds: float
    burst: int

    @property
    def interval(self) -> float:
        """Seconds in which room for one more request comes up."""
        return self.seconds / self.requests


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request: `wait` is in seconds, 0 when it may pass; the bucket is full again in `refill`."""

    wait: float
    refill: float

    def remaining(self, rate: Rate) -> int:
        """How many more may come at once."""
        return 0 if self.wait else max(0, math.floor(rate.burst - self.refill / rate.interval + 1e-6))


class Buckets(Protocol):
    """Where the buckets are."""

    async def take(self, key: str, rate: Rate) -> Taken:
        """Take one place in the bucket of that key."""
        ...


class MemoryBuckets:
    """Buckets of this process. The least recently used ones go first: by then they are most likely full again."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: BoundedCache[str, float] = BoundedCache(entries=_ENTRIES, weight=_ENTRIES)

    async def take(self, key: str, rate: Rate) -> Taken:
        """Take one place in the bucket of that key."""
        now = self._clock()
        full_at = max(self._full_at.get(key) or now, now)
        wait = full_at - now - (rate.burst - 1) * rate.interval
        if wait > 0:
            return Taken(wait, full_at - now)
        self._full_at.put(key, full_at + rate.interval)
        return Taken(0.0, full_at + rate.interval - now)


class SharedBuckets:
    """Buckets in Redis. While it can't be asked, every process counts by itself.

    Who has to wait is told so from memory until then: what is refused anyway costs Redis nothing.
    """

    def __init__(self, store: SharedStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._own = MemoryBuckets(clock=clock)
        self._waiting: BoundedCache[str, tuple[float, float]] = BoundedCache(entries=_ENTRIES, weight=_ENTRIES)
        self._is_alone = False

    async def take(self, key: str, rate: Rate) -> Taken:
        """Take one place in the bucket of that key."""
        now = self._clock()
        until, full_at = self._waiting.get(key) or (now, now)
        if until > now:
            return Taken(until - now, full_at - now)
        name = self._store.key(f"limit:{hashlib.sha256(key.encode()).hexdigest()}")
        try:
            wait, refill = await self._store.run(
                "limit", lambda redis: redis.eval(_TAKE, 1, name, repr(rate.interval), rate.burst)
            )
        except StoreUnavailable as problem:
            self._tell(f"every process counts rate limits by itself, for Redis can't be asked: {problem.kind}", True)
            return await self._own.take(key, rate)
        self._tell("rate limits are counted together again", False)
        taken = Taken(float(wait), float(refill))
        if taken.wait:
            self._waiting.put(key, (now + taken.wait, now + taken.refill))
        return taken

    def _tell(self, text: str, is_alone: bool) -> None:
        if is_alone != self._is_alone:
            self._is_alone = is_alone
            logger.log(logging.WARNING if is_alone else logging.INFO, "%s", text)


@dataclass(frozen=True, slots=True, eq=False)
class RouteLimit:
    """The limit of one route. `by` is `ip`, `route`, `subject`, `client_id`, `issuer` or `claim:<name>`."""

    route: str
    rate: Rate
    by: str
    buckets: Buckets

    @property
    def is_for_clients(self) -> bool:
        """Whether it can be checked before anything is known of the token."""
        return self.by in ("ip", "route")

    async def check(self, client_ip: str, token: Token | None) -> tuple[Field, ...]:
        """Count one request; the fields that tell the client how many are left.

        Raises `GatewayError`: `rate_limited`.
        """
        taken = await self.buckets.take(f"{self.route}\0{self._key(client_ip, token)}", self.rate)
        fields = limit_fields(self.rate, taken)
        if taken.wait:
            raise limited(f"more than {self.rate.requests} in {self.rate.seconds:g} s by {self.by}", taken, fields)
        return fields

    def _key(self, client_ip: str, token: Token | None) -> str:
        if self.by == "ip":
            return client_network(client_ip)
        if self.by == "route" or token is None:
            return ""
        if self.by == "issuer":
            return token.issuer
        if self.by == "client_id":
            value: object = token.client_id
        else:
            value = find_claim(token.claims, "sub" if self.by == "subject" else self.by.removeprefix("claim:"))
        # What is missing, or no scalar, shares one budget: else leaving a claim out would be a way around.
        return f"{token.issuer}\0{value!r}" if isinstance(value, str | int | float | bool) else ""


class FailureLimit:
    """A limit on failed authentication for each client address: guesses cost the issuer nothing when it is reached.

    No more attempts of one address are under way at a time than may fail at once; others wait until it is known what
    came of these. Else whoever makes all guesses at the same time would have them all verified.
    """

    def __init__(self, rate: Rate, buckets: Buckets, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._buckets = buckets
        self._clock = clock
        self._refused: BoundedCache[str, float] = BoundedCache(entries=_ENTRIES, weight=_ENTRIES)
        self._queues: dict[str, _Queue] = {}

    def check(self, client_ip: str) -> None:
        """Refuse who has failed too often. Raises `GatewayError`: `rate_limited`."""
        self._check(client_network(client_ip))

    async def attempt(self, client_ip: str) -> Callable[[], None]:
        """Wait for a turn to verify a token; to be called when all is known of it, and counted.

        Raises as `check`.
        """
        network = client_network(client_ip)
        self._check(network)
        queue = self._queues.get(network)
        if queue is None:
            queue = self._queues[network] = _Queue(asyncio.Semaphore(self._rate.burst))
        queue.users += 1
        try:
            await queue.places.acquire()
        except BaseException:
            self._leave(network, queue)
            raise
        try:
            self._check(network)  # those before it may have failed meanwhile
        except GatewayError:
            self._give_back(network, queue)
            raise
        return partial(self._give_back, network, queue)

    async def failed(self, client_ip: str) -> None:
        """Count a failure."""
        network = client_network(client_ip)
        taken = await self._buckets.take(f"failed\0{network}", self._rate)
        if taken.remaining(self._rate) == 0:
            # No place is left: the next one has to wait until there is.
            self._refused.put(network, self._clock() + (taken.wait or self._rate.interval))

    def _check(self, network: str) -> None:
        until = self._refused.get(network)
        now = self._clock()
        if until is not None and until > now:
            taken = Taken(until - now, until - now)
            raise limited("too many failed attempts from this address", taken, limit_fields(self._rate, taken))

    def _give_back(self, network: str, queue: _Queue) -> None:
        queue.places.release()
        self._leave(network, queue)

    def _leave(self, network: str, queue: _Queue) -> None:
        queue.users -= 1
        if not queue.users:
            del self._queues[network]


@dataclass(slots=True)
class _Queue:
    """The attempts of one address. `users` are those under way and those that wait."""

    places: asyncio.Semaphore
    users: int = 0


def client_network(client_ip: str) -> str:
    """What counts as one client: an IPv4 address, the network of an IPv6 one, and all of a unix socket together."""
    if ":" not in client_ip:
        return client_ip
    return str(ipaddress.ip_network((client_ip, _IPV6_NETWORK), strict=False))


def limit_fields(rate: Rate, taken: Taken) -> tuple[Field, ...]:
    """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10); they tell nothing of who is limited."""
    left, reset = taken.remaining(rate), math.ceil(taken.wait or taken.refill)
    return (
        (b"RateLimit-Policy", b'"default";q=%d;w=%d' % (rate.requests, max(1, math.ceil(rate.seconds)))),
        (b"RateLimit", b'"default";r=%d;t=%d' % (left, reset)),
    )


def limited(evidence: str, taken: Taken, fields: tuple[Field, ...]) -> GatewayError:
    """The refusal of a request that came too soon."""
    return GatewayError(errors.RATE_LIMITED, evidence, retry_after=max(1, math.ceil(taken.wait)), fields=fields)
