"""A Redis that several gateways share: every operation bounded in time, and never a reason for a request to hang.

Knows nothing of what is kept there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
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

_AT_ONCE = 64
"""Operations under way; more wait for their turn, in their time. redis-py fails from the 101st connection on."""

# A RedisClusterException is none of redis-py's RedisErrors. UnicodeError: a host name, told by a Sentinel or a cluster,
# that is none.
_PROBLEMS = (exceptions.RedisError, exceptions.RedisClusterException, OSError, UnicodeError)

# The first that fits: several of them are kinds of others.
_KINDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError), "refused"),
    ((exceptions.OutOfMemoryError,), "full"),
    ((exceptions.BusyLoadingError, exceptions.ReadOnlyError, exceptions.ClusterDownError), "failing_over"),
    ((MasterNotFoundError, exceptions.SlotNotCoveredError), "failing_over"),
    ((exceptions.TimeoutError, TimeoutError), "timeout"),
    ((exceptions.ConnectionError, OSError, UnicodeError), "unreachable"),
    ((exceptions.RedisError,), "error"),
    # What remains of them is about slots that nobody serves.
    ((exceptions.RedisClusterException,), "failing_over"),
)


class StoreUnavailable(Exception):
    """Redis could not be used. `kind` is a word for metrics; nothing of what Redis or its address said is repeated.

    `timeout`, `unreachable`, `refused` (password or ACL), `full` (out of memory), `failing_over` (no master, loading, a
    replica where a master was), `open` (not asked: it failed a moment ago), or `error`.
    """

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

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        timeout: float,
        is_required: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_required = is_required
        self.is_available = False
        """Whether the last operation reached a Redis that works; what a working one refuses changes nothing."""
        self.results: Counter[str] = Counter()
        """How operations ended: "ok", or the kind of `StoreUnavailable`."""
        self._address = parse_address(url)
        self._prefix = prefix
        self._timeout = timeout
        self._circuit = CircuitBreaker(
            failures=1, pause=_PAUSE, longest=_LONGEST_PAUSE, ignoring=(_Answered,), clock=clock
        )
        self._clients: _Clients | None = None
        # Kinds of failure that were told since it last worked: the first may hide the reason, as when it hangs up on
        # whoever has an old password.
        self._told: set[str] = set()

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

    async def delete(self, name: str) -> None:
        """Forget a value, or a name that was taken."""
        await self.run("delete", lambda redis: redis.delete(self.key(name)))

    async def run(self, operation: str, command: Callable[[Any], Awaitable[T]]) -> T:
        """One operation on the `Redis` or `RedisCluster` of redis-py; `operation` is a word for the log."""
        try:
            with self._circuit.attempt():
                result = await self._bounded(command)
        except CircuitOpen:
            self.results["open"] += 1
            raise StoreUnavailable("open") from None
        except _Answered as problem:
            raise self._refused(operation, problem.kind) from None
        except StoreUnavailable as problem:
            raise self._failed(operation, problem.kind) from None
        self._succeeded()
        return result

    def subscription(self) -> Any:
        """A new `PubSub` of redis-py, on a connection of its own. Subscribe by `run`, read by `listen`, `aclose` it."""
        return self._open().client.pubsub()

    async def listen(self, channel: Any, seconds: float) -> Any:
        """The next message of a subscription, None when none comes in that time."""
        try:
            # More than that only where redis-py connects again on its own.
            async with asyncio.timeout(seconds + self._timeout):
                return await channel.get_message(ignore_subscribe_messages=True, timeout=seconds)
        except _PROBLEMS as problem:
            raise self._failed("listen", _kind(problem)) from None

    async def close(self) -> None:
        """Close the connections."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients.close()

    async def _bounded(self, command: Callable[[Any], Awaitable[T]]) -> T:
        clients = self._open()
        try:
            # A command that is cut off takes its connection along (redis-py closes it), so that its late reply can't
            # become the answer to somebody else's command (CVE-2023-28858).
            async with asyncio.timeout(self._timeout), clients.places:
                return await command(await clients.ready())
        except _PROBLEMS as problem:
            kind = _kind(problem)
            if isinstance(problem, exceptions.ResponseError) and kind != "failing_over":
                raise _Answered(kind) from None
            clients.is_stale = True
            raise StoreUnavailable(kind) from None

    def _open(self) -> _Clients:
        if self._clients is None:
            self._clients = _Clients(self._address, self._timeout)
        return self._clients

    def _succeeded(self) -> None:
        self.results["ok"] += 1
        self.is_available = True
        if self._told:
            self._told.clear()
            logger.info("Redis can be used")

    def _failed(self, operation: str, kind: str) -> StoreUnavailable:
        self.results[kind] += 1
        self.is_available = False
        if kind not in self._told:
            self._told.add(kind)
            logger.warning("Redis can't be used: %s: %s", operation, kind)
        return StoreUnavailable(kind)

    def _refused(self, operation: str, kind: str) -> StoreUnavailable:
        self.results[kind] += 1
        # Others work meanwhile, so there is no moment at which it is over: the first is told, the rest is counted.
        if self.results[kind] == 1:
            logger.warning("Redis refuses what it is asked, which is told once: %s: %s", operation, kind)
        return StoreUnavailable(kind)


