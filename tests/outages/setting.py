"""A gateway as users start it, with all it depends on as processes; and whether it answers as the page says."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.gateway_process import ADMIN_TOKEN, GatewayProcess, serving
from tests.interop.provider import Upstream, running_upstream
from tests.issuer_process import IssuerProcess, issuer_process
from tests.outages.page import Row, outcome
from tests.redis_servers import until
from tests.services import held_port
from tests.world import AUDIENCE

MARGIN = 4.0
"""Seconds that an answer may take beyond the configured time, on a machine that is busy with other things."""

HEALING = 30.0
"""Seconds until something heals at the latest; the longest pause between two attempts is 10 s."""

FAST = {"refresh": "500ms", "cooldown": "500ms", "timeout": "500ms"}
"""`keys` of an issuer whose failures are seen, and over, within a second."""


@dataclass
class Setting:
    """One gateway. `keys` is the process that publishes metadata and keys, `introspector` the one that introspects."""

    gateway: GatewayProcess
    keys: IssuerProcess
    introspector: IssuerProcess
    upstream: Upstream
    longest: float
    """Seconds that a request may wait by the configuration."""
    known: dict[str, str] = field(default_factory=dict)
    """Tokens that have been allowed before the outage, by the column's name."""

    def requests(self) -> Mapping[str, Callable[[], tuple[str, str]]]:
        """What the columns of the page ask: path and token."""
        return {
            "known JWT": lambda: ("/orders", self.known["known JWT"]),
            "known opaque token": lambda: ("/orders", self.known["known opaque token"]),
            "JWT": lambda: ("/orders", self.keys.jwt()),
            "new JWT": lambda: ("/orders", self.keys.jwt()),
            "JWT with a new `kid`": lambda: ("/orders", self.keys.rotated_jwt()),
            "opaque token": lambda: ("/orders", self.introspector.opaque()),
            "new opaque token": lambda: ("/orders", self.introspector.opaque()),
            "JWT where the route introspects": lambda: ("/careful", self.introspected_jwt()),
            "revoked token": lambda: ("/orders", self.known["revoked token"]),
        }

    def introspected_jwt(self) -> str:
        """A JWT that its issuer calls active too."""
        token = self.keys.jwt()
        self.introspector.knows(token, sub="u1")
        return token

    def get_known(self) -> None:
        """Wait until all is well, and have tokens known."""
        self.until_well()
        known = {"known JWT": self.keys.jwt(), "known opaque token": self.introspector.opaque()}
        for token in known.values():
            self.until_allowed(token)
        self.known |= known

    def until_well(self) -> None:
        """Wait until it is ready and every token that it has not seen yet is decided about as it should be."""
        self.gateway.until("/readyz", 200, HEALING)
        self.until_allowed(self.keys.jwt())
        self.until_allowed(self.introspector.opaque())
        self.until_allowed(self.introspected_jwt(), "/careful")
        until(lambda: self.gateway.reason("/orders", self.keys.rotated_jwt()) == (401, "key_unknown"))

    def until_allowed(self, token: str, path: str = "/orders") -> None:
        """Wait until a token is allowed. Until then it is the issuer's trouble, and nobody else's."""
        deadline = time.monotonic() + HEALING
        while (answer := self.gateway.ask(path, token))[0] != 200:
            assert json.loads(answer[2])["reason"] == "issuer_unavailable", answer
            assert time.monotonic() < deadline, self.gateway.log
            time.sleep(0.05)

    def until_revoked(self, token: str) -> None:
        """Wait until a token is refused as a revoked one."""
        until(lambda: self.gateway.ask("/orders", token)[0] == 401, lambda: self.gateway.log, HEALING)
        assert self.gateway.reason("/orders", token) == (401, "token_revoked")

    def until_decided(self, token: str) -> tuple[int, str | None]:
        """Status and reason of the first answer that is not 503."""
        until(lambda: self.gateway.ask("/orders", token)[0] != 503, lambda: self.gateway.log, HEALING)
        status, _, body = self.gateway.ask("/orders", token)
        return status, None if status == 200 else json.loads(body)["reason"]

    def until_allowed_again(self, token: str) -> None:
        """Wait until a token that was revoked is allowed."""
        until(lambda: self.gateway.ask("/orders", token)[0] == 200, lambda: self.gateway.log)

    def check(self, row: Row) -> None:
        """Everything that a row of the page says of requests and of `/readyz`."""
        self.until_ready_is(row["`/readyz`"])
        for column, request in self.requests().items():
            if column in row:
                self.check_answer(column, request(), row[column])
        assert self.gateway.ask("/public")[0] == 200
        assert self.gateway.reason("/orders") == (401, "token_missing")

    def check_answer(self, column: str, request: tuple[str, str], cell: str) -> None:
        """One request gets what the cell says, in time; the upstream hears of it only when that is 200."""
        expected = outcome(cell)
        heard = len(self.upstream.received)
        started = time.monotonic()
        status, fields, body = self.gateway.ask(*request)
        took = time.monotonic() - started
        reason = None if status == 200 else json.loads(body)["reason"]
        assert (status, reason) == (expected.status, expected.reason), f"{column}\n{self.gateway.log}"
        assert took < self.longest + MARGIN, column
        assert len(self.upstream.received) - heard == (status == 200), column
        assert ("WWW-Authenticate" in fields) is (status == 401), column
        if expected.again_in is not None:
            assert expected.again_in[0] <= int(fields["Retry-After"]) <= expected.again_in[1], column

    def until_ready_is(self, cell: str) -> None:
        """Wait until `/readyz` says what stands there: a status, and then what is not as it should be."""
        found = re.fullmatch(r"(\d{3})(?:, (issuer|Redis) `(\w+)`)?", cell)
        assert found, cell
        expected = (int(found[1]), *((found[2], found[3]) if found[2] else (None, None)))
        until(lambda: self.readiness() == expected, lambda: f"{cell} is not {self.readiness()}\n{self.gateway.log}")

    def readiness(self) -> tuple[int, str | None, str | None]:
        """Status of `/readyz`, and the first thing it names that is not ready, with its state."""
        status, body = self.gateway.admin("/readyz")
        report = json.loads(body)
        states = {"issuer": report["issuers"]["corp"], "Redis": report.get("redis", {}).get("state", "ready")}
        named = next(((name, state) for name, state in states.items() if state != "ready"), (None, None))
        return (status, *named)

    def until_counted(self, name: str, least: float = 1, **labels: str) -> None:
        """Wait until a figure of the metrics has become that high."""
        until(
            lambda: self.gateway.figure(name, **labels) >= least,
            lambda: f"{name}{labels} is not {least}:\n{self.gateway.admin('/metrics')[1]}\n{self.gateway.log}",
        )


