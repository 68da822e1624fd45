"""What the workers share by way of their supervisor: the deny list, what may count only once, and the last refusals.

The supervisor keeps them, so that they outlive any worker. Nothing of it needs Redis; what workers hear from there
passes through here too, so that a worker that is started while Redis is away knows what the others know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from gateway.access.revocation import DenyList, Revocation
from gateway.admin.refusals import Refusal, Refusals
from gateway.cache.seen_once import SeenOnce
from gateway.process.child import WorkerProcess
from gateway.process.control import Handler


class Hub:
    """Passes on what one worker tells to the others. `workers` gives those that are there now."""

    def __init__(
        self, workers: Callable[[], Collection[WorkerProcess]], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._workers = workers
        self._clock = clock
        self._deny_list = DenyList(clock=clock)
        self._seen = SeenOnce("workers", clock=clock)
        self.refusals = Refusals(clock)
        """The last ones of all workers, those that have ended included."""

    def revocations(self) -> tuple[Revocation, ...]:
        """All that hold, or were withdrawn and could come back."""
        return tuple(self._deny_list)

    def handlers(self, teller: WorkerProcess) -> dict[str, Handler]:
        """What takes the messages of one worker."""

        def take(members: dict[str, Any]) -> None:
            entry = Revocation.from_json(members)
            if self._deny_list.take(entry):
                for worker in self._workers():
                    if worker is not teller:
                        worker.take([members])

        async def once(asked: dict[str, Any]) -> bool:
            return await self._seen.is_first(str(asked["name"]), until=self._clock() + float(asked["seconds"]))

        return {
            "revoked": take,
            "once": once,
            "refused": lambda entries: self.refusals.add(map(Refusal.from_json, entries)),
        }
