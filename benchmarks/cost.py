"""What one authorised request costs: with a cached JWT, and with an opaque token, introspected and cached."""

from __future__ import annotations

import contextlib
import re
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load, requests
from benchmarks.authorization_server import JWT, OPAQUE, AuthorizationServer, authorization_server
from benchmarks.comparison import Result
from benchmarks.issuer import Issuer
from benchmarks.load import Sample, Traffic
from benchmarks.machine import Cores
from benchmarks.processes import Process, StartError, ask, free_port, running
from benchmarks.report import table
from benchmarks.requests import Request
from benchmarks.rounds import Effort, Rounds, say
from benchmarks.scenarios import prefixes
from benchmarks.servers.gateway import configuration, write
from benchmarks.servers.nginx import NGINX
from benchmarks.servers.peer import Setting, status_of
from benchmarks.upstream import Upstream, upstream

FLOOR, CACHED_JWT, CACHED_OPAQUE = NGINX.name, "oauth-gateway, a JWT", "oauth-gateway, an opaque token"
LIMIT = 1.15


@dataclass(frozen=True)
class Measured:
    """A running server and what is sent to it."""

    server: Process
    traffic: Traffic


def measure(command: Path, effort: Effort) -> dict[str, list[Sample]]:
    """The samples of each, round by round in turns. Raises `StartError`, `LoadError`."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        cores, issuer = Cores.for_workers(1), Issuer(folder)
        api = stack.enter_context(upstream(cores.load, folder, issuer))
        authority = stack.enter_context(authorization_server(cores.load, folder))
        settings = [_setting(folder / name, cores, api, issuer) for name in ("nginx", "gateway")]
        floor = stack.enter_context(NGINX.start(settings[0]))
        tokens = {CACHED_JWT: authority.token(JWT), CACHED_OPAQUE: authority.token(OPAQUE)}
        admin_port = free_port()
        gateway = stack.enter_context(_gateway(command, settings[1], authority, admin_port, list(tokens.values())))
        measured = {FLOOR: Measured(floor, _traffic(folder / "jwt", tokens[CACHED_JWT], effort))}
        for name, file in ((CACHED_JWT, "jwt"), (CACHED_OPAQUE, "opaque")):
            measured[name] = Measured(gateway, _traffic(folder / file, tokens[name], effort))
        samples = _rounds(measured, api, cores, effort)
        _check_that_one_was_introspected(admin_port)
        return samples


def _setting(home: Path, cores: Cores, api: Upstream, issuer: Issuer) -> Setting:
    home.mkdir()
    return Setting(home, cores.measured, api.port, api.jwks_uri, issuer, prefixes(1))


def _traffic(file: Path, token: str, effort: Effort) -> Traffic:
    requests.write([Request(token=token)], file)
    return Traffic(file, 200, effort.connections)


@contextlib.contextmanager
def _gateway(
    command: Path, setting: Setting, authority: AuthorizationServer, admin_port: int, tokens: Sequence[str]
) -> Iterator[Process]:
    file = write(setting.folder, configuration(setting, authority.trust(), admin_port=admin_port))
    serve = [str(command), "serve", "-c", str(file)]

    def is_ready() -> bool:
        return all(status_of(setting.port, Request(token=token)) == 200 for token in tokens)

    with running("oauth-gateway", serve, setting.cores, setting.port, setting.folder, is_ready) as process:
        for token in ("", "unknown", tokens[0][:-8] + "AAAAAAAA"):
            if (status := status_of(setting.port, Request(token=token))) != 401:
                raise StartError(f"oauth-gateway answers {status} to a bad token: what would be measured is no check")
        yield process


def _rounds(measured: dict[str, Measured], api: Upstream, cores: Cores, effort: Effort) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {name: [] for name in measured}
    for part in measured.values():
        load.measure(part.server, [part.traffic], api, cores.load, 1)
    for number in range(1, effort.rounds + 1):
        for name, part in measured.items():
            sample = load.measure(part.server, [part.traffic], api, cores.load, effort.seconds)
            samples[name].append(sample)
            say(f"round {number}: {name}: {sample.microseconds:.1f} µs/request")
    return samples


def _check_that_one_was_introspected(admin_port: int) -> None:
    """Raise `StartError` when the opaque token was never asked about, or again and again."""
    text = ask(admin_port, "/metrics").body.decode()
    active = sum(float(count) for count in re.findall(r'introspection_total\{[^}]*"active"[^}]*\} (\S+)', text))
    if not 1 <= active <= 10:
        raise StartError(f"the opaque token was introspected {active:.0f} times: what was measured is no cache")


def report(samples: dict[str, list[Sample]]) -> str:
    """The figures as Markdown, and what an opaque token costs beside a JWT."""
    results = {name: Result.of(Rounds(of_one, 0.0)) for name, of_one in samples.items()}
    floor = results[FLOOR].microseconds
    rows = [
        [
            name,
            f"{result.microseconds:.1f}",
            f"{result.per_second:,.0f}",
            f"{result.p50:.2f}",
            f"{result.p99:.2f}",
            f"{result.memory:.0f}",
            f"{result.microseconds / floor:.2f}",
        ]
        for name, result in results.items()
    ]
    head = ["", "CPU µs per request", "requests/s", "p50 ms", "p99 ms", "memory MiB", "CPU beside nginx"]
    return f"{table(head, rows)}\n\n{opaque_beside_jwt(samples)}"


def opaque_beside_jwt(samples: dict[str, list[Sample]]) -> str:
    """Each round is a pair: what changes from round to round on the machine meets both."""
    pairs = zip(samples[CACHED_OPAQUE], samples[CACHED_JWT], strict=True)
    ratios = sorted(opaque.microseconds / jwt.microseconds for opaque, jwt in pairs)
    middle = statistics.median(ratios)
    verdict = "within 15 %" if middle <= LIMIT else "more than 15 % above"
    return (
        f"An introspected and cached opaque token costs {middle:.2f} times what a cached JWT does (median of "
        f"{len(ratios)} pairs, {ratios[0]:.2f} to {ratios[-1]:.2f}): {verdict}."
    )
