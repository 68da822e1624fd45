"""One call at a time for the same thing: whoever comes while it runs gets its result too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Abandoned(Exception):
    """The call was ended from outside before it had a result; who waited for it is told so, and not cancelled."""


class Flights(Generic[K, V]):
    """Calls by key, one at a time for each. A call belongs to nobody: a caller that is cancelled harms no other."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def is_running(self, key: K) -> bool:
        """Whether a call for this key is under way."""
        task = self._tasks.get(key)
        return task is not None and not task.done()

    def begin(self, key: K, make: Callable[[], Coroutine[Any, Any, V]]) -> asyncio.Task[V]:
        """The call that runs for this key, or a new one. Nobody has to wait for it."""
        task = self._tasks.get(key)
        if task is None or task.done():
            task = self._tasks[key] = asyncio.create_task(make())
            task.add_done_callback(lambda ended: self._ended(key, ended))
        return task

    async def run(self, key: K, make: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result of the call that runs for this key, or of a new one. Raises what it raises, or `Abandoned`."""
        task = self.begin(key, make)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and (caller is None or not caller.cancelling()):
                raise Abandoned from None
            raise

    async def cancel(self) -> None:
        """End all calls and wait until they have ended."""
        tasks = set(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # fetched here, for every caller may be gone


class SingleFlight(Generic[V]):
    """Runs `make` at most once at a time; see `Flights`."""

    __slots__ = ("_flights", "_make")

    def __init__(self, make: Callable[[], Awaitable[V]]) -> None:
        self._make = make
        self._flights: Flights[None, V] = Flights()

    @property
    def is_running(self) -> bool:
        """Whether a call is under way."""
        return self._flights.is_running(None)

    def begin(self) -> None:
        """Begin a call, unless one runs, without waiting for it."""
        self._flights.begin(None, self._call)

    async def run(self) -> V:
        """The result of the call that runs, or of a new one. Raises what it raises, or `Abandoned`."""
        return await self._flights.run(None, self._call)

    async def cancel(self) -> None:
        """End the call, if one runs, and wait until it has ended."""
        await self._flights.cancel()

    async def _call(self) -> V:
        return await self._make()
