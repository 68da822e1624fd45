"""A rate limit that two gateways share through one Redis, each a process of its own: how much passes, with counts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.counting_server import CountingServer, counting_servers
from tests.gateway_process import GatewayProcess, serving
from tests.redis_servers import RedisNode, redis_node, until
from tests.services import held_port
from tests.world import AUDIENCE, ISSUER, mint, public_jwks

LIMIT, PER = 100, 60.0
SENT = 300
TOLERANCE = 2
QUICK = TOLERANCE * PER / LIMIT
"""Seconds in which not more than the tolerance comes up again."""

ALONE = "every process counts rate limits by itself"
TOGETHER = "rate limits are counted together again"


@dataclass
class Burst:
    """What came of requests that were sent as fast as the clients could, in turns to every gateway."""

    statuses: Counter[int] = field(default_factory=Counter)
    passed_by: Counter[int] = field(default_factory=Counter)
    """How many of them each gateway let through, by its place."""
    told: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Replicas:
    """The gateways, their Redis, and the upstream that counts."""

    gateways: Sequence[GatewayProcess]
    node: RedisNode
    upstream: CountingServer
    session: aiohttp.ClientSession
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def burst(self, path: str, *, sent: int = SENT, token: str | None = None) -> Burst:
        """Send them, twenty at a time."""
        found, left = Burst(), iter(range(sent))
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}

        async def client() -> None:
            for number in left:
                place = number % len(self.gateways)
                asked = {**headers, "X-Id": f"{path}-{next(self.numbers)}"}
                async with self.session.get(self.gateways[place].origin + path, headers=asked) as answer:
                    await answer.read()
                    found.statuses[answer.status] += 1
                    found.passed_by[place] += answer.status == 200
                    found.told.append((answer.status, dict(answer.headers)))

        started = time.monotonic()
        await asyncio.gather(*(client() for _ in range(20)))
        found.seconds = time.monotonic() - started
        return found

    def arrived(self, path: str) -> int:
        """How many requests with that path the upstream was sent."""
        return sum(count for name, count in self.upstream.requests.items() if name.startswith(f"GET {path}-"))

    def logs(self, text: str) -> list[int]:
        """How often each gateway has written that."""
        return [gateway.log.count(text) for gateway in self.gateways]


def limited(by: str) -> dict[str, Any]:
    return {"rate_limit": {"requests": LIMIT, "per": f"{PER:g}s", "by": by}, "upstream": "orders"}


@contextlib.asynccontextmanager
async def replicas(folder: Path, count: int = 2) -> AsyncIterator[Replicas]:
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(redis_node(folder))
        (upstream,) = stack.enter_context(counting_servers(folder, 1))
        blocks = {
            "redis": {"url": node.url, "timeout": "2s"},
            "issuers": {"corp": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks())}},
            "upstreams": {"orders": {"url": upstream.url}},
            "routes": [
                {"name": "own", "path": "/own", **limited("subject")},
                *({"name": f"all-{n}", "path": f"/all/{n}", "public": True, **limited("ip")} for n in range(20)),
            ],
            "log": {"access": False},
        }
        ports = [(stack.enter_context(held_port()), stack.enter_context(held_port())) for _ in range(count)]
        gateways = [stack.enter_context(serving(folder, *pair, blocks)) for pair in ports]
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        async with session:
            running = Replicas(gateways, node, upstream, session)
            # Connections to Redis and to the upstream are there when it counts.
            await running.burst("/all/19", sent=40)
            yield running


async def judged(r: Replicas, paths: Iterator[str], share: int = 1) -> tuple[str, Burst]:
    """A burst that was quick enough to be judged by: on a busy machine the bucket refills while it lasts.

    Each of them lets through a whole bucket, and what its time adds; `share` is how many buckets there are.
    """
    for path in itertools.islice(paths, 6):
        found = await r.burst(path)
        assert share * LIMIT <= found.statuses[200] <= share * (LIMIT + found.seconds * LIMIT / PER + 1)
        assert set(found.statuses) == {200, 429}
        assert r.arrived(path) == found.statuses[200]
        if found.seconds < QUICK:
            assert found.statuses[200] <= share * (LIMIT + TOLERANCE)
            break
    return path, found


def paths(first: int) -> Iterator[str]:
    return (f"/all/{number}" for number in range(first, first + 6))


async def test_one_hundred_a_minute_over_two_gateways_lets_one_hundred_through(tmp_path: Path) -> None:
    async with replicas(tmp_path) as r:
        _, found = await judged(r, paths(0))
        assert min(found.passed_by[place] for place in range(2)) > LIMIT / 10  # both of them took part
        lefts = set()
        for status, fields in found.told:
            assert fields["RateLimit-Policy"] == '"default";q=100;w=60'
            told = re.fullmatch(r'"default";r=(\d+);t=(\d+)', fields["RateLimit"])
            assert told is not None
            left, reset = int(told[1]), int(told[2])
            if status == 429:
                assert (left, reset, fields["Retry-After"]) == (0, 1, "1")
            else:
                assert 0 <= left < LIMIT
                assert 1 <= reset <= PER
                assert "Retry-After" not in fields
                lefts.add(left)
        # What is left is told as it is shared: nearly every answer has a number of its own.
        assert len(lefts) > LIMIT - found.seconds * LIMIT / PER - TOLERANCE


async def test_by_subject_both_gateways_count_together_and_others_are_not_touched(tmp_path: Path) -> None:
    async with replicas(tmp_path) as r:
        found = await r.burst("/own", token=mint(sub="u1"))
        assert LIMIT <= found.statuses[200] <= LIMIT + found.seconds * LIMIT / PER + 1
        other = await r.burst("/own", token=mint(sub="u2"), sent=LIMIT)
        assert other.statuses == {200: LIMIT}
        forged = await r.burst("/own", token=mint(sub="u3") + "x", sent=2 * LIMIT)
        assert forged.statuses == {401: 2 * LIMIT}
        victim = await r.burst("/own", token=mint(sub="u3"), sent=LIMIT)
        assert victim.statuses == {200: LIMIT}


async def test_redis_is_killed_meanwhile_and_each_gateway_limits_by_itself_until_it_is_back(tmp_path: Path) -> None:
    async with replicas(tmp_path) as r:
        going = asyncio.create_task(r.burst("/all/0", sent=1500))
        await asyncio.to_thread(until, lambda: r.arrived("/all/0") > LIMIT / 4)
        r.node.kill()
        found = await going
        # Not one request failed; what had been taken in Redis is forgotten, and each gateway has a bucket of its own.
        assert set(found.statuses) <= {200, 429}
        assert found.statuses[200] <= 3 * (LIMIT + found.seconds * LIMIT / PER + 1)
        assert r.arrived("/all/0") == found.statuses[200]
        _, alone = await judged(r, paths(1), share=2)
        assert min(alone.passed_by[place] for place in range(2)) >= LIMIT
        assert r.logs(ALONE) == [1, 1]
        assert await figures(r, "gateway_redis_up") == [0, 0]
        limited = [
            await asyncio.to_thread(gateway.figure, "gateway_rate_limited_total", route="all-1")
            for gateway in r.gateways
        ]
        assert min(limited) > 0
        r.node.start()
        await back(r)
        await judged(r, paths(7))
        assert r.logs(TOGETHER) == [1, 1]
        assert await figures(r, "gateway_redis_up") == [1, 1]


async def figures(r: Replicas, name: str) -> list[float]:
    return [await asyncio.to_thread(gateway.figure, name) for gateway in r.gateways]


async def back(r: Replicas) -> None:
    """Wait until both have seen that Redis is there again: only a request looks."""
    deadline = time.monotonic() + 60
    while r.logs(TOGETHER) != [1, 1]:
        assert time.monotonic() < deadline, r.logs(TOGETHER)
        await r.burst("/all/18", sent=2)
        await asyncio.sleep(0.05)
