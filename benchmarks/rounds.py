"""Servers that are loaded in turns, round by round, so that a change of the machine meets all of them."""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks import load, requests
from benchmarks.idle import idle_connections
from benchmarks.issuer import Issuer
from benchmarks.load import LoadError, Sample, Traffic
from benchmarks.machine import Cores
from benchmarks.processes import Process, StartError
from benchmarks.requests import Request
from benchmarks.scenarios import Scenario, bad_signatures
from benchmarks.servers.peer import Peer, Setting, Unsupported
from benchmarks.upstream import upstream

NO_CHECK = "checks no token"
LONGEST_WARM_UP = 10


@dataclass(frozen=True)
class Effort:
    """How long is measured: rounds of so many seconds each, with so many connections."""

    rounds: int = 3
    seconds: int = 2
    connections: int = 32


@dataclass(frozen=True)
class Absent:
    """Why there is no figure. `is_fault`: the server should have had one."""

    reason: str
    is_fault: bool = False


@dataclass(frozen=True)
class Entrant:
    """A server in a scenario."""

    scenario: Scenario
    peer: Peer

    def __str__(self) -> str:
        return f"{self.peer.name}, {self.scenario.title}"


@dataclass(frozen=True)
class Rounds:
    """The samples of an entrant, one a round, and the memory of its server (MiB) when it was warm."""

    samples: Sequence[Sample]
    memory: float


@dataclass(frozen=True)
class _Runner:
    server: Process
    traffic: Sequence[Traffic]
    asked: Sequence[Request]


def run(entrants: Sequence[Entrant], effort: Effort) -> Mapping[Entrant, Rounds | Absent]:
    """What came of each. Raises `StartError` when the upstream does not start."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _Turns(entrants, effort, Path(folder)) as turns:
        return turns.run()


def say(text: str) -> None:
    """To who is waiting."""
    print(text, file=sys.stderr, flush=True)


class _Turns(contextlib.ExitStack):
    """An upstream, and all servers at once."""

    def __init__(self, entrants: Sequence[Entrant], effort: Effort, folder: Path) -> None:
        super().__init__()
        self._entrants = entrants
        self._effort = effort
        self._folder = folder
        self._cores = Cores.for_workers(max(entrant.scenario.workers for entrant in entrants))
        self._issuer = Issuer(folder)

    def __enter__(self) -> Self:
        super().__enter__()
        self._upstream = self.enter_context(upstream(self._cores.load, self._folder, self._issuer))
        return self

    def run(self) -> Mapping[Entrant, Rounds | Absent]:
        """Start everybody, warm everybody up, then the rounds."""
        found = {entrant: self._start(entrant, self._home(number)) for number, entrant in enumerate(self._entrants)}
        absent = {entrant: one for entrant, one in found.items() if isinstance(one, Absent)}
        running = {entrant: one for entrant, one in found.items() if isinstance(one, _Runner)}
        memory: dict[Entrant, float] = {}
        samples: dict[Entrant, list[Sample]] = {entrant: [] for entrant in running}
        for number in range(self._effort.rounds + 1):
            for entrant in [entrant for entrant in running if entrant not in absent]:
                try:
                    runner = running[entrant]
                    sample = self._round(runner, entrant.scenario.idle) if number else self._warm_up(runner)
                except LoadError as problem:
                    say(f"  {entrant}: {problem}")
                    absent[entrant] = Absent("wrong answers", is_fault=True)
                    continue
                if not number:
                    memory[entrant] = sample.memory
                    continue
                say(f"  round {number}: {entrant}: {sample.microseconds:.1f} µs/request")
                samples[entrant].append(sample)
        return {entrant: absent.get(entrant) or Rounds(samples[entrant], memory[entrant]) for entrant in self._entrants}

    def _home(self, number: int) -> Path:
        home = self._folder / f"server-{number}"
        home.mkdir()
        return home

    def _start(self, entrant: Entrant, home: Path) -> _Runner | Absent:
        scenario, peer = entrant.scenario, entrant.peer
        if peer.program() is None:
            return Absent("not installed")
        if scenario.needs_check and not peer.checks_tokens:
            return Absent(NO_CHECK)
        setting = Setting(
            home,
            self._cores.measured[: scenario.workers],
            self._upstream.port,
            self._upstream.jwks_uri,
            self._issuer,
            scenario.prefixes,
            scenario.workers,
        )
        try:
            server = self.enter_context(peer.start(setting))
        except Unsupported as reason:
            return Absent(str(reason))
        except StartError as problem:
            say(str(problem))
            return Absent("did not start", is_fault=True)
        asked = scenario.requests(self._issuer)
        return _Runner(server, self._traffic(scenario, asked, home), asked)

    def _traffic(self, scenario: Scenario, asked: Sequence[Request], home: Path) -> list[Traffic]:
        connections = self._effort.connections
        requests.write(asked, home / "requests")
        traffic = [Traffic(home / "requests", scenario.status, connections)]
        if scenario.flood:
            requests.write(bad_signatures(self._issuer), home / "flood")
            traffic.append(Traffic(home / "flood", 401, connections // 2))
        return traffic

    def _warm_up(self, runner: _Runner) -> Sample:
        """Code, connections to the upstream, and caches: every request is to have been sent once."""
        sample = self._measure(runner, 1)
        wanted = 1.5 * len(runner.asked)
        if sample.figures.requests < wanted:
            sample = self._measure(runner, min(LONGEST_WARM_UP, math.ceil(wanted / sample.figures.per_second)))
        return sample

    def _round(self, runner: _Runner, idle: int) -> Sample:
        with idle_connections(runner.server.port, idle, runner.asked[0]):
            return self._measure(runner, self._effort.seconds)

    def _measure(self, runner: _Runner, seconds: int) -> Sample:
        return load.measure(runner.server, runner.traffic, self._upstream, self._cores.load, seconds)
