"""Outcomes as Markdown: CPU per request at a glance, then every figure, then the reason for each that is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.comparison import Outcome, Outcomes, Result
from benchmarks.rounds import Absent
from benchmarks.scenarios import Scenario
from benchmarks.servers.peer import Peer

DASH = "-"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], names: int = 1) -> str:
    """A Markdown table: some columns of names, and figures, which are right-aligned."""
    lines = [head, [*["---"] * names, *["---:"] * (len(head) - names)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def at_a_glance(scenarios: Sequence[Scenario], peers: Sequence[Peer], outcomes: Outcomes) -> str:
    """CPU µs per request: a row for each scenario, a column for each server."""
    return table(
        ["CPU µs per request", *(peer.name for peer in peers)],
        [
            [scenario.title, *(_microseconds(outcomes[scenario.key][peer.key]) for peer in peers)]
            for scenario in scenarios
        ],
    )


def _microseconds(outcome: Outcome) -> str:
    return f"{outcome.microseconds:.1f}" if isinstance(outcome, Result) else DASH


def in_full(scenarios: Sequence[Scenario], peers: Sequence[Peer], outcomes: Outcomes) -> str:
    """Every figure: a row for each scenario and server that has some."""
    head = ["scenario", "server", "CPU µs", "requests/s", "p50 ms", "p99 ms", "memory MiB", "core busy"]
    return table(head, _rows(scenarios, peers, outcomes), names=2)


def _rows(scenarios: Sequence[Scenario], peers: Sequence[Peer], outcomes: Outcomes) -> Iterator[Sequence[str]]:
    for scenario in scenarios:
        for peer in peers:
            outcome = outcomes[scenario.key][peer.key]
            if isinstance(outcome, Result):
                yield [scenario.title, peer.name, *_figures(outcome, scenario)]


def _figures(result: Result, scenario: Scenario) -> Iterator[str]:
    yield f"{result.microseconds:.1f}"
    yield f"{result.per_second:,.0f}"
    yield f"{result.p50:.2f}"
    yield f"{result.p99:.2f}"
    yield f"{result.memory:.0f}" + (f" (+{result.growth:.0f})" if scenario.idle else "")
    yield f"{result.busy:.0%}"


def reasons(scenarios: Sequence[Scenario], peers: Sequence[Peer], outcomes: Outcomes) -> str:
    """Why there is a dash: a line for each server and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for peer in peers:
        for scenario in scenarios:
            outcome = outcomes[scenario.key][peer.key]
            if isinstance(outcome, Absent):
                found.setdefault((peer.name, outcome.reason), []).append(scenario.title)
    return "\n".join(
        f"- {name}: {reason}" + (f" ({', '.join(titles)})" if len(titles) < len(scenarios) else "")
        for (name, reason), titles in found.items()
    )
