"""Keeps a worker in every slot: starts, shares connections out, starts again what ended, replaces what runs.

A slot is a share of the listening sockets. The sockets stay open whatever becomes of a worker, so no connection is
refused: while a slot has no worker that can decide about requests, another one accepts on its sockets too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.admin.refusals import Refusals
from gateway.config import Config
from gateway.process import assignment
from gateway.process.assignment import Assignment
from gateway.process.backoff import Backoff
from gateway.process.child import WorkerProcess, ending
from gateway.process.hub import Hub
from gateway.process.listening import Place

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for workers, in seconds.

    Each reports every second; one that was not heard of for `silence` hangs, and is ended. `start` is for its first
    report, `ready` for one that is to replace another until it can decide about requests.
    """

    silence: int = 30
    start: int = 120
    ready: float = 60.0


@dataclass(eq=False)
class Slot:
    """The place of one worker, whichever process has it now."""

    number: int
    worker: WorkerProcess | None = None
    backoff: Backoff = field(default_factory=Backoff)
    is_being_replaced: bool = False


class Keeper:
    """Keeps `count` workers. `workers` are all processes that are there, also those that are about to end.

    `on_change` is called when a worker has told something new or is gone, `on_end` with each one that has ended.
    """

    def __init__(
        self,
        config: Config,
        count: int,
        places: Sequence[Place],
        *,
        on_change: Callable[[], None],
        on_end: Callable[[WorkerProcess], None],
        patience: Patience = Patience(),
    ) -> None:
        self.workers: set[WorkerProcess] = set()
        self.restarts = 0
        self.config = config
        """What the next worker is given."""
        self._slots = [Slot(number) for number in range(count)]
        self._places = places
        self._hub = Hub(lambda: self.workers)
        self._on_change = on_change
        self._on_end = on_end
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._is_stopping = False

    def in_slots(self) -> list[WorkerProcess | None]:
        """The worker of each slot, None while there is none."""
        return [slot.worker for slot in self._slots]

    @property
    def refusals(self) -> Refusals:
        """The last ones of all workers."""
        return self._hub.refusals

    def start(self) -> None:
        """Begin to start the workers."""
        self._do(self._watch())
        for slot in self._slots:
            self._do(self._fill(slot))

    def stop_restarting(self) -> None:
        """From now on a worker that ends is gone for good, and who takes which connections stays as it is."""
        self._is_stopping = True

    async def drain(self, seconds: float) -> None:
        """Let all workers finish what runs and end, within that time."""
        self._is_stopping = True
        for worker in list(self.workers):
            if worker.report:
                worker.drain()
            else:
                worker.kill()  # it has never served
        await self._wait_until(lambda: not self.workers, seconds)

    async def close(self, seconds: float) -> None:
        """End all workers at once, and wait for that long until they have."""
        self._is_stopping = True
        self.kill()
        await self._wait_until(lambda: not self.workers, seconds)
        for task in self._tasks:
            task.cancel()

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self.workers:
            worker.kill()

    # --- one worker --------------------------------------------------------------------------------------------

    async def _fill(self, slot: Slot) -> None:
        """Put a worker into an empty slot, after growing pauses while none can be started."""
        while slot.worker is None and not self._is_stopping:
            worker = await self._spawn(slot)
            if worker is None:
                await asyncio.sleep(slot.backoff.pause())
            else:
                self._put(worker, slot)
        self._look()

    def _put(self, worker: WorkerProcess, slot: Slot) -> None:
        if slot.worker is None:
            slot.worker = worker
        else:
            worker.kill()  # the slot was filled while this one was started

    async def _spawn(self, slot: Slot) -> WorkerProcess | None:
        worker = WorkerProcess(slot.number)
        theirs = await worker.connect(self._hub.handlers(worker), self._look)
        if self._is_stopping:
            theirs.close()
            worker.abandon()
            return None
        # From here on it is told of every new revocation; those before are in what it is given.
        self.workers.add(worker)
        given = Assignment(
            slot.number,
            len(self._slots),
            self.config,
            theirs.fileno(),
            assignment.inherited(self._places),
            self._hub.revocations(),
        )
        slot.backoff.started()
        worker.config = given.config
        try:
            await worker.start(given, theirs)
        except OSError as problem:
            logger.error("worker %d can't be started: %s", slot.number, problem.strerror)
            self.workers.discard(worker)
            worker.abandon()
            return None
        logger.info("worker %d started as process %d", slot.number, worker.pid)
        self._do(self._attend(slot, worker))
        return worker

    async def _attend(self, slot: Slot, worker: WorkerProcess) -> None:
        """Wait for the end of a worker, and see that another takes its place."""
        if self._is_stopping:
            worker.kill()  # it was being started while the others were ended
        status = await worker.wait()
        self.workers.discard(worker)
        log = logger.info if worker.is_leaving else logger.error
        log("worker %d, process %d, ended: %s", slot.number, worker.pid, ending(status))
        self._on_end(worker)
        if slot.worker is worker:
            slot.worker = None
            if not slot.is_being_replaced:
                self._do(self._restart(slot, slot.backoff.pause()))
        self._look()

    async def _restart(self, slot: Slot, pause: float = 0.0) -> None:
        await asyncio.sleep(pause)
        if slot.worker is None and not self._is_stopping:
            self.restarts += 1
            await self._fill(slot)

    # --- all workers -------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Something has changed: who takes whose connections?"""
        self._changed.set()
        self._on_change()
        if self._is_stopping:
            return
        for slot in self._slots:
            if slot.worker is not None and slot.worker.is_leaving and not slot.is_being_replaced:
                # It was sent a signal of its own. It finishes, and another one starts meanwhile.
                slot.worker = None
                self._do(self._restart(slot))
        self._share_out()

    def _share_out(self) -> None:
        """Give every slot to its own worker if that one is ready, else to the one that has least to do."""
        held = [slot.worker for slot in self._slots if slot.worker is not None]
        able = [worker for worker in held if worker.is_ready] or [worker for worker in held if worker.has_started]
        if not able:
            return  # those that are about to end keep what they have, as long as they can
        shares: dict[WorkerProcess, set[int]] = {worker: set() for worker in self.workers}
        for slot in self._slots:
            taker = slot.worker if slot.worker in able else min(able, key=lambda worker: len(shares[worker]))
            shares[taker].add(slot.number)
        for worker, numbers in shares.items():
            worker.accept_on(numbers)

    async def replace_all(self) -> None:
        """Put a new worker in the place of each, one after the other; the old ones finish what runs.

        Stops at the first new one that does not get ready: the old ones go on.
        """
        if any(slot.is_being_replaced for slot in self._slots):
            logger.warning("workers are being replaced already")
            return
        for slot in self._slots:
            if not await self._replace(slot):
                logger.error("worker %d can't be replaced; it and those after it stay", slot.number)
                return
        logger.info("all workers were replaced")

    async def _replace(self, slot: Slot) -> bool:
        slot.is_being_replaced = True
        try:
            new = await self._spawn(slot)
            if new is None:
                return False
            await self._wait_until(lambda: new.is_ready or new.exit_status is not None, self._patience.ready)
            if not new.is_ready:
                new.kill()
                return False
            old, slot.worker = slot.worker, new
            self._share_out()
            if old is not None:
                old.drain()
            return True
        finally:
            slot.is_being_replaced = False
            if slot.worker is None:
                self._do(self._restart(slot, slot.backoff.pause()))
            self._look()

    async def _watch(self) -> None:
        """End workers that hang. Seconds are counted here: when this process was halted itself, nobody was silent."""
        while True:
            await asyncio.sleep(1.0)
            for worker in self.workers:
                worker.silence += 1
                if worker.silence > (self._patience.silence if worker.report else self._patience.start):
                    logger.error("worker %d, process %d, hangs and is ended", worker.slot, worker.pid)
                    worker.kill()

    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
