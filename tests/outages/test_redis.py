"""Redis that fails in every way, at two gateways that share it, one of which requires it: rows of `docs/outages.md`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.outages.page import table
from tests.outages.setting import FAST, Setting, ground
from tests.redis_servers import RedisNode, redis_node, sentinel, until
from tests.relay import relay_thread

HEADINGS = ("With `required: false`", "With `required: true`")
TIMEOUT = 0.7


@dataclass
class Fault:
    """A Redis at this address, how it breaks, and how that ends."""

    url: str
    breaks: Callable[[], None]
    mends: Callable[[], None]


@contextlib.contextmanager
def absent(folder: Path) -> Iterator[Fault]:
    with redis_node(folder) as node:
        yield Fault(node.url, node.kill, node.start)


@contextlib.contextmanager
def frozen(folder: Path) -> Iterator[Fault]:
    with redis_node(folder) as node:
        yield Fault(node.url, node.freeze, node.thaw)


@contextlib.contextmanager
def slow(folder: Path) -> Iterator[Fault]:
    with redis_node(folder) as node, relay_thread(node.port) as relay:
        url = f"redis://127.0.0.1:{relay.port}/0"
        yield Fault(url, lambda: relay.slow_down(TIMEOUT * 3), lambda: relay.slow_down(0))


@contextlib.contextmanager
def full(folder: Path) -> Iterator[Fault]:
    with redis_node(folder, "--maxmemory-policy", "noeviction") as node:

        def limit(size: str) -> None:
            assert node.ask("CONFIG", "SET", "maxmemory", size) == b"+OK\r\n"

        yield Fault(node.url, lambda: limit("1"), lambda: limit("0"))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Fault]:
    with redis_node(folder, password="ours") as node:

        def change(password: str) -> None:
            assert node.ask("CONFIG", "SET", "requirepass", password) == b"+OK\r\n"
            node.password = password
            for kind in ("pubsub", "normal"):
                node.ask("CLIENT", "KILL", "TYPE", kind)

        url = f"redis://:ours@127.0.0.1:{node.port}/0"
        yield Fault(url, lambda: change("another"), lambda: change("ours"))


@contextlib.contextmanager
def failing_over(folder: Path) -> Iterator[Fault]:
    with sentinel(folder) as guarded:
        yield Fault(
            guarded.url,
            lambda: take_the_master(guarded.sentinel, guarded.master, guarded.replica),
            lambda: give_another(guarded.sentinel, guarded.replica),
        )


def take_the_master(watcher: RedisNode, master: RedisNode, replica: RedisNode) -> None:
    """As long as the replica hangs too, nobody can take over."""
    replica.freeze()
    until(lambda: b"s_down" in watcher.ask("SENTINEL", "REPLICAS", "main"), lambda: watcher.log)
    master.kill()
    until(lambda: b"s_down" in watcher.ask("SENTINEL", "MASTER", "main"), lambda: watcher.log)


def give_another(watcher: RedisNode, replica: RedisNode) -> None:
    """Without the Sentinel's own pause between two attempts."""
    replica.thaw()
    until(lambda: watcher.ask("SENTINEL", "FAILOVER", "main").startswith((b"+OK", b"-INPROG")), lambda: watcher.log)


FAULTS = {
    "absent": absent,
    "no answer": frozen,
    "answers later than `redis.timeout`": slow,
    "full, and evicts nothing": full,
    "failing over: no master": failing_over,
    "wrong password": locked,
}


def redis_block(url: str, *, is_required: bool) -> dict[str, Any]:
    return {"url": url, "secret": "x" * 32, "timeout": f"{TIMEOUT * 1000:.0f}ms", "required": is_required}


def test_these_are_the_rows_of_the_page() -> None:
    for heading in HEADINGS:
        assert list(FAULTS) == list(table(heading))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_costs_what_the_page_says_and_no_revocation(name: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        fault = stack.enter_context(FAULTS[name](tmp_path))
        g = stack.enter_context(ground(tmp_path))
        blocks = [redis_block(fault.url, is_required=required) for required in (False, True)]
        gateways = [stack.enter_context(g.gateway(keys_block=FAST, redis=block, longest=4)) for block in blocks]
        revoked = g.keys.jwt()
        for s in gateways:
            s.get_known()
            s.until_allowed(revoked)
            s.known["revoked token"] = revoked
        entry = gateways[0].gateway.revoke(jti=jti(revoked))["id"]
        for s in gateways:
            is_delivered(s, [(revoked, entry)])
        fault.breaks()
        for s, heading in zip(gateways, HEADINGS, strict=True):
            s.check(table(heading)[name])
            is_told(s, table(heading)[name])
        meanwhile = [revoke_meanwhile(s) for s in gateways]
        fault.mends()
        for s in gateways:
            s.until_well()
            is_delivered(s, meanwhile)


def test_a_gateway_that_starts_meanwhile_waits_for_revocations_only_where_redis_is_required(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(redis_node(tmp_path))
        g = stack.enter_context(ground(tmp_path))
        revoked = g.keys.jwt()
        with g.gateway(redis=redis_block(node.url, is_required=False), longest=4) as s:
            s.gateway.revoke(jti=jti(revoked))
        node.freeze()
        blocks = [redis_block(node.url, is_required=required) for required in (False, True)]
        optional, requiring = (stack.enter_context(g.gateway(redis=block, longest=4)) for block in blocks)
        # Nobody can have told it. That is what `required` is for.
        optional.gateway.until("/readyz", 200)
        optional.until_allowed(revoked)
        requiring.known["revoked token"] = revoked
        row = table(HEADINGS[1])["no answer"]
        requiring.check({column: cell for column, cell in row.items() if not column.startswith("known")})
        node.thaw()
        for s in (optional, requiring):
            s.until_revoked(revoked)
            s.until_well()


def is_told(s: Setting, row: Mapping[str, str]) -> None:
    """The metric counts it under the word of the page, and the log has it."""
    result = row["result"].strip("`")
    s.until_counted("gateway_redis_operations_total", result=result)
    until(lambda: re.search(rf'"Redis [^"]*: {result}"', s.gateway.log) is not None, lambda: s.gateway.log)


def revoke_meanwhile(s: Setting) -> tuple[str, str]:
    """Revoke a token during the outage: that holds here, and nobody else knows. The token, and the entry's id."""
    token = s.keys.jwt()
    entry = s.gateway.revoke(jti=jti(token))
    assert entry["delivered"] is False
    status, reason = s.gateway.reason("/orders", token)
    assert (status, reason) in ((401, "token_revoked"), (503, "issuer_unavailable"))
    return token, entry["id"]


def is_delivered(s: Setting, revoked: list[tuple[str, str]]) -> None:
    """Every one of these is refused here, and those made here have been handed over."""
    for token, _ in revoked:
        s.until_revoked(token)
    until(lambda: all(s.gateway.revocations()[entry] for _, entry in revoked), lambda: s.gateway.log)


def jti(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])
