"""Slots and real worker processes: who takes whose connections, hanging workers, and replacements that fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.process.child import WorkerProcess
from gateway.process.keeper import Keeper, Patience
from gateway.process.listening import bind
from tests.crew import PATIENCE, is_alive
from tests.world import AUDIENCE, ISSUER, configuration, public_jwks


class Rig:
    """A keeper of two workers and what it told."""

    def __init__(self, patience: Patience, **changes: Any) -> None:
        config = configuration(9, {"path": "/open", "public": True, "respond": {}}, log={"access": False}, **changes)
        self.places = bind(["127.0.0.1:0"], 2)
        self.changed = asyncio.Event()
        self.ended: list[WorkerProcess] = []
        self.keeper = Keeper(
            config, 2, self.places, on_change=self.changed.set, on_end=self.ended.append, patience=patience
        )

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    @property
    def is_whole(self) -> bool:
        return all(worker is not None and worker.is_ready for worker in self.keeper.in_slots())

    def shares(self) -> list[set[int]]:
        return [set(worker.accepts_on) if worker is not None else set() for worker in self.keeper.in_slots()]


@contextlib.asynccontextmanager
async def keeping(patience: Patience | None = None, **changes: Any) -> AsyncIterator[Rig]:
    rig = Rig(patience or Patience(), **changes)
    rig.keeper.start()
    try:
        await rig.until(lambda: rig.is_whole)
        yield rig
    finally:
        await rig.keeper.close(PATIENCE)
        assert not rig.keeper.workers
        for place in rig.places:
            place.close()


async def test_the_connections_of_an_empty_slot_go_to_another_worker_until_its_own_is_ready() -> None:
    async with keeping() as rig:
        assert rig.shares() == [{0}, {1}]
        first, second = rig.keeper.in_slots()
        assert first is not None
        first.kill()
        await rig.until(lambda: rig.keeper.in_slots()[0] is not first)
        assert second is not None
        assert second.accepts_on == {0, 1}
        await rig.until(lambda: rig.is_whole)
        assert rig.shares() == [{0}, {1}]
        assert rig.keeper.restarts == 1
        assert rig.ended == [first]


async def test_a_worker_that_hangs_is_ended_and_replaced() -> None:
    async with keeping(Patience(silence=4)) as rig:
        hanging = rig.keeper.in_slots()[1]
        assert hanging is not None
        os.kill(hanging.pid, signal.SIGSTOP)
        await rig.until(lambda: hanging in rig.ended)
        assert hanging.exit_status == -signal.SIGKILL
        await rig.until(lambda: rig.is_whole)


async def test_a_supervisor_that_was_halted_itself_blames_nobody() -> None:
    async with keeping(Patience(silence=5)) as rig:
        before = rig.keeper.in_slots()
        time.sleep(8)  # noqa: ASYNC251 - the event loop stands still, as when the machine sleeps
        for _ in range(20):
            await asyncio.sleep(0.05)
        assert rig.keeper.in_slots() == before


async def test_each_worker_is_replaced_when_its_successor_is_ready() -> None:
    async with keeping() as rig:
        before = rig.keeper.in_slots()
        await rig.keeper.replace_all()
        after = rig.keeper.in_slots()
        assert not set(before) & set(after)
        assert rig.is_whole
        await rig.until(lambda: len(rig.ended) == 2)
        assert set(rig.ended) == set(before)
        assert [worker.exit_status for worker in rig.ended] == [0, 0]
        assert rig.shares() == [{0}, {1}]
        assert rig.keeper.restarts == 0


async def test_a_successor_that_does_not_get_ready_replaces_nobody(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(public_jwks())
    issuer = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": str(keys)}
    async with keeping(issuers={"corp": issuer}) as rig:
        before = rig.keeper.in_slots()
        keys.write_text(json.dumps({"keys": []}))
        await asyncio.gather(rig.keeper.replace_all(), rig.keeper.replace_all())
        assert rig.keeper.in_slots() == before
        await rig.until(lambda: len(rig.ended) == 1)
        assert rig.ended[0].exit_status == 2
        assert rig.shares() == [{0}, {1}]
        keys.write_text(public_jwks())
        await rig.keeper.replace_all()
        assert not set(before) & set(rig.keeper.in_slots())


async def test_what_is_being_started_when_all_is_closed_ends_too() -> None:
    rig = Rig(Patience())
    rig.keeper.start()
    await asyncio.sleep(0.1)
    pids = [worker.pid for worker in rig.keeper.workers]
    await rig.keeper.close(PATIENCE)
    assert not rig.keeper.workers
    assert not any(is_alive(pid) for pid in pids if pid)
    for place in rig.places:
        place.close()
