"""Lets costly work be done one piece in each turn of the event loop, so that what is cheap waits for one at the most.

A flood of bad tokens arrives on many connections at once. Verified as they come, a good token that is known would wait
for all of their signatures; so it waits for one.
"""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.http.inline_task import Wakeup


class Turns:
    """The turns of one event loop."""

    __slots__ = ("_is_taken", "_waiting")

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: deque[Wakeup] = deque()

    async def take(self) -> None:
        """Go on now if nobody has had this turn; else in a later one, in order."""
        if self._is_taken:
            wakeup = Wakeup()
            self._waiting.append(wakeup)
            await wakeup
        else:
            self._is_taken = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            wakeup = self._waiting.popleft()
            if wakeup.is_due:
                continue  # who waited has gone away
            asyncio.get_running_loop().call_soon(self._next)
            wakeup.wake()
            return
        self._is_taken = False
