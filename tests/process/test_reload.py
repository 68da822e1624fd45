"""Reading a configuration again: what is asked for, one at a time, what comes of it, and what operators are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.figures import Figures
from gateway.admin.operations import Outcome
from gateway.config import Config, ConfigError, ConfigFiles, load
from gateway.process.reload import NotTaken, Reloader, ReloadOperation, ReportedReload, as_json, as_problem
from tests.http.origin import until

ROUTES: dict[str, Any] = {"routes": [{"path": "/", "public": True, "respond": {}}]}


@dataclass
class Setting:
    """A file, and what was taken of it."""

    file: Path
    now: list[float] = field(default_factory=lambda: [1000.0])
    taken: list[Config] = field(default_factory=list)
    may_take: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None
    reloader: Reloader = field(init=False)

    def __post_init__(self) -> None:
        self.may_take.set()
        self.write()
        files = ConfigFiles(self.file, {})
        config = load(self.file, {})
        self.reloader = Reloader(config, files, self.take, look_every=0.02, clock=lambda: self.now[0])

    def write(self, **changes: Any) -> None:
        self.file.write_text(json.dumps({**ROUTES, **changes}))

    async def take(self, config: Config) -> None:
        self.taken.append(config)
        await self.may_take.wait()
        if self.failure is not None:
            raise self.failure

    def figures(self) -> list[float]:
        figures = Figures()
        self.reloader.tell(figures)
        return [row[1][0][1][0] for row in figures.as_json().items()]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reloader.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture
def s(tmp_path: Path) -> Setting:
    return Setting(tmp_path / "gateway.yaml")


async def test_a_good_configuration_is_taken_and_is_the_one_in_use(s: Setting) -> None:
    assert s.figures() == [1, 1000.0]
    s.write(external_url="https://a.example")
    s.now[0] = 2000.0
    assert await s.reloader.outcome() == Outcome(200, {"reloaded": True, "needs_restart": []})
    assert s.reloader.config is s.taken[0]
    assert s.reloader.config.external_url == "https://a.example"
    assert (s.figures(), s.reloader.report()) == ([1, 2000.0], {"state": "current"})


async def test_a_bad_one_is_told_of_with_every_problem_and_changes_nothing(s: Setting) -> None:
    before = s.reloader.config
    s.write(limits={"headers": 0}, log={"level": "loud"})
    s.now[0] = 2000.0
    outcome = await s.reloader.outcome()
    assert (outcome.status, [problem["path"] for problem in outcome.members["problems"]]) == (
        422,
        ["limits.headers", "log.level"],
    )
    assert (s.taken, s.reloader.config) == ([], before)
    assert s.figures() == [0, 1000.0]
    report = s.reloader.report()
    assert (report["state"], report["since"]) == ("refused", 2000.0)
    assert report["problem"].startswith(f"{s.file}:1:")
    assert report["problem"].endswith(" (and 1 more)")
    s.file.unlink()
    assert (await s.reloader.outcome()).status == 422
    assert s.reloader.report()["problem"] == f"{s.file}: there is no such file or folder"


@pytest.mark.parametrize(
    ("failure", "status", "told"),
    [
        (ConfigError(()), 409, ""),
        (NotTaken("worker 1 could not prepare it"), 409, "worker 1 could not prepare it"),
        (RuntimeError("a defect"), 409, "it failed in an unexpected way; the log says where"),
    ],
    ids=["problems", "not taken", "defect"],
)
async def test_one_that_nobody_takes_is_not_in_use(s: Setting, failure: Exception, status: int, told: str) -> None:
    before = s.reloader.config
    if isinstance(failure, ConfigError):
        with pytest.raises(ConfigError) as wrong:
            load("/nowhere", {})
        failure, status, told = wrong.value, 422, "/nowhere: there is no such file or folder"
    s.failure = failure
    outcome = await s.reloader.outcome()
    assert (outcome.status, s.reloader.config, s.reloader.report()["problem"]) == (status, before, told)
    s.failure = None
    assert (await s.reloader.outcome()).status == 200


async def test_what_needs_a_restart_is_named_until_it_is_as_before(s: Setting) -> None:
    s.write(workers=2)
    assert await s.reloader.outcome() == Outcome(200, {"reloaded": True, "needs_restart": ["workers"]})
    assert s.reloader.config.workers == 1
    assert s.reloader.report() == {"state": "current", "needs_restart": ["workers"]}
    s.write()
    await s.reloader.reload("a test")
    assert s.reloader.report() == {"state": "current"}


async def test_reloads_come_one_after_the_other(s: Setting) -> None:
    s.may_take.clear()
    reloads = [asyncio.create_task(s.reloader.reload("a test")) for _ in range(3)]
    await until(lambda: len(s.taken) == 1)
    await asyncio.sleep(0.05)
    assert len(s.taken) == 1
    s.may_take.set()
    assert await asyncio.gather(*reloads) == [None] * 3
    assert len(s.taken) == 3


async def test_it_is_reloaded_when_somebody_asks_and_when_the_file_has_changed(s: Setting) -> None:
    async with s.running():
        s.reloader.ask()
        await until(lambda: len(s.taken) == 1)
        s.write(external_url="https://a.example")
        await until(lambda: len(s.taken) == 2)
        s.file.write_text("routes: [")
        await until(lambda: s.reloader.refused is not None)
        s.write(external_url="https://b.example")
        await until(lambda: len(s.taken) == 3)
        await until(lambda: s.reloader.refused is None)
        # Nothing has happened since.
        await asyncio.sleep(0.2)
        assert len(s.taken) == 3


async def test_without_files_or_at_the_end_there_is_nothing_to_reload(s: Setting) -> None:
    embedded = Reloader(s.reloader.config, None, s.take)
    detail = "The configuration was not taken: there is no file to read it from again."
    assert await embedded.outcome() == Outcome(409, {"detail": detail})
    s.reloader.stop()
    detail = "The configuration was not taken: the gateway is shutting down."
    assert await s.reloader.outcome() == Outcome(409, {"detail": detail})
    assert s.taken == []


async def test_operators_reload_by_an_operation_and_see_it_beside_the_status(s: Setting) -> None:
    class Healthy:
        started = True

        def report(self) -> dict[str, Any]:
            return {"ready": True}

    async def others(name: str, members: Any) -> Outcome:
        return Outcome(200, {"name": name, **members})

    operations = ReloadOperation(s.reloader, others)
    assert await operations("explain", {"url": "/"}) == Outcome(200, {"name": "explain", "url": "/"})
    assert (await operations("reload", {})).members["reloaded"] is True
    reported = ReportedReload(s.reloader, Healthy())
    assert (reported.started, reported.report()) == (True, {"ready": True, "configuration": {"state": "current"}})


def test_problems_go_from_one_process_to_another(s: Setting) -> None:
    s.write(workers=0)
    with pytest.raises(ConfigError) as wrong:
        load(s.file, {})
    for problem in wrong.value.problems:
        assert as_problem(json.loads(json.dumps(as_json(problem)))) == problem
