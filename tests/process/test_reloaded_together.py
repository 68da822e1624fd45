"""All workers or none: a reload when one of them can't prepare it, does not go over, or has only just been started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from gateway.config import Config, ConfigError, Location, Problem
from gateway.process.child import WorkerProcess
from gateway.process.control import Handler
from gateway.process.keeper import Keeper
from gateway.process.reload import NotTaken, as_json
from gateway.process.reloaded_together import take_together
from tests.http.origin import until
from tests.process.pretended import Pretended, pretended
from tests.world import configuration

PROBLEM = Problem(Location("gateway.yaml", 3, 5), "issuers.corp.jwks_file", "can't be used: no such file")


@dataclass
class Worker:
    """What a worker was told, and how it answers."""

    prepares: Callable[[], Any] = list
    swaps: Callable[[], Any] = lambda: None
    told: list[str] = field(default_factory=list)

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "prepare": lambda _: (self.told.append("prepare"), self.prepares())[1],
            "swap": lambda _: (self.told.append("swap"), self.swaps())[1],
            "abandon": lambda _: self.told.append("abandon"),
        }


class Kept:
    """What `take_together` needs of a keeper."""

    def __init__(self, there: list[Pretended]) -> None:
        self.workers: set[WorkerProcess] = {each.worker for each in there}
        self.config: Config | None = None


async def taken(there: list[Pretended], config: Config) -> Kept:
    kept = Kept(there)
    try:
        await take_together(cast("Keeper", kept), config)
    finally:
        await asyncio.gather(*(each.channel.ask("heard", timeout=10) for each in there if not each.worker.is_gone))
    return kept


@pytest.fixture
def config() -> Config:
    return configuration(9, {"path": "/", "public": True, "respond": {}})


async def test_every_worker_prepares_before_any_goes_over(config: Config) -> None:
    one, other = Worker(), Worker()
    one.prepares = other.prepares = lambda: [] if one.told[-1:] + other.told[-1:] != ["swap"] else [{}]
    async with pretended(one.handlers(), other.handlers()) as there:
        kept = await taken(there, config)
        assert one.told == other.told == ["prepare", "swap"]
        assert kept.config is config
        assert all(worker.config is config for worker in kept.workers)


async def test_when_one_has_problems_none_goes_over(config: Config) -> None:
    one, other = Worker(), Worker(lambda: [as_json(PROBLEM)])
    async with pretended(one.handlers(), other.handlers()) as there:
        with pytest.raises(ConfigError) as wrong:
            await taken(there, config)
        assert wrong.value.problems == (PROBLEM,)
        await until(lambda: one.told == other.told == ["prepare", "abandon"])


async def test_when_one_fails_none_goes_over(config: Config) -> None:
    async def fail() -> None:
        raise RuntimeError("a defect")

    one, other = Worker(), Worker(fail)
    async with pretended(one.handlers(), other.handlers()) as there:
        with pytest.raises(NotTaken, match="worker 1 could not prepare it"):
            await taken(there, config)
        await until(lambda: one.told[-1] == "abandon")


async def test_one_that_ends_meanwhile_or_is_about_to_is_no_reason_against_it(config: Config) -> None:
    ending, leaving, staying = Worker(), Worker(), Worker()
    async with pretended(ending.handlers(), leaving.handlers(), staying.handlers()) as there:
        ending.prepares = there[0].channel.close
        await there[1].say("leaving")
        kept = await taken(there, config)
        assert (kept.config, staying.told, leaving.told) == (config, ["prepare", "swap"], [])


async def test_one_that_does_not_go_over_is_ended(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("a defect")

    one, other = Worker(), Worker(swaps=fail)
    async with pretended(one.handlers(), other.handlers()) as there:
        kept = await taken(there, config)
        assert (kept.config, there[0].worker.config, there[1].worker.config) == (config, config, None)
        assert "worker 1, process 0, does not go over and is ended" in caplog.text


async def test_one_that_was_begun_with_the_old_one_is_brought_over_and_one_with_the_new_is_left_alone(
    config: Config,
) -> None:
    first, late, new = Worker(), Worker(), Worker()
    async with pretended(first.handlers(), late.handlers(), new.handlers()) as there:
        kept = Kept(there[:1])
        there[2].worker.config = config

        def begun_meanwhile() -> list[Any]:
            kept.workers |= {there[1].worker, there[2].worker}
            return []

        first.prepares = begun_meanwhile
        await take_together(cast("Keeper", kept), config)
        assert (first.told, late.told, new.told) == (["prepare", "swap"], ["prepare", "swap"], [])
