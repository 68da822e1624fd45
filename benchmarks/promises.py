"""What the gateway promises of its cost, set against the figures of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.comparison import Outcomes, Ratios, Result

GATEWAY = "gateway"
BASE = "one-token"
PAIRED = ("routes", "many-tokens", "flood", "workers")
"""Scenarios that are promised to cost not much more than the base."""


@dataclass(frozen=True)
class Promise:
    """A sentence, the figure measured for it, and whether it holds."""

    sentence: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Evidence:
    """What promises are judged by. `pairs` are the paired scenarios beside the base, as far as they were measured.

    `verification` is the CPU time of one verification by PyJWT in µs, 0 where it was not measured.
    """

    outcomes: Outcomes
    pairs: Mapping[str, Ratios]
    verification: float = 0.0

    def of(self, scenario: str, server: str = GATEWAY) -> Result | None:
        """The figures of a server in a scenario, where there are any."""
        outcome = self.outcomes.get(scenario, {}).get(server)
        return outcome if isinstance(outcome, Result) else None


def judged(evidence: Evidence) -> Iterator[Promise]:
    """Every promise that the run has figures for."""
    yield from _beside_others(evidence)
    yield from _beside_itself(evidence.pairs)
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
        ours, theirs = evidence.of(BASE), evidence.of(BASE, server)
        if ours is not None and theirs is not None:
            ratio = ours.microseconds / theirs.microseconds
            yield Promise(sentence, f"{ratio:.2f} times", ratio <= limit)


def _beside_itself(pairs: Mapping[str, Ratios]) -> Iterator[Promise]:
    if "routes" in pairs:
        cost = pairs["routes"].cost
        yield Promise("10,000 routes cost within 5 % of one route", f"{cost:.2f} times", cost <= 1.05)
    if "many-tokens" in pairs:
        cost = pairs["many-tokens"].cost
        yield Promise("10,000 tokens in turn cost within 25 % of one", f"{cost:.2f} times", cost <= 1.25)
    if "flood" in pairs:
        p99 = pairs["flood"].p99
        yield Promise("A flood of bad signatures at most doubles the p99 of good tokens", f"{p99:.2f} times", p99 <= 2)
    if "workers" in pairs:
        gain = pairs["workers"].per_second
        yield Promise("Two workers serve at least 1.8 times as much as one", f"{gain:.2f} times", gain >= 1.8)
