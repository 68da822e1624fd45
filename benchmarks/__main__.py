"""What requests through the gateway cost on this machine. Without --peers, --traffic or --outage: beside nginx, in a
minute.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cost, document, peers, traffic
from benchmarks.authorization_server import TokenError
from benchmarks.load import LoadError
from benchmarks.machine import Cores, circumstances
from benchmarks.outage import report as outage_report
from benchmarks.outage import run as outage
from benchmarks.processes import StartError, allow_many_connections, first_line
from benchmarks.rounds import Effort, say
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers.gateway import best, gateway
from benchmarks.servers.nginx import NGINX


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--peers", action="store_true", help="beside HAProxy, Envoy and Apache too, in many scenarios")
    kind.add_argument("--traffic", action="store_true", help="what limits, CORS, several endpoints and retries cost")
    kind.add_argument("--outage", choices=["redis"], help="what clients see while Redis is killed and comes back")
    parser.add_argument("--rounds", type=_positive, default=3, help="rounds for each server, in turns (default: 3)")
    parser.add_argument("--seconds", type=_positive, help="seconds a round (default: 2), or of an outage in all (30)")
    parser.add_argument("--connections", type=_positive, default=32, help="connections of the load (default: 32)")
    parser.add_argument("--command", type=Path, help="another oauth-gateway to measure")
    keys = [scenario.key for scenario in SCENARIOS]
    parser.add_argument("--scenario", action="append", choices=keys, default=[], help="with --peers; may be repeated")
    parser.add_argument("--server", action="append", choices=peers.KEYS, default=[], help="with --peers; repeated too")
    parser.add_argument("--chart", type=Path, help="with --peers: where the picture goes (default: build/peers.png)")
    parser.add_argument("--into", type=Path, metavar="DOCUMENT", help="put the results into this document as well")
    return parser.parse_args(words)


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main() -> int:
    """Run what was asked for and print it. Returns the exit code: 1 when something was not as it should be."""
    options = arguments()
    # What was started is ended on the way out, so being told to end must be a way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        Cores.for_workers(1)
        return _run(options)
    except (ValueError, OSError, StartError, LoadError, TokenError, document.NoSuchMark) as problem:
        say(f"scripts/bench: {problem}")
        return 2


def _run(options: argparse.Namespace) -> int:
    chosen = {"--peers": options.peers, "--traffic": options.traffic, f"--outage {options.outage}": options.outage}
    command = next((command for command, is_chosen in chosen.items() if is_chosen), "")
    mark = f"scripts/bench {command}".strip()
    if options.into is not None:
        document.around(options.into, mark)  # a quarter of an hour later would be late to find out
    allow_many_connections()
    load = os.getloadavg()[0]
    results = RUNS[command](options)
    text = f"{circumstances(results.versions, load)}\n\n{results.text}"
    print(text)
    if options.into is not None:
        document.put(options.into, mark, text)
    return 0 if results.is_good else 1


@dataclass(frozen=True)
class Results:
    """What a run prints, what it was measured with, and whether everything was as it should be."""

    versions: Sequence[str]
    text: str
    is_good: bool = True


def _cost(options: argparse.Namespace) -> Results:
    effort = _effort(options)
    command = options.command or best()
    text = cost.report(cost.measure(command, effort))
    versions = [gateway(command).version(), NGINX.version()]
    return Results(versions, f"{_how(effort)}\n\n{text}")


def _peers(options: argparse.Namespace) -> Results:
    effort = _effort(options)
    chosen = peers.chosen_peers(options.server, options.command)
    picture = options.chart or (options.into.with_suffix(".png") if options.into else Path("build/peers.png"))
    found = peers.run(peers.chosen_scenarios(options.scenario), chosen, effort, picture)
    versions = [peer.version() for peer in chosen if peer.program() is not None]
    text = f"{_how(effort)}\n\n{found.text}"
    if not found.has_chart:
        say("no chart: matplotlib is not installed")
    elif options.into is not None and picture.parent == options.into.parent:
        text = f"{text}\n\n![CPU per request, by scenario and server]({picture.name})"
    else:
        say(f"chart: {picture}")
    return Results(list(dict.fromkeys(versions)), text, not found.faults)


def _traffic(options: argparse.Namespace) -> Results:
    effort = _effort(options)
    command = options.command or best()
    prices = traffic.measure(command, effort)
    text = f"{_how(effort)}\n\n{traffic.report(prices)}"
    return Results([gateway(command).version(), NGINX.version()], text, traffic.is_good(prices))


def _redis_outage(options: argparse.Namespace) -> Results:
    command = options.command or best()
    outcome = outage.run(command, options.seconds or 30)
    versions = [gateway(command).version(), " ".join(first_line("redis-server", "--version").split()[:3])]
    text = outage_report.report(outcome)
    return Results(versions, text, outage_report.is_good(outcome))


RUNS = {"": _cost, "--peers": _peers, "--traffic": _traffic, "--outage redis": _redis_outage}


def _effort(options: argparse.Namespace) -> Effort:
    return Effort(options.rounds, options.seconds or 2, options.connections)


def _how(effort: Effort) -> str:
    return (
        f"One core for what is measured, one for wrk and the upstream; {effort.connections} connections; medians of "
        f"{effort.rounds} rounds of {effort.seconds} s, in turns"
    )


if __name__ == "__main__":
    sys.exit(main())
