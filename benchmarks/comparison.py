"""Every scenario with every server, and pairs of scenarios with one server: what is compared, and by which figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import rounds
from benchmarks.load import Sample
from benchmarks.rounds import Absent, Effort, Entrant, Rounds, say
from benchmarks.scenarios import Scenario
from benchmarks.servers.peer import Peer


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
    def of(cls, measured: Rounds) -> Result:
        """The median of each figure by itself."""
        samples = measured.samples
        memory = statistics.median(sample.memory for sample in samples)
        return cls(
            statistics.median(sample.microseconds for sample in samples),
            statistics.median(sample.figures.per_second for sample in samples),
            statistics.median(sample.figures.p50 for sample in samples),
            statistics.median(sample.figures.p99 for sample in samples),
            memory,
            statistics.median(sample.busy for sample in samples),
            memory - measured.memory,
        )


Outcome = Result | Absent
Outcomes = Mapping[str, Mapping[str, Outcome]]
"""By the scenario's key, then by the server's."""


def compare(scenarios: Sequence[Scenario], peers: Sequence[Peer], effort: Effort) -> Outcomes:
    """The outcome of each server in each scenario."""
    outcomes: dict[str, dict[str, Outcome]] = {}
    for scenario in scenarios:
        say(f"{scenario.title}:")
        found = rounds.run([Entrant(scenario, peer) for peer in peers], effort)
        outcomes[scenario.key] = {
            entrant.peer.key: Result.of(one) if isinstance(one, Rounds) else one for entrant, one in found.items()
        }
    return outcomes


@dataclass(frozen=True)
class Ratios:
    """A scenario beside another one, with the same server: medians of what the two rounds of each turn differ by."""

    cost: float
    p99: float
    per_second: float

    @classmethod
    def of(cls, samples: Sequence[Sample], base: Sequence[Sample]) -> Ratios:
        """Each round beside the round of the same turn."""

        def median(figure: Callable[[Sample], float]) -> float:
            return statistics.median(figure(one) / figure(other) for one, other in zip(samples, base, strict=True))

        return cls(
            median(lambda sample: sample.microseconds),
            median(lambda sample: sample.figures.p99),
            median(lambda sample: sample.figures.per_second),
        )


def pair(scenario: Scenario, base: Scenario, peer: Peer, effort: Effort) -> Ratios | Absent:
    """One scenario beside another: two servers of a kind, in turns."""
    say(f"{scenario.title} beside {base.title}:")
    found = rounds.run([Entrant(scenario, peer), Entrant(base, peer)], effort)
    ours, of_base = found.values()
    if isinstance(ours, Absent):
        return ours
    return of_base if isinstance(of_base, Absent) else Ratios.of(ours.samples, of_base.samples)
