"""Runs scenarios against servers, in turns, so that a change of the machine meets all of them."""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load, requests
from benchmarks.idle import idle_connections
from benchmarks.issuer import Issuer
from benchmarks.load import LoadError, Sample, Traffic
from benchmarks.machine import Cores
from benchmarks.processes import Process, StartError
from benchmarks.scenarios import Scenario, bad_signatures
from benchmarks.servers.peer import Peer, Setting, Unsupported
from benchmarks.upstream import Upstream, upstream

NO_CHECK = "checks no token"


@dataclass(frozen=True)
class Effort:
    """How long is measured: rounds of so many seconds each, with so many connections."""

    rounds: int = 3
    seconds: int = 2
    connections: int = 32


@dataclass(frozen=True)
class Result:
    """The medians of all rounds. Latencies in milliseconds, memory in MiB; `growth` is what came since the warm-up."""

    microseconds: float
    per_second: float
    p50: float
    p99: float
    memory: float
    busy: float
    growth: float

    @classmethod
    def of(cls, samples: Sequence[Sample], memory: float) -> Result:
        """The median of each figure by itself. `memory` is that of the server when it was warm."""
        return cls(
            statistics.median(sample.microseconds for sample in samples),
            statistics.median(sample.figures.per_second for sample in samples),
            statistics.median(sample.figures.p50 for sample in samples),
            statistics.median(sample.figures.p99 for sample in samples),
            statistics.median(sample.memory for sample in samples),
            statistics.median(sample.busy for sample in samples),
            statistics.median(sample.memory for sample in samples) - memory,
        )


@dataclass(frozen=True)
class Absent:
    """Why there is no figure. `is_fault`: the server should have had one."""

    reason: str
    is_fault: bool = False


Outcome = Result | Absent
Outcomes = Mapping[str, Mapping[str, Outcome]]
"""By the scenario's key, then by the server's."""


def compare(scenarios: Sequence[Scenario], peers: Sequence[Peer], effort: Effort) -> Outcomes:
    """The outcome of each server in each scenario."""
    outcomes: dict[str, dict[str, Outcome]] = {}
    for scenario in scenarios:
        say(f"{scenario.title}:")
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, _Run(scenario, effort, Path(folder)) as run:
            outcomes[scenario.key] = run.outcomes(peers)
    return outcomes


def say(text: str) -> None:
    """To who is waiting."""
    print(text, file=sys.stderr, flush=True)


class _Run(contextlib.ExitStack):
    """One scenario: an upstream, the servers that can do it, all at once, and their rounds in turns."""

    def __init__(self, scenario: Scenario, effort: Effort, folder: Path) -> None:
        super().__init__()
        self._scenario = scenario
        self._effort = effort
        self._folder = folder
        self._cores = Cores.for_workers(scenario.workers)
        self._issuer = Issuer(folder)

    def outcomes(self, peers: Sequence[Peer]) -> dict[str, Outcome]:
        """One for each server."""
        self._upstream: Upstream = self.enter_context(upstream(self._cores.load, self._folder, self._issuer))
        self._traffic = list(self._kinds_of_traffic())
        absent: dict[str, Outcome] = {}
        servers: dict[str, Process] = {}
        for peer in peers:
            server = self._start(peer)
            if isinstance(server, Absent):
                absent[peer.key] = server
            else:
                servers[peer.key] = server
        results = self._rounds(servers)
        return {peer.key: absent.get(peer.key) or results[peer.key] for peer in peers}

    def _kinds_of_traffic(self) -> Iterator[Traffic]:
        scenario, connections = self._scenario, self._effort.connections
        file = self._folder / "requests"
        self._first = scenario.requests(self._issuer)
        requests.write(self._first, file)
        yield Traffic(file, scenario.status, connections)
        if scenario.flood:
            file = self._folder / "flood"
            requests.write(bad_signatures(self._issuer), file)
            yield Traffic(file, 401, connections // 2)

    def _start(self, peer: Peer) -> Process | Absent:
        scenario = self._scenario
        if peer.program() is None:
            return Absent("not installed")
        if scenario.needs_check and not peer.checks_tokens:
            return Absent(NO_CHECK)
        home = self._folder / peer.key
        home.mkdir()
        setting = Setting(
            home,
            self._cores.measured,
            self._upstream.port,
            self._upstream.jwks_uri,
            self._issuer,
            scenario.prefixes,
            scenario.workers,
        )
        try:
            return self.enter_context(peer.start(setting))
        except Unsupported as reason:
            return Absent(str(reason))
        except StartError as problem:
            say(str(problem))
            return Absent("did not start", is_fault=True)

    def _rounds(self, servers: dict[str, Process]) -> dict[str, Outcome]:
        samples: dict[str, list[Sample]] = {key: [] for key in servers}
        memory: dict[str, float] = {}
        faults: dict[str, Absent] = {}
        # The round before the first is for warming up: code paths, connections to the upstream, caches.
        for number in range(self._effort.rounds + 1):
            for key in [key for key in servers if key not in faults]:
                server = servers[key]
                try:
                    sample = self._round(server, self._effort.seconds) if number else self._warm_up(server)
                except LoadError as problem:
                    say(f"  {server.name}: {problem}")
                    faults[key] = Absent("wrong answers", is_fault=True)
                    continue
                if not number:
                    memory[key] = sample.memory
                    continue
                say(f"  round {number}: {server.name}: {sample.microseconds:.1f} µs/request")
                samples[key].append(sample)
        return {key: faults.get(key) or Result.of(samples[key], memory[key]) for key in servers}

    def _warm_up(self, server: Process) -> Sample:
        return load.measure(server, self._traffic, self._upstream, self._cores.load, self._scenario.warm_up)

    def _round(self, server: Process, seconds: int) -> Sample:
        with idle_connections(server.port, self._scenario.idle, self._first[0]):
            return load.measure(server, self._traffic, self._upstream, self._cores.load, seconds)
