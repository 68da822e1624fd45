"""What several workers say as one: readiness, figures and outcomes, from what each of them tells over its channel."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.admin.figures import Figures
from gateway.admin.operations import Outcome
from gateway.process.child import WorkerProcess
from gateway.process.control import Handler
from gateway.process.together import CountedTogether, OperatedTogether, Readiness
from tests.process.pretended import READY, Pretended, pretended

ENTRY = {"id": "1", "issuer": "corp", "created_at": 1.0, "delivered": True}


# --- readiness ---------------------------------------------------------------------------------------------------


async def test_the_start_is_over_when_all_have_started_and_ready_when_all_are() -> None:
    async with pretended({}, {}) as there:
        readiness = Readiness(lambda: [each.worker for each in there])
        for each in there:
            each.worker.report = {}
        for reports, expected in (
            ([{}, {}], (False, False)),
            ([READY, {}], (False, False)),
            ([READY, {**READY, "ready": False}], (True, False)),
            ([READY, READY], (True, True)),
        ):
            for each, report in zip(there, reports, strict=True):
                each.worker.report = report
            readiness.look()
            assert (readiness.started, readiness.report()["ready"]) == expected


async def test_afterwards_one_that_is_ready_is_enough_and_the_others_are_named() -> None:
    async with pretended({}, {}, {}) as there:
        slots: list[WorkerProcess | None] = [each.worker for each in there]
        readiness = Readiness(lambda: slots)
        readiness.look()
        slots[0] = None
        await there[1].say("leaving")
        report = readiness.report()
        assert report["workers"] == {"0": "restarting", "1": "leaving", "2": "ready"}
        assert (report["ready"], report["started"]) == (True, True)
        await there[2].say("report", {**READY, "ready": False, "issuers": {"corp": "waiting"}})
        report = readiness.report()
        assert report["workers"]["2"] == "waiting"
        assert (report["ready"], report["issuers"]) == (False, {"corp": "waiting"})


async def test_whoever_drains_is_not_ready() -> None:
    async with pretended({}) as there:
        readiness = Readiness(lambda: [each.worker for each in there])
        readiness.look()
        readiness.draining = True
        assert readiness.report()["ready"] is False
        assert readiness.report()["draining"] is True


async def test_an_issuer_or_redis_is_well_only_where_all_say_so() -> None:
    redis = {"state": "ready", "required": True}
    async with pretended({}, {}) as there:
        readiness = Readiness(lambda: [each.worker for each in there])
        await there[0].say("report", {**READY, "issuers": {"a": "ready", "b": "waiting"}, "redis": redis})
        lost = {**redis, "state": "unavailable"}
        await there[1].say("report", {**READY, "issuers": {"a": "waiting", "b": "ready"}, "redis": lost})
        report = readiness.report()
        assert report["issuers"] == {"a": "waiting", "b": "waiting"}
        assert report["redis"] == lost


# --- figures -----------------------------------------------------------------------------------------------------


def figures(requests: float, in_flight: float) -> Figures:
    made = Figures()
    made.put("gateway_requests", [(("r", "GET", "200"), [requests])])
    made.one("gateway_requests_in_flight", in_flight)
    return made


def telling(requests: float, in_flight: float = 1) -> dict[str, Handler]:
    return {"figures": lambda _: figures(requests, in_flight).as_json()}


@dataclass
class Kept:
    """What the figures need to know of whoever keeps the workers."""

    there: list[Pretended]
    restarts: int = 0
    gone: list[WorkerProcess] = field(default_factory=list)

    @property
    def workers(self) -> list[WorkerProcess]:
        return [each.worker for each in self.there if each.worker not in self.gone]

    def in_slots(self) -> list[WorkerProcess | None]:
        return list(self.workers)


def values(text: bytes) -> Iterator[tuple[str, float]]:
    for line in text.decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name.partition("{")[0], float(value)


async def test_counts_of_the_ended_stay_and_their_gauges_go() -> None:
    async with pretended(telling(5), telling(7)) as there:
        kept = Kept(there)
        counted = CountedTogether(kept)
        expected = {"gateway_requests_total": 12, "gateway_requests_in_flight": 2, "gateway_workers": 2}
        assert dict(values((await counted.figures()).render())) == {**expected, "gateway_worker_restarts_total": 0}
        kept.gone.append(there[0].worker)
        kept.restarts = 1
        counted.take_over(there[0].worker)
        expected = {"gateway_requests_total": 12, "gateway_requests_in_flight": 1, "gateway_workers": 1}
        assert dict(values((await counted.figures()).render())) == {**expected, "gateway_worker_restarts_total": 1}


async def test_of_a_worker_that_does_not_answer_the_last_figures_count() -> None:
    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    async with pretended({"figures": never}, telling(7)) as there:
        await there[0].say("figures", figures(5, 1).as_json())
        assert dict(values((await CountedTogether(Kept(there)).figures()).render()))["gateway_requests_total"] == 12


# --- operations --------------------------------------------------------------------------------------------------


def operating(outcome: Outcome, asked: list[Any] | None = None, **more: Handler) -> dict[str, Handler]:
    def operate(body: dict[str, Any]) -> dict[str, Any]:
        if asked is not None:
            asked.append((body["operation"], body["members"]))
        return {"status": outcome.status, "members": outcome.members}

    return {"operate": operate, **more}


def operated(there: list[Pretended]) -> OperatedTogether:
    return OperatedTogether(lambda: [each.worker for each in there])


async def test_a_decision_is_explained_by_one_worker_and_by_another_when_that_one_ends() -> None:
    asked: list[list[Any]] = [[], []]
    told = Outcome(200, {"allowed": True})
    async with pretended(*(operating(told, each) for each in asked)) as there:
        assert await operated(there)("explain", {"url": "/x"}) == told
        assert sorted(map(len, asked)) == [0, 1]
        there[0].channel.close()
        await asyncio.sleep(0.05)
        assert await operated(there)("explain", {"url": "/y"}) == told
        assert asked[1][-1] == ("explain", {"url": "/y"})


async def test_keys_are_fetched_by_all_and_well_only_where_all_have_them() -> None:
    good, bad = (
        Outcome(200, {"issuers": {"a": "ok", "b": "ok"}}),
        Outcome(200, {"issuers": {"a": "ok", "b": "timeout"}}),
    )
    async with pretended(operating(good), operating(bad)) as there:
        assert await operated(there)("refresh_keys", {}) == bad
    invalid = Outcome(400, {"member": "issuer"})
    async with pretended(operating(invalid), operating(invalid)) as there:
        assert await operated(there)("refresh_keys", {"issuer": "x"}) == invalid


async def test_entries_are_listed_once_and_delivered_only_where_nobody_denies_it() -> None:
    later = {**ENTRY, "id": "0", "created_at": 2.0}
    first = Outcome(200, {"revocations": [ENTRY, later]})
    second = Outcome(200, {"revocations": [{**ENTRY, "delivered": False}]})
    async with pretended(operating(first), operating(second)) as there:
        listed = await operated(there)("revocations", {})
        assert listed.members == {"revocations": [{**ENTRY, "delivered": False}, later]}


async def test_a_revocation_is_answered_when_all_have_it_and_says_so_when_one_does_not_answer() -> None:
    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    made = Outcome(201, dict(ENTRY))
    async with pretended(operating(made), operating(made)) as there:
        assert await operated(there)("revoke", {}) == made
    async with pretended(operating(made), operating(made, take=never)) as there:
        assert await operated(there)("revoke", {}) == Outcome(201, {**ENTRY, "delivered": False})
        # One that has ended needs not be told.
        there[1].channel.close()
        await asyncio.sleep(0.05)
        assert await operated(there)("revoke", {}) == made


@pytest.mark.parametrize("name", ["revoke", "revocations", "withdraw", "explain", "refresh_keys"])
async def test_without_a_worker_nobody_can_answer(name: str) -> None:
    assert (await operated([])(name, {})).status == 503
    async with pretended({}) as there:
        there[0].worker.report = {}
        assert (await operated(there)(name, {})).status == 503
