"""What one worker tells reaches the others, over real channels: revocations, and what may count only once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gateway.access.revocation import Revocation
from gateway.process.child import WorkerProcess
from gateway.process.control import Handler
from gateway.process.hub import Hub
from tests.process.pretended import pretended


def entry(id: str, *, seconds: float = 60, **changes: Any) -> dict[str, Any]:
    now = time.time()
    return Revocation(id, "corp", "sub", "u1", now, now + seconds, **changes).as_json()


def taking(taken: list[Any]) -> dict[str, Handler]:
    return {"take": taken.extend}


async def test_a_revocation_goes_to_all_others_once_and_to_those_that_come_later() -> None:
    workers: set[WorkerProcess] = set()
    hub = Hub(lambda: workers)
    taken: list[list[Any]] = [[], [], []]
    async with pretended(*map(taking, taken), handlers=hub.handlers) as there:
        workers.update(each.worker for each in there)
        first = entry("1")
        await there[0].say("revoked", first)
        await there[1].say("revoked", first)  # it heard of it from Redis as well
        for each in there:
            await each.worker.settle(10)
        assert taken == [[], [first], [first]]
        withdrawn = entry("1", is_withdrawn=True)
        await there[2].say("revoked", withdrawn)
        await there[1].say("revoked", first)  # late: what was withdrawn stays so
        for each in there:
            await each.worker.settle(10)
        assert taken == [[withdrawn], [first, withdrawn], [first]]
        assert [each.as_json() for each in hub.revocations()] == [withdrawn]


async def test_what_has_ended_is_passed_on_to_nobody() -> None:
    hub = Hub(list)
    async with pretended({}, handlers=hub.handlers) as (only,):
        await only.say("revoked", entry("1", seconds=-1))
        assert hub.revocations() == ()


async def test_a_worker_that_says_nonsense_is_not_listened_to_any_more() -> None:
    hub = Hub(list)
    async with pretended({}, handlers=hub.handlers) as (only,):
        only.channel.tell("revoked", {"id": "1", "issuer": 5})
        async with asyncio.timeout(10):
            await only.channel.wait_closed()
        assert only.worker.is_gone
        assert not only.worker.is_ready
        assert hub.revocations() == ()


async def test_a_name_is_taken_once_whoever_asks_and_free_when_its_time_is_over() -> None:
    now = [1000.0]
    hub = Hub(list, clock=lambda: now[0])
    async with pretended({}, {}, handlers=hub.handlers) as (left, right):

        async def is_first(name: str) -> list[bool]:
            asked = {"name": name, "seconds": 10}
            return await asyncio.gather(*(each.channel.ask("once", asked, timeout=10) for each in (left, right) * 3))

        assert sorted(await is_first("a")) == [False] * 5 + [True]
        assert sorted(await is_first("b")) == [False] * 5 + [True]
        now[0] += 9
        assert set(await is_first("a")) == {False}
        now[0] += 2
        assert sorted(await is_first("a")) == [False] * 5 + [True]
