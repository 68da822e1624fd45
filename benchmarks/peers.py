"""The comparison with other servers, as one report: tables, promises, reasons, and a chart beside them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import chart, report
from benchmarks.comparison import Outcomes, Ratios, compare, pair
from benchmarks.issuer import Issuer
from benchmarks.machine import Cores
from benchmarks.promises import BASE, GATEWAY, PAIRED, Evidence, judged
from benchmarks.rounds import Absent, Effort, say
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.servers.apache import APACHE
from benchmarks.servers.envoy import ENVOY, ENVOY_UNCACHED
from benchmarks.servers.gateway import gateways
from benchmarks.servers.haproxy import HAPROXY
from benchmarks.servers.nginx import NGINX
from benchmarks.servers.peer import Peer

OTHERS = (NGINX, HAPROXY, ENVOY, ENVOY_UNCACHED, APACHE)
KEYS = (*(peer.key for peer in OTHERS), "gateway", "gateway-python")


def chosen_peers(keys: Sequence[str], command: Path | None = None) -> list[Peer]:
    """The servers of these keys, or all of them, in the order of the table; `command` is another gateway's."""
    return [peer for peer in (*OTHERS, *gateways(command)) if not keys or peer.key in keys]


def chosen_scenarios(keys: Sequence[str]) -> list[Scenario]:
    """The scenarios of these keys, or all of them, in the order of the table."""
    return [scenario for scenario in SCENARIOS if not keys or scenario.key in keys]


@dataclass(frozen=True)
class Report:
    """What came of a run. `faults`: a server that should have had figures has none."""

    text: str
    faults: bool
    has_chart: bool


def run(scenarios: Sequence[Scenario], peers: Sequence[Peer], effort: Effort, picture: Path) -> Report:
    """Measure, and draw the chart. Raises `StartError` when the upstream does not start."""
    for peer in peers:
        if peer.program() is None:
            say(f"missing: {peer.name}")
    outcomes = compare(scenarios, peers, effort)
    has_chart = chart.draw(scenarios, peers, outcomes, picture)
    parts = [
        report.at_a_glance(scenarios, peers, outcomes),
        report.reasons(scenarios, peers, outcomes),
        _cores(scenarios),
        _promises(_evidence(scenarios, peers, outcomes, effort)),
        report.in_full(scenarios, peers, outcomes),
    ]
    text = "\n\n".join(filter(None, parts))
    faults = any(
        isinstance(outcome, Absent) and outcome.is_fault for row in outcomes.values() for outcome in row.values()
    )
    return Report(text, faults, has_chart)


def _cores(scenarios: Sequence[Scenario]) -> str:
    """What this machine is too small to show."""
    short = [s.title for s in scenarios if not Cores.for_workers(s.workers).are_enough_for(s.workers)]
    if not short:
        return ""
    return (
        f"Too few cores for {', '.join(short)}: all workers share the one measured core, which shows what another one "
        "costs, and not what it brings."
    )


def _evidence(scenarios: Sequence[Scenario], peers: Sequence[Peer], outcomes: Outcomes, effort: Effort) -> Evidence:
    ours = next((peer for peer in peers if peer.key == GATEWAY), None)
    if ours is None:
        return Evidence(outcomes, {})
    verification = _verification() if "bad-signatures" in outcomes else 0.0
    return Evidence(outcomes, dict(_pairs(scenarios, ours, effort)), verification)


def _pairs(scenarios: Sequence[Scenario], ours: Peer, effort: Effort) -> Iterator[tuple[str, Ratios]]:
    base = chosen_scenarios([BASE])[0]
    for scenario in scenarios:
        if scenario.key in PAIRED and Cores.for_workers(scenario.workers).are_enough_for(scenario.workers):
            ratios = pair(scenario, base, ours, effort)
            if isinstance(ratios, Ratios):
                yield scenario.key, ratios


def _promises(evidence: Evidence) -> str:
    rows = [[promise.sentence, promise.measured, "yes" if promise.holds else "no"] for promise in judged(evidence)]
    return report.table(["promise", "measured", "holds"], rows, names=3) if rows else ""


def _verification() -> float:
    """CPU µs of one verification by PyJWT, on the core where the servers were measured."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, Cores.for_workers(1).measured)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            return Issuer(Path(folder)).seconds_of_a_verification() * 1e6
    finally:
        os.sched_setaffinity(0, before)
