"""What limits, CORS, several endpoints and retries cost a request: where they stand elsewhere in the same
configuration, which should cost nothing, and where the request itself meets them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import rounds
from benchmarks.issuer import AUDIENCE, ISSUER
from benchmarks.load import Sample
from benchmarks.report import table
from benchmarks.rounds import Absent, Effort, Entrant
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers.gateway import configuration, gateway, write
from benchmarks.servers.peer import Peer, Setting
from benchmarks.upstream import hosts

LIMIT = 5.0
"""Microseconds that a request may cost more where nothing of this is configured for it."""

PLAIN, ELSEWHERE = "nothing of it", "all of it, for another route and another upstream"

_ENOUGH = {"requests": 1_000_000_000, "per": "1m"}
_CORS = {"origins": ["https://app.example.com"], "credentials": True}
_RETRY = {"attempts": 1, "on": ["connect", "disconnect", 503]}

Blocks = dict[str, Any]
Change = Callable[[Blocks, int], None]
"""Writes something into a configuration; the upstream's port is known."""


def _endpoints(balance: str) -> Change:
    def change(blocks: Blocks, port: int) -> None:
        blocks["upstreams"]["orders"] = {"urls": [f"http://{host}:{port}" for host in hosts()], "balance": balance}

    return change


def _of_route(**members: Any) -> Change:
    return lambda blocks, _: blocks["route_defaults"].update(members)


def _of_upstream(**members: Any) -> Change:
    return lambda blocks, _: blocks["upstreams"]["orders"].update(members)


def _limits(blocks: Blocks, _: int) -> None:
    blocks["limits"] = {"failed_authentication": _ENOUGH}


def _elsewhere(blocks: Blocks, port: int) -> None:
    _limits(blocks, port)
    blocks["upstreams"]["others"] = {
        "urls": [f"http://{host}:{port}" for host in hosts()],
        "balance": "least_requests",
        "health": {"path": "/", "interval": "1h"},
        "ejection": {},
        "retry": _RETRY,
    }
    blocks["routes"].append(
        {"path": "/others", "upstream": "others", "cors": _CORS, "rate_limit": {**_ENOUGH, "by": "subject"}}
    )


CHANGES: Mapping[str, Change | None] = {
    PLAIN: None,
    ELSEWHERE: _elsewhere,
    "`rate_limit` by address": _of_route(rate_limit={**_ENOUGH, "by": "ip"}),
    "`rate_limit` by subject": _of_route(rate_limit={**_ENOUGH, "by": "subject"}),
    "`limits.failed_authentication`": _limits,
    "`cors`": _of_route(cors=_CORS),
    "`ejection`, one endpoint": _of_upstream(ejection={}),
    "`retry`, one endpoint": _of_upstream(retry=_RETRY),
    "three endpoints, `round_robin`": _endpoints("round_robin"),
    "three endpoints, `least_requests`": _endpoints("least_requests"),
    "three endpoints, `hash:sub`": _endpoints("hash:sub"),
}


def kind(name: str, command: Path) -> Peer:
    """The gateway with one of the changes."""
    change, plain = CHANGES[name], gateway(command)

    def serve(setting: Setting) -> Sequence[str]:
        issuer = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": str(setting.issuer.jwks_file)}
        blocks = configuration(setting, issuer)
        if change is not None:
            change(blocks, setting.upstream_port)
        return [str(command), "serve", "-c", str(write(setting.folder, blocks))]

    return Peer(name, name, plain.program, serve, plain.version)


@dataclass(frozen=True)
class Price:
    """What a request costs, and how much more than a plain one in the round beside it: medians, in microseconds."""

    microseconds: float
    more: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[Sample], plain: Sequence[Sample]) -> Price:
        """Each round is a pair with that of the plain one: what changes on the machine meets both."""
        pairs = zip(samples, plain, strict=True)
        more = sorted(one.microseconds - other.microseconds for one, other in pairs)
        cost = statistics.median(sample.microseconds for sample in samples)
        return cls(cost, statistics.median(more), more[0], more[-1])


def measure(command: Path, effort: Effort, names: Sequence[str] = tuple(CHANGES)) -> dict[str, Price | Absent]:
    """The price of each, the plain one first. Raises `StartError`, `ValueError`."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.key == "one-token")
    found = rounds.run([Entrant(scenario, kind(name, command)) for name in names], effort)
    outcomes = {entrant.peer.name: outcome for entrant, outcome in found.items()}
    plain = outcomes[PLAIN]
    if isinstance(plain, Absent):
        raise ValueError(f"{PLAIN}: {plain.reason}")
    return {
        name: outcome if isinstance(outcome, Absent) else Price.of(outcome.samples, plain.samples)
        for name, outcome in outcomes.items()
    }


def is_good(prices: Mapping[str, Price | Absent]) -> bool:
    """Whether everything was measured, and the promise holds."""
    elsewhere = prices[ELSEWHERE]
    return (
        isinstance(elsewhere, Price)
        and elsewhere.more <= LIMIT
        and not any(isinstance(price, Absent) for price in prices.values())
    )


def report(prices: Mapping[str, Price | Absent]) -> str:
    """The prices as Markdown, and the promise."""
    head = ["configured", "CPU µs per request", "more than nothing of it", "of all pairs"]
    rows = [[name, *_figures(name, price)] for name, price in prices.items()]
    elsewhere = prices[ELSEWHERE]
    verdict = "was not measured"
    if isinstance(elsewhere, Price):
        verdict = f"{elsewhere.more:+.1f} µs: {'yes' if elsewhere.more <= LIMIT else 'no'}"
    return f"{table(head, rows)}\n\nWhere it is not configured, it adds at most {LIMIT:g} µs to a request: {verdict}."


def _figures(name: str, price: Price | Absent) -> list[str]:
    if isinstance(price, Absent):
        return [price.reason, "-", "-"]
    if name == PLAIN:
        return [f"{price.microseconds:.1f}", "-", "-"]
    return [f"{price.microseconds:.1f}", f"{price.more:+.1f}", f"{price.least:+.1f} to {price.most:+.1f}"]
