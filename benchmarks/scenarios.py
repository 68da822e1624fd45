"""What is asked of every server: the requests of each scenario, and the answer that each of them has to get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.issuer import Issuer
from benchmarks.requests import Request
from benchmarks.upstream import DOWNLOADS, KIB, UPLOAD_PATH

MANY_TOKENS = 10_000
MANY_ROUTES = 10_000
IDLE = 5_000
BAD_TOKENS = 1_000
"""More than any cache of refusals would be worth, and few enough to be made quickly."""


@dataclass(frozen=True)
class Scenario:
    """Requests that are sent in turn, and the status each must get; only a 200 may reach the upstream.

    `flood` are requests with bad signatures beside them, on half as many connections. `idle` connections are open
    meanwhile. `needs_check`: of no meaning for a server that lets everything through.
    """

    key: str
    title: str
    requests: Callable[[Issuer], Sequence[Request]]
    status: int = 200
    flood: bool = False
    routes: int = 1
    workers: int = 1
    idle: int = 0
    needs_check: bool = False

    @property
    def prefixes(self) -> list[str]:
        """The paths of its routes."""
        return prefixes(self.routes)


def prefixes(count: int) -> list[str]:
    """One path, or one for each of many services."""
    return ["/orders/"] if count == 1 else [f"/service-{number}/orders/" for number in range(count)]


def _one_token(issuer: Issuer) -> list[Request]:
    return [Request(token=issuer.token())]


def _many_tokens(issuer: Issuer) -> list[Request]:
    return [Request(token=issuer.token()) for _ in range(MANY_TOKENS)]


def _es256(issuer: Issuer) -> list[Request]:
    return [Request(token=issuer.token("ES256"))]


def bad_signatures(issuer: Issuer) -> list[Request]:
    """Each with another token, so that no memory of refusals helps."""
    return [Request(token=token) for token in issuer.badly_signed(BAD_TOKENS)]


def _no_token(_: Issuer) -> list[Request]:
    return [Request()]


def _path(path: str) -> Callable[[Issuer], list[Request]]:
    return lambda issuer: [Request(path, issuer.token())]


def _upload(size: int) -> Callable[[Issuer], list[Request]]:
    return lambda issuer: [Request(UPLOAD_PATH, issuer.token(), body=size)]


def _close(issuer: Issuer) -> list[Request]:
    return [Request(token=issuer.token(), keep_alive=False)]


def _one_of_many_routes(issuer: Issuer) -> list[Request]:
    return [Request(f"{prefixes(MANY_ROUTES)[-1]}42", issuer.token())]


def _many_routes_in_turn(issuer: Issuer) -> list[Request]:
    token = issuer.token()
    return [Request(f"{prefix}42", token) for prefix in prefixes(MANY_ROUTES)]


_DOWNLOAD_64K, _DOWNLOAD_1M = DOWNLOADS

SCENARIOS = (
    Scenario("one-token", "one token", _one_token),
    Scenario("many-tokens", "10,000 tokens in turn", _many_tokens),
    Scenario("es256", "one ES256 token", _es256),
    Scenario("bad-signatures", "bad signatures", bad_signatures, status=401, needs_check=True),
    Scenario("flood", "one token beside a flood of bad signatures", _one_token, flood=True, needs_check=True),
    Scenario("no-token", "no token", _no_token, status=401, needs_check=True),
    Scenario("download-64k", "response of 64 KiB", _path(_DOWNLOAD_64K)),
    Scenario("download-1m", "response of 1 MiB", _path(_DOWNLOAD_1M)),
    Scenario("upload-64k", "request of 64 KiB", _upload(64 * KIB)),
    Scenario("upload-1m", "request of 1 MiB", _upload(1024 * KIB)),
    Scenario("routes", "10,000 routes, one of them asked", _one_of_many_routes, routes=MANY_ROUTES),
    Scenario("routes-in-turn", "10,000 routes in turn", _many_routes_in_turn, routes=MANY_ROUTES),
    Scenario("close", "keep-alive off", _close),
    Scenario("workers", "two workers", _one_token, workers=2),
    Scenario("idle", "one token beside 5,000 idle connections", _one_token, idle=IDLE),
)
