"""Reads the configuration again, because somebody asks for it or its files have changed, and has it taken over.

What does not build changes nothing: it is told of in the log, in metrics and at `/readyz`, and tried again when the
files change the next time. Who takes it over, this process or its workers, is another matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.admin.figures import Figures
from gateway.admin.listener import Status
from gateway.admin.operations import Members, Operations, Outcome
from gateway.config import Config, ConfigError, ConfigFiles, Location, Problem, load
from gateway.config.fixed import kept

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between looks at the files. A change has to be seen twice, so it is taken within three seconds or so."""


class NotTaken(Exception):
    """The configuration is good, and could not be taken over all the same; the message says why."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A reload that came to nothing. `problem` says why in a line, `problems` are those of the configuration."""

    at: float
    problem: str
    problems: tuple[Problem, ...] = ()


class Reloader:
    """Keeps the configuration in use equal to what its files say. `take` has it taken over, or raises `ConfigError`
    or `NotTaken`; `files` is None where there is nothing to read again.
    """

    def __init__(
        self,
        config: Config,
        files: ConfigFiles | None,
        take: Callable[[Config], Awaitable[None]],
        *,
        look_every: float = LOOK_EVERY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        """The one in use."""
        self.taken_at = clock()
        self.refused: Refused | None = None
        """What became of the last reload, if it came to nothing."""
        self.needs_restart: tuple[str, ...] = ()
        """Keys that say something else in the files than what is in use, until a restart."""
        self._files = files
        self._take = take
        self._look_every = look_every
        self._clock = clock
        self._is_over = False
        self._asked = asyncio.Event()
        self._turn = asyncio.Lock()
        self._attempt: asyncio.Task[Refused | None] | None = None
        if files is not None:
            files.follow(config, is_in_use=True)

    def ask(self) -> None:
        """Reload soon (SIGHUP)."""
        self._asked.set()

    def stop(self) -> None:
        """The gateway ends: what it has is what it keeps."""
        self._is_over = True

    async def close(self) -> None:
        """End also a reload that is under way."""
        self.stop()
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])

    async def run(self) -> None:
        """Reload whenever that is asked for, or the files have changed, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_every):
                    await self._asked.wait()
            try:
                await self._look()
            except Exception:
                # A defect of ours must not end the looking for good.
                logger.exception("whether the configuration has changed can't be told")
                await asyncio.sleep(self._look_every)

    async def _look(self) -> None:
        if self._asked.is_set():
            self._asked.clear()
            await self.reload("SIGHUP")
        elif self._files is not None and self._files.look():
            await self.reload("the files have changed")

    async def reload(self, cause: str) -> Refused | None:
        """Read everything again, and take it over if it is good; what is wrong, or None. One at a time."""
        async with self._turn:
            self._attempt = asyncio.create_task(self._try())
            self.refused = await self._attempt
            if self.refused is None:
                needs = f"; a restart is needed for {', '.join(self.needs_restart)}" if self.needs_restart else ""
                logger.info("configuration reloaded (%s)%s", cause, needs)
            else:
                problem = "; ".join(map(str, self.refused.problems)) or self.refused.problem
                logger.error("configuration not reloaded (%s), the one before goes on: %s", cause, problem)
            return self.refused

    async def _try(self) -> Refused | None:
        if self._is_over:
            return self._refuse("the gateway is shutting down")
        if self._files is None:
            return self._refuse("there is no file to read it from again")
        self._files.note()
        try:
            # In a thread: thousands of routes take seconds, and requests must not wait for them.
            read = await asyncio.to_thread(load, self._files.path, self._files.environ)
            self._files.follow(read, is_in_use=False)
            config, needs_restart = kept(read, self.config)
            await self._take(config)
        except ConfigError as error:
            return self._refuse(_summary(error.problems), error.problems)
        except NotTaken as problem:
            return self._refuse(str(problem))
        except Exception:
            logger.exception("a reload failed")
            return self._refuse("it failed in an unexpected way; the log says where")
        self.config, self.needs_restart, self.taken_at = config, needs_restart, self._clock()
        self._files.follow(config, is_in_use=True)
        return None

    def _refuse(self, problem: str, problems: tuple[Problem, ...] = ()) -> Refused:
        return Refused(self._clock(), problem, problems)

    # --- what operators are told -------------------------------------------------------------------------------

    def tell(self, figures: Figures) -> None:
        """The figures about it."""
        figures.one("gateway_config_last_reload_successful", int(self.refused is None))
        figures.one("gateway_config_last_reload_timestamp_seconds", self.taken_at)

    def report(self) -> dict[str, Any]:
        """What `/readyz` says of it."""
        report: dict[str, Any] = {"state": "current" if self.refused is None else "refused"}
        if self.refused is not None:
            report |= {"since": round(self.refused.at, 3), "problem": self.refused.problem}
        if self.needs_restart:
            report["needs_restart"] = list(self.needs_restart)
        return report

    async def outcome(self) -> Outcome:
        """Reload for an operator, and say what came of it."""
        refused = await self.reload("POST /api/reload")
        if refused is None:
            return Outcome(200, {"reloaded": True, "needs_restart": list(self.needs_restart)})
        if not refused.problems:
            return Outcome(409, {"detail": f"The configuration was not taken: {refused.problem}."})
        detail = "The configuration was not taken: it has problems. The one before goes on."
        return Outcome(422, {"detail": detail, "problems": [as_json(problem) for problem in refused.problems]})


class ReloadOperation:
    """`reload` for operators; every other operation is for `others`."""

    def __init__(self, reloader: Reloader, others: Operations) -> None:
        self._reloader = reloader
        self._others = others

    async def __call__(self, name: str, members: Members) -> Outcome:
        """Carry one out; see `Operations`."""
        return await (self._reloader.outcome() if name == "reload" else self._others(name, members))


class ReportedReload:
    """A status that also says what became of the last reload. It never makes anything unready."""

    def __init__(self, reloader: Reloader, status: Status) -> None:
        self._reloader = reloader
        self._status = status

    @property
    def started(self) -> bool:
        """Whether the start is over."""
        return self._status.started

    def report(self) -> dict[str, Any]:
        """Whether requests should be sent here, and what became of the last reload."""
        return {**self._status.report(), "configuration": self._reloader.report()}


def as_json(problem: Problem) -> dict[str, Any]:
    """A problem as members."""
    place = problem.location
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "path": problem.path,
        "message": problem.message,
    }


def as_problem(members: Mapping[str, Any]) -> Problem:
    """The opposite."""
    place = Location(members["file"], members["line"], members["column"])
    return Problem(place, members["path"], members["message"])


def _summary(problems: tuple[Problem, ...]) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"