def issuers_block(keys: IssuerProcess, introspection: str, cache: str, keys_block: Mapping[str, str]) -> dict[str, Any]:
    """The issuer `corp`, which introspects within that time."""
    client = {"client_id": "gateway", "client_secret": "s3cret", "timeout": introspection, "cache": cache}
    return {
        "corp": {
            "issuer": keys.issuer,
            "audience": AUDIENCE,
            "leeway": "0s",
            "keys": dict(keys_block),
            "introspection": client,
        }
    }


def routes_block(upstream: Upstream) -> dict[str, Any]:
    """One upstream, and routes of three kinds."""
    return {
        "upstreams": {"orders": {"url": f"http://127.0.0.1:{upstream.port}"}},
        "routes": [
            {"path": "/orders", "upstream": "orders"},
            {"path": "/careful", "upstream": "orders", "require": {"introspect": True}},
            {"path": "/public", "respond": {"status": 200, "body": "ok"}, "public": True},
        ],
    }


@dataclass
class Ground:
    """What gateways stand on: the issuer's processes and the upstream."""

    folder: Path
    keys: IssuerProcess
    introspector: IssuerProcess
    upstream: Upstream

    @contextlib.contextmanager
    def gateway(
        self,
        *,
        introspection: str = "3s",
        cache: str = "10m",
        keys_block: Mapping[str, str] = FAST,
        redis: Mapping[str, Any] | None = None,
        longest: float,
    ) -> Iterator[Setting]:
        """A gateway. `introspection` is its timeout, `cache` how long its answers last, `redis` the block."""
        configuration = {
            "admin": {"token": ADMIN_TOKEN},
            "issuers": issuers_block(self.keys, introspection, cache, keys_block),
            **routes_block(self.upstream),
            **({"redis": dict(redis)} if redis is not None else {}),
        }
        with (
            held_port() as port,
            held_port() as admin_port,
            serving(self.folder, port, admin_port, configuration) as process,
        ):
            yield Setting(process, self.keys, self.introspector, self.upstream, longest)


@contextlib.contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """All of it running, and nothing broken yet."""
    with (
        running_upstream() as upstream,
        issuer_process(folder) as introspector,
        issuer_process(folder, introspects_at=introspector.issuer) as keys,
    ):
        yield Ground(folder, keys, introspector, upstream)
