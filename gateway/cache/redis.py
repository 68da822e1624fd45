"""A Redis that several gateways share: every operation bounded in time, and never a reason for a request to hang.

Knows nothing of what is kept there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff

from gateway.cache.circuit import CircuitBreaker, CircuitOpen
from gateway.cache.redis_address import RedisAddress, check_address, parse_address

__all__ = ["SharedStore", "StoreUnavailable", "check_address"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSE = 0.25
_LONGEST_PAUSE = 2.0

# In this order: several of them are kinds of others.
_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.AuthenticationError, "refused"),
    (exceptions.AuthorizationError, "refused"),
    (exceptions.NoPermissionError, "refused"),
    (exceptions.OutOfMemoryError, "full"),
    (exceptions.BusyLoadingError, "failing_over"),
    (exceptions.ReadOnlyError, "failing_over"),
    (exceptions.ClusterDownError, "failing_over"),
    (exceptions.MasterDownError, "failing_over"),
    (MasterNotFoundError, "failing_over"),
    (exceptions.SlotNotCoveredError, "failing_over"),
    (exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (exceptions.ConnectionError, "unreachable"),
    (OSError, "unreachable"),
)


class StoreUnavailable(Exception):
    """Redis could not be used. `kind` is a word for metrics; nothing of what Redis or its address said is repeated."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"Redis can't be used: {kind}")
        self.kind = kind


class _Answered(Exception):
    """Redis is there and has answered, but not with what was wanted."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class SharedStore:
    """One Redis. No operation takes longer than `timeout` seconds; after a failure others fail at once for a while.

    `is_required` says whether those who ask may go on without it. Raises ValueError for a URL that is none.
    """

    def __init__(self, url: str, *, prefix: str, timeout: float, is_required: bool = False) -> None:
        self.is_required = is_required
        self.is_available = False
        """Whether the last operation reached a Redis that works."""
        self.results: Counter[str] = Counter()
        self._address = parse_address(url)
        self._prefix = prefix
        self._timeout = timeout
        self._circuit = CircuitBreaker(failures=1, pause=_PAUSE, longest=_LONGEST_PAUSE, ignoring=(_Answered,))
        self._clients: _Clients | None = None
        self._told = True

    def key(self, name: str) -> str:
        """The key under which `name` is kept."""
        return f"{self._prefix}{name}"

    async def get(self, name: str) -> bytes | None:
        """The value, None without any. Raises `StoreUnavailable`, like all that follows."""
        value: bytes | None = await self.run("get", lambda redis: redis.get(self.key(name)))
        return value

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        """Keep a value for that long."""
        await self.run("put", lambda redis: redis.set(self.key(name), value, px=_milliseconds(seconds)))

    async def put_once(self, name: str, seconds: float) -> bool:
        """Take a name for that long. Whether nobody had it."""
        return bool(
            await self.run(
                "put_once", lambda redis: redis.set(self.key(name), b"1", px=_milliseconds(seconds), nx=True)
            )
        )

    async def run(self, operation: str, command: Callable[[Any], Awaitable[T]]) -> T:
        """One operation on the client of redis-py; `operation` is a word for the log."""
        try:
            with self._circuit.attempt():
                result = await self._bounded(command)
        except CircuitOpen:
            raise self._failed(operation, "open") from None
        except (_Answered, StoreUnavailable) as problem:
            raise self._failed(operation, problem.kind) from None
        self._succeeded()
        return result

    async def _bounded(self, command: Callable[[Any], Awaitable[T]]) -> T:
        try:
            # A command that is cut off takes its connection along (redis-py closes it), so that its late reply can't
            # become the answer to somebody else's command (CVE-2023-28858).
            async with asyncio.timeout(self._timeout):
                return await command(self._client())
        except (exceptions.RedisError, OSError, TimeoutError) as problem:
            kind = _kind(problem)
            raise (_Answered(kind) if kind in ("full", "error") else StoreUnavailable(kind)) from None

    def subscription(self) -> Any:
        """A new `PubSub` of redis-py, on a connection of its own."""
        return self._client().pubsub()

    async def listen(self, channel: Any, seconds: float) -> Any:
        """The next message of a subscription, None when none comes in that time."""
        try:
            return await channel.get_message(ignore_subscribe_messages=True, timeout=seconds)
        except (exceptions.RedisError, OSError, TimeoutError) as problem:
            raise self._failed("listen", _kind(problem)) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._clients is not None:
            await self._clients.close()
            self._clients = None

    def _client(self) -> Any:
        if self._clients is None:
            self._clients = _Clients(self._address, self._timeout)
        return self._clients.client

    def _succeeded(self) -> None:
        self.results["ok"] += 1
        if not self.is_available:
            self.is_available = True
            logger.log(logging.DEBUG if self._told else logging.INFO, "Redis can be used")
            self._told = False

    def _failed(self, operation: str, kind: str) -> StoreUnavailable:
        self.results[kind] += 1
        if kind not in ("full", "error", "open"):
            if self.is_available or self._told:
                logger.warning("Redis can't be used: %s: %s", operation, kind)
            self.is_available = self._told = False
        return StoreUnavailable(kind)


class _Clients:
    """What redis-py needs for one address."""

    def __init__(self, address: RedisAddress, timeout: float) -> None:
        options: dict[str, Any] = {
            **address.options,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "retry": Retry(NoBackoff(), 0),
        }
        self._sentinel: Sentinel | None = None
        self.client: Redis | RedisCluster
        match address.kind:
            case "socket":
                self.client = Redis(unix_socket_path=address.path, db=address.database, **options)
            case "single":
                host, port = address.hosts[0]
                self.client = Redis(host=host, port=port, db=address.database, **options)
            case "cluster":
                nodes = [ClusterNode(host, port) for host, port in address.hosts]
                self.client = RedisCluster(startup_nodes=nodes, cluster_error_retry_attempts=1, **options)
            case "sentinel":
                self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
                    address.hosts,
                    sentinel_kwargs={**options, **address.sentinel_options},
                    db=address.database,
                    **options,
                )
                self.client = self._sentinel.master_for(address.master)

    async def close(self) -> None:
        await self.client.aclose()
        for sentinel in self._sentinel.sentinels if self._sentinel is not None else ():
            await sentinel.aclose()


def _kind(problem: BaseException) -> str:
    text = str(problem)
    if text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
        return "refused"
    if text.startswith("OOM"):
        return "full"
    return next((kind for known, kind in _KINDS if isinstance(problem, known)), "error")


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