class _Clients:
    """What redis-py needs for one address."""

    def __init__(self, address: RedisAddress, timeout: float) -> None:
        common: dict[str, Any] = {
            # The time of an operation is bounded as a whole. With this one redis-py sends by way of asyncio.wait_for,
            # which in Python 3.11 can swallow a cancellation (python/cpython#86296): a task that can't be ended.
            "socket_timeout": None,
            # Bounds the end of a connection as well: over TLS that waits for the other side.
            "socket_connect_timeout": timeout,
            # With RESP3 redis-py listens to notices of maintenance, and for them gives up the look at an idle
            # connection that tells whether the server has closed it, or a reply is left in it.
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
        }
        options = {**common, **address.options}
        self.places = asyncio.Semaphore(_AT_ONCE)
        self.is_stale = False
        """Whether connections may lead to a node that hangs, or that is no master any more."""
        self._sentinel: _Sentinel | None = None
        self.client: Redis | RedisCluster
        match address.kind:
            case "socket":
                self.client = Redis(unix_socket_path=address.path, db=address.database, **options)
            case "single":
                host, port = address.hosts[0]
                self.client = Redis(host=host, port=port, db=address.database, **options)
            case "cluster":
                self.client = _cluster(address, options)
            case "sentinel":
                # What opens the nodes is not shown to Sentinels.
                self._sentinel = _Sentinel(  # type: ignore[no-untyped-call]
                    address.hosts,
                    sentinel_kwargs={**common, **address.sentinel_options},
                    db=address.database,
                    **options,
                )
                self.client = self._sentinel.master_for(address.master)

    async def ready(self) -> Redis | RedisCluster:
        """The client, which has let go of what may be stale, and knows the nodes of the cluster."""
        if self.is_stale:
            self.is_stale = False
            if isinstance(self.client, RedisCluster):
                # A node that hangs is not found out by redis-py, so it would never ask who has taken over.
                await self.client.aclose()
            else:
                await self.client.connection_pool.disconnect(inuse_connections=False)
        # Here, for a subscription to a cluster that knows no nodes yet is a KeyError.
        await self.client.initialize()
        return self.client

    async def close(self) -> None:
        for closing in self._closings():
            with suppress(*_PROBLEMS):
                await closing()

    def _closings(self) -> Iterator[Callable[[], Awaitable[None]]]:
        yield self.client.aclose
        if isinstance(self.client, RedisCluster):
            # After a failure `aclose` of a cluster does nothing, whatever is still open.
            yield self.client.nodes_manager.aclose
            yield partial(self.client.nodes_manager.aclose, "startup_nodes")
        if self._sentinel is not None:
            yield self._sentinel.aclose


def _cluster(address: RedisAddress, options: dict[str, Any]) -> RedisCluster:
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        # The addresses of the URL remain those to begin with: all nodes may get others at once, the names stay.
        dynamic_startup_nodes=False,
        # Of idle connections a cluster client finds out by using them, so one more try is needed, after it has learned
        # the nodes anew.
        **{**options, "retry": Retry(NoBackoff(), 1)},
    )


class _Sentinel(Sentinel):
    """Asks all Sentinels at once, and believes the first that knows a master.

    redis-py asks one after the other: one that hangs would take the time of all. And it moves them in its list while
    others go through it, so that these miss some.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        asked = [asyncio.create_task(self._ask(sentinel, service_name)) for sentinel in self.sentinels]
        problem: Exception = MasterNotFoundError()
        try:
            for answer in asyncio.as_completed(asked):
                found = await answer
                if isinstance(found, tuple):
                    return found
                if isinstance(found, exceptions.AuthenticationError):
                    problem = found
        finally:
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)
        raise problem

    async def _ask(self, sentinel: Redis, name: str) -> tuple[str, int] | Exception | None:
        try:
            masters = await sentinel.sentinel_masters()
        except _PROBLEMS as problem:
            return problem
        state = masters.get(name) if isinstance(masters, dict) else None
        return (state["ip"], state["port"]) if state and self.check_master_state(state, name) else None


def _kind(problem: BaseException) -> str:
    chain: list[BaseException] = []
    # redis-py hides reasons: a master that has become a replica is a ConnectionError, no node of a cluster that lets us
    # in a RedisClusterException. What is none of its problems belongs to who called us.
    reason: BaseException | None = problem
    while isinstance(reason, _PROBLEMS) and reason not in chain:
        chain.append(reason)
        reason = reason.__cause__ or reason.__context__
    return next(kind for known, kind in _KINDS if any(isinstance(each, known) for each in chain))


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
