"""One call at a time for the same thing: whoever comes while it runs gets its result too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class SingleFlight(Generic[V]):
    """Runs `make` at most once at a time. The call belongs to nobody: a caller that is cancelled harms no other."""

    __slots__ = ("_make", "_task")

    def __init__(self, make: Callable[[], Awaitable[V]]) -> None:
        self._make = make
        self._task: asyncio.Task[V] | None = None

    @property
    def is_running(self) -> bool:
        """Whether a call is under way."""
        return self._task is not None and not self._task.done()

    async def run(self) -> V:
        """The result of the call that runs, or of a new one. Raises what it raises."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._call())
            self._task.add_done_callback(self._ended)
        return await asyncio.shield(self._task)

    async def cancel(self) -> None:
        """End the call, if one runs, and wait until it has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _call(self) -> V:
        return await self._make()

    def _ended(self, task: asyncio.Task[V]) -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled():
            task.exception()  # fetched here, for every caller may be gone
