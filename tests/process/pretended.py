"""Workers without processes: a real `WorkerProcess`, and at the other end of its channel the test itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from gateway.process.child import WorkerProcess
from gateway.process.control import Channel, Handler

READY: Mapping[str, Any] = {"ready": True, "started": True, "draining": False, "issuers": {"corp": "ready"}}


class Pretended:
    """One worker as its supervisor sees it, and the channel by which the test speaks for it."""

    def __init__(self, slot: int) -> None:
        self.worker = WorkerProcess(slot)
        self.changes = 0
        self.channel: Channel

    async def connect(self, handlers: Mapping[str, Handler], answers: Mapping[str, Handler]) -> None:
        """`handlers` are the supervisor's, `answers` the worker's."""
        theirs = await self.worker.connect(handlers, self._changed)
        self.channel = await Channel.open(theirs, {"take": lambda _: None, **answers})

    def _changed(self) -> None:
        self.changes += 1

    async def say(self, name: str, body: Any = None) -> None:
        """Tell the supervisor something, and wait until it has heard."""
        self.channel.tell(name, body)
        await self.channel.ask("heard", timeout=10)


@contextlib.asynccontextmanager
async def pretended(
    *answers: Mapping[str, Handler], handlers: Callable[[WorkerProcess], Mapping[str, Handler]] = lambda _: {}
) -> AsyncIterator[list[Pretended]]:
    """A ready worker for each mapping of answers."""
    workers = [Pretended(slot) for slot in range(len(answers))]
    for each, theirs in zip(workers, answers, strict=True):
        await each.connect({**handlers(each.worker), "heard": lambda _: None}, theirs)
        await each.say("report", dict(READY))
    try:
        yield workers
    finally:
        for each in workers:
            each.channel.close()
            each.worker.abandon()
            await each.channel.wait_closed()
