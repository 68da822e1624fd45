"""A real worker process with the test as its supervisor: what it tells, what it does when told, and all its ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.access.revocation import Revocation
from gateway.admin.operations import Outcome
from gateway.process.assignment import Assignment, inherited
from gateway.process.child import WorkerProcess, ending
from gateway.process.listening import bind
from tests.crew import PATIENCE
from tests.dialogue import Answer, request, talk
from tests.world import bearer, configuration

ROUTES = ({"path": "/open", "public": True, "respond": {"body": "hi"}}, {"path": "/x", "respond": {"body": "hi"}})


class Rig:
    """A worker, the sockets of two slots, and what it has told."""

    def __init__(self, **changes: Any) -> None:
        changes.setdefault("log", {"access": False})
        self.config = configuration(9, *ROUTES, **changes)
        self.worker = WorkerProcess(0)
        self.places = bind(["127.0.0.1:0"], 2)
        self.revoked: list[Any] = []
        self.changed = asyncio.Event()

    async def start(self, *revocations: Revocation, config: Any = None) -> None:
        handlers = {"revoked": self.revoked.append, "once": lambda _: True}
        theirs = await self.worker.connect(handlers, self.changed.set)
        given = Assignment(0, 2, config or self.config, theirs.fileno(), inherited(self.places), revocations)
        await self.worker.start(given, theirs)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def ask(self, path: str, *headers: str) -> Answer:
        host, _, port = self.places[0].address.rpartition(":")
        return await talk((host, int(port)), request("GET", path, *headers), patience=PATIENCE)

    async def ends(self, seconds: float = PATIENCE) -> int:
        async with asyncio.timeout(seconds):
            return await self.worker.wait()


@contextlib.asynccontextmanager
async def worker(*revocations: Revocation, **changes: Any) -> AsyncIterator[Rig]:
    rig = Rig(**changes)
    try:
        await rig.start(*revocations)
        await rig.until(lambda: rig.worker.is_ready)
        rig.worker.accept_on({0, 1})
        yield rig
    finally:
        rig.worker.kill()
        await rig.worker.wait()
        for place in rig.places:
            place.close()


async def test_it_serves_what_it_is_told_to_and_ends_well_when_it_has_drained() -> None:
    async with worker() as rig:
        assert [(await rig.ask("/open")).status for _ in range(10)] == [200] * 10
        await rig.worker.refresh_figures()
        assert b'gateway_requests_total{method="GET",route="/open",status="200"} 10.0' in rig.worker.figures.render()
        # Connections of a slot that it does not accept on wait for whoever does.
        rig.worker.accept_on(())
        await rig.worker.settle(10)
        waiting = asyncio.create_task(rig.ask("/open"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        rig.worker.accept_on({0, 1})
        assert (await waiting).status == 200
        rig.worker.drain()
        assert await rig.ends() == 0
        # Its last words: everything it had counted.
        assert b'gateway_requests_total{method="GET",route="/open",status="200"} 11.0' in rig.worker.figures.render()
        assert rig.worker.is_gone


async def test_it_knows_what_was_revoked_before_it_started_and_tells_what_it_revokes_itself() -> None:
    now = time.time()
    old = Revocation("1", "corp", "jti", "t1", now, now + 600)
    new = Revocation("2", "corp", "jti", "t2", now, now + 600)
    async with worker(old) as rig:
        assert (await rig.ask("/x", bearer(jti="t1"))).status == 401
        assert (await rig.ask("/x", bearer(jti="t2"))).status == 200
        rig.worker.take([new.as_json()])
        await rig.worker.settle(10)
        assert (await rig.ask("/x", bearer(jti="t2"))).status == 401
        # What it was told itself is no news.
        assert rig.revoked == []
        made = await rig.worker.operate("revoke", {"issuer": "corp", "jti": "t3"})
        assert made.status == 201
        assert [entry["jti"] for entry in rig.revoked] == ["t3"]
        listed = await rig.worker.operate("revocations", {})
        assert [entry["jti"] for entry in listed.members["revocations"]] == ["t1", "t2", "t3"]
        assert (await rig.worker.operate("revoke", {"issuer": "x"})) == Outcome(
            400, {"member": "issuer", "detail": "There is no issuer of that name; there are corp."}
        )


async def test_sent_sigterm_it_says_so_and_goes_on_for_drain_delay() -> None:
    async with worker(timeouts={"drain_delay": "2s"}) as rig:
        os.kill(rig.worker.pid, signal.SIGTERM)
        await rig.until(lambda: rig.worker.is_leaving)
        assert not rig.worker.is_ready
        assert (await rig.ask("/open")).status == 200
        assert await rig.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
async def test_signals_for_the_supervisor_do_nothing(number: signal.Signals) -> None:
    async with worker() as rig:
        os.kill(rig.worker.pid, number)
        assert (await rig.ask("/open")).status == 200
        await rig.worker.settle(10)
        assert not rig.worker.is_leaving


async def test_when_the_channel_ends_so_does_the_worker() -> None:
    async with worker() as rig:
        rig.worker.abandon()
        assert await rig.ends(20) == 0


async def test_a_killed_one_is_dead_by_a_signal() -> None:
    async with worker() as rig:
        rig.worker.kill()
        assert ending(await rig.ends()) == "signal SIGKILL"
        rig.worker.accept_on({0})  # nobody hears it, and nothing happens


async def test_a_configuration_that_can_not_be_built_is_exit_status_2() -> None:
    rig = Rig()
    issuer = {"issuer": "https://a.example", "audience": "a", "jwks": {"keys": []}}
    await rig.start(config=configuration(9, *ROUTES, issuers={"corp": issuer}))
    assert await rig.ends() == 2
    assert rig.worker.report == {}
    for place in rig.places:
        place.close()


async def test_no_descriptor_of_the_supervisor_but_its_own_is_inherited() -> None:
    with socket.socket() as secret:
        secret.bind(("127.0.0.1", 0))
        async with worker() as rig:
            ours = {what_is(os.getpid(), each.fileno()) for place in rig.places for each in place.sockets}
            theirs = {what_is(rig.worker.pid, number) for number in range(300)}
            assert ours <= theirs
            assert what_is(os.getpid(), secret.fileno()) not in theirs


def what_is(pid: int, descriptor: int) -> str:
    """What a descriptor of a process leads to; empty for one that is not open."""
    try:
        return str(Path(f"/proc/{pid}/fd/{descriptor}").readlink())
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("status", "words"), [(0, "exit status 0"), (70, "exit status 70"), (-9, "signal SIGKILL"), (-99, "signal 99")]
)
def test_an_exit_status_is_told_in_words(status: int, words: str) -> None:
    assert ending(status) == words
