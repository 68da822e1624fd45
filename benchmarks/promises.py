"""What the gateway promises of its cost, set against the figures of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.comparison import Outcomes, Result

GATEWAY = "gateway"


@dataclass(frozen=True)
class Promise:
    """A sentence, the figure measured for it, and whether it holds."""

    sentence: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Evidence:
    """What promises are judged by. `verification` is the CPU time of one PyJWT verification in µs."""

    outcomes: Outcomes
    verification: float
    has_a_core_for_each_worker: bool

    def of(self, scenario: str, server: str = GATEWAY) -> Result | None:
        """The figures of a server in a scenario, where there are any."""
        outcome = self.outcomes.get(scenario, {}).get(server)
        return outcome if isinstance(outcome, Result) else None


def judged(evidence: Evidence) -> Iterator[Promise]:
    """Every promise that the run has figures for."""
    yield from _beside_others(evidence)
    yield from _beside_itself(evidence)
    bad = evidence.of("bad-signatures")
    if bad is not None and evidence.verification:
        yield Promise(
            "A bad signature costs at most what one verification by PyJWT costs",
            f"{bad.microseconds:.1f} µs the whole request, {evidence.verification:.1f} µs the verification",
            bad.microseconds <= evidence.verification,
        )
    idle = evidence.of("idle")
    if idle is not None:
        yield Promise("5,000 idle connections take less than 100 MiB", f"{idle.growth:.0f} MiB", idle.growth < 100)


def _beside_others(evidence: Evidence) -> Iterator[Promise]:
    for sentence, server, limit in (
        ("Less CPU per request than HAProxy with jwt_verify", "haproxy", 1.0),
        ("Less CPU per request than Envoy with its JWT cache", "envoy", 1.0),
        ("At most 1.8 times the CPU of nginx without any check", "nginx", 1.8),
    ):
        ours, theirs = evidence.of("one-token"), evidence.of("one-token", server)
        if ours is not None and theirs is not None:
            ratio = ours.microseconds / theirs.microseconds
            yield Promise(sentence, f"{ratio:.2f} times", ratio <= limit)


def _beside_itself(evidence: Evidence) -> Iterator[Promise]:
    one = evidence.of("one-token")
    if one is None:
        return
    for sentence, scenario, limit in (
        ("10,000 routes cost within 5 % of one route", "routes", 1.05),
        ("10,000 tokens in turn cost within 25 % of one", "many-tokens", 1.25),
    ):
        result = evidence.of(scenario)
        if result is not None:
            ratio = result.microseconds / one.microseconds
            yield Promise(sentence, f"{ratio:.2f} times", ratio <= limit)
    flood = evidence.of("flood")
    if flood is not None:
        ratio = flood.p99 / one.p99
        sentence = "A flood of bad signatures at most doubles the p99 of good tokens"
        yield Promise(sentence, f"{ratio:.2f} times", ratio <= 2)
    two = evidence.of("workers")
    if two is not None and evidence.has_a_core_for_each_worker:
        ratio = two.per_second / one.per_second
        yield Promise("Two workers serve at least 1.8 times as much as one", f"{ratio:.2f} times", ratio >= 1.8)
