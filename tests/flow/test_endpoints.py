"""Several endpoints behind the gateway: processes that die and come back under load, and how requests are shared."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.counting_server import CountingServer, counting_servers
from tests.flow.test_forwarding import OPEN
from tests.gateway_process import GatewayProcess, serving
from tests.http.origin import ScriptedOrigin, always_ok, silent, until
from tests.services import held_port
from tests.upstream.test_names import lookup_in
from tests.upstream.test_service import BUSY, always, several_on_one_port
from tests.world import bearer, configuration, world

SECONDS = 1.5
"""How long each part of a test under load takes."""


CLOSE = "Connection: close"


@dataclass
class Load:
    """Clients that ask without a pause, half of them GET, half of them POST."""

    origin: str
    outcomes: list[tuple[float, str, int]] = field(default_factory=list)
    """When a request ended, its method, and its status; 0 where the gateway itself broke off."""
    sent: Counter[str] = field(default_factory=Counter)

    async def __aenter__(self) -> Load:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._numbers = itertools.count()
        self._tasks = [asyncio.create_task(self._ask(method)) for method in ("GET", "POST") * 4]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def _ask(self, method: str) -> None:
        while True:
            identifier = str(next(self._numbers))
            self.sent[f"{method} {identifier}"] += 1
            body = b"paid" if method == "POST" else None
            try:
                async with self._session.request(
                    method, f"{self.origin}/open/x", headers={"X-Id": identifier}, data=body
                ) as answer:
                    await answer.read()
                    self.outcomes.append((time.monotonic(), method, answer.status))
            except aiohttp.ClientError:
                self.outcomes.append((time.monotonic(), method, 0))
            await asyncio.sleep(0)

    def statuses(self, method: str, since: float = 0.0) -> Counter[int]:
        """How requests of a method ended since then."""
        return Counter(status for when, asked, status in self.outcomes if asked == method and when >= since)


@asynccontextmanager
async def under_load(
    folder: Path, upstream: Mapping[str, Any]
) -> AsyncIterator[tuple[GatewayProcess, list[CountingServer], Load]]:
    """Three upstream processes, a gateway process before them, and clients."""
    with counting_servers(folder, 3) as servers:
        blocks = {
            "upstreams": {"orders": {"urls": [server.url for server in servers], **upstream}},
            "routes": [{**OPEN, "upstream": "orders"}],
            "log": {"access": False},
        }
        with held_port() as port, held_port() as admin_port, serving(folder, port, admin_port, blocks) as gateway:
            async with Load(gateway.origin) as load:
                yield gateway, servers, load


async def healthy(gateway: GatewayProcess, server: CountingServer, wanted: float) -> None:
    """Wait until the metric says so."""
    deadline = time.monotonic() + 30
    figure = "gateway_upstream_healthy"
    while await asyncio.to_thread(gateway.figure, figure, upstream="orders", endpoint=server.url) != wanted:
        assert time.monotonic() < deadline, gateway.log
        await asyncio.sleep(0.02)


def received(servers: list[CountingServer]) -> Counter[str]:
    return sum((server.requests for server in servers), Counter[str]())


async def test_one_of_three_is_killed_and_no_get_fails_after_its_ejection_and_no_post_is_sent_twice(
    tmp_path: Path,
) -> None:
    async with under_load(tmp_path, {"ejection": {"failures": 3, "for": "300ms"}}) as (gateway, servers, load):
        await asyncio.sleep(SECONDS)
        killed = servers[1]
        killed.kill()
        await healthy(gateway, killed, 0)
        ejected = time.monotonic() + 0.2  # what was under way when the metric was read has ended by then
        await asyncio.sleep(SECONDS)
        without = time.monotonic()
        await asyncio.to_thread(killed.start)
        await healthy(gateway, killed, 1)
        seen = len(killed.requests)
        await asyncio.sleep(SECONDS)
    after = load.statuses("GET", ejected)
    assert set(after) == {200}, after
    assert sum(count for status, count in load.statuses("POST", ejected).items() if status != 200) == 0
    assert sum(load.statuses("GET", ejected).values()) > sum(load.statuses("GET", without).values()) > 50
    assert len(killed.requests) > seen + 20  # it gets its share again
    found = received(servers)
    assert max(found.values()) == 1  # nothing at all was sent twice: there are no retries here
    assert set(found) <= set(load.sent)


EVERYTHING = {
    "on": ["connect", "disconnect", "timeout", 502, 503, 504],
    "methods": ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"],
}


@pytest.mark.parametrize("more", [{"on": ["connect", "disconnect"]}, EVERYTHING], ids=["usual", "everything"])
async def test_with_retries_no_get_fails_at_all_and_still_no_post_is_sent_twice(
    tmp_path: Path, more: Mapping[str, Any]
) -> None:
    rules = {
        "ejection": {"failures": 3, "for": "300ms"},
        "retry": {"attempts": 2, "budget": 1.0, **more},
    }
    async with under_load(tmp_path, rules) as (gateway, servers, load):
        for server in servers:
            await asyncio.sleep(SECONDS / 2)
            server.kill()
            await healthy(gateway, server, 0)
            await asyncio.sleep(SECONDS / 2)
            await asyncio.to_thread(server.start)
            await healthy(gateway, server, 1)
    # A response that was cut off inside its body can't be repeated: part of it is with the client already.
    failed = {status: count for status, count in load.statuses("GET").items() if status != 200}
    assert failed.get(502, 0) + failed.get(504, 0) == 0, failed
    assert sum(load.statuses("GET").values()) > 100
    posts = {name: count for name, count in received(servers).items() if name.startswith("POST")}
    assert max(posts.values()) == 1
    answered = load.statuses("POST")[200]
    assert answered <= len(posts) <= sum(load.statuses("POST").values()) + 8


def gets_more(server: CountingServer, than: int) -> bool:
    return len(server.requests) > than


async def test_probes_take_out_what_says_it_is_sick_before_a_request_fails(tmp_path: Path) -> None:
    probes = {"interval": "50ms", "timeout": "5s", "unhealthy_after": 2, "healthy_after": 2}
    async with under_load(tmp_path, {"health": probes}) as (gateway, servers, load):
        for _ in range(2):
            servers[0].sick.touch()
            await healthy(gateway, servers[0], 0)
            await asyncio.sleep(0.2)
            seen = len(servers[0].requests)
            await asyncio.sleep(SECONDS / 3)
            assert len(servers[0].requests) == seen
            servers[0].sick.unlink()
            await healthy(gateway, servers[0], 1)
            await until(functools.partial(gets_more, servers[0], seen))
        assert "is unhealthy: status 503" in gateway.log
        assert "is healthy again" in gateway.log
    assert set(load.statuses("GET") + load.statuses("POST")) == {200}


# How requests are shared


def urls(*origins: ScriptedOrigin) -> list[str]:
    return [f"http://127.0.0.1:{origin.port}" for origin in origins]


def count(origin: ScriptedOrigin) -> int:
    return sum(received.count(b"GET /") for received in origin.received)


async def test_requests_are_shared_by_weight_and_each_endpoint_is_called_by_its_own_name() -> None:
    async with ScriptedOrigin(always_ok) as one, ScriptedOrigin(always_ok) as other:
        addresses = [{"url": urls(one)[0] + "/base", "weight": 3}, urls(other)[0] + "/base/"]
        async with world(OPEN, origin=ScriptedOrigin(always_ok), upstreams={"orders": {"urls": addresses}}) as w:
            for _ in range(8):
                assert (await w.ask("GET", "/open/x", CLOSE)).status == 200
        assert [count(one), count(other)] == [6, 2]
        for origin in (one, other):
            hosts = re.findall(rb"\r\nHost: (\S+)", b"".join(origin.received))
            assert set(hosts) == {f"127.0.0.1:{origin.port}".encode()}
            assert b"GET /base/open/x HTTP" in origin.received[0]


@pytest.mark.parametrize("setting", ["preserve", "orders.internal"])
async def test_a_route_may_say_another_host_to_all_of_them(setting: str) -> None:
    async with ScriptedOrigin(always_ok) as one, ScriptedOrigin(always_ok) as other:
        upstreams = {"orders": {"urls": urls(one, other)}}
        async with world({**OPEN, "host_header": setting}, upstreams=upstreams) as w:
            for _ in range(2):
                await w.ask("GET", "/open/x", CLOSE)
        expected = b"api.example.com" if setting == "preserve" else b"orders.internal"
        assert all(b"\r\nHost: %b\r\n" % expected in origin.received[0] for origin in (one, other))


async def test_the_callers_of_one_subject_always_meet_the_same_endpoint() -> None:
    async with ScriptedOrigin(always_ok) as one, ScriptedOrigin(always_ok) as other:
        upstreams = {"orders": {"urls": urls(one, other), "balance": "hash:sub"}}
        async with world({"path": "/**"}, upstreams=upstreams) as w:
            for number in range(12):
                for _ in range(3):
                    assert (await w.ask("GET", "/x", bearer(sub=f"user-{number}"), CLOSE)).status == 200
        subjects = [
            Counter(re.findall(rb"X-Auth-Subject: (\S+)", b"".join(origin.received))) for origin in (one, other)
        ]
        assert not set(subjects[0]) & set(subjects[1])
        assert len(subjects[0] + subjects[1]) == 12
        assert min(len(each) for each in subjects) > 0
        assert set((subjects[0] + subjects[1]).values()) == {3}


async def test_the_least_busy_endpoint_is_asked_while_another_one_hangs() -> None:
    async with ScriptedOrigin(silent) as slow, ScriptedOrigin(always_ok) as quick:
        upstreams = {"orders": {"urls": urls(slow, quick), "balance": "least_requests"}}
        async with world(OPEN, upstreams=upstreams) as w:
            first = [asyncio.create_task(w.ask("GET", "/open/x", CLOSE)) for _ in range(2)]
            await until(lambda: len(slow.peers) == 1)
            for _ in range(12):
                assert (await w.ask("GET", "/open/x", CLOSE)).status == 200
            assert len(slow.peers) == 1
            for task in first:
                task.cancel()
            await asyncio.gather(*first, return_exceptions=True)


async def test_a_name_with_several_addresses_is_several_endpoints(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("127.0.0.2 orders.internal\n127.0.0.3 orders.internal\n")
    origins = await several_on_one_port("127.0.0.2", "127.0.0.3")
    url = f"http://orders.internal:{origins[0].port}"
    async with world(OPEN, lookup=lookup_in(file), upstreams={"orders": {"url": url}}) as w:
        await until(lambda: len(w.gateway.upstreams["orders"].endpoints) == 2)
        answers = [await w.ask("GET", "/open/x", CLOSE) for _ in range(4)]
        assert Counter(answer.body for answer in answers) == {b"127.0.0.2": 2, b"127.0.0.3": 2}
    for origin in origins:
        assert f"Host: orders.internal:{origin.port}\r\n".encode() in origin.received[0]
        await origin.__aexit__(None, None, None)


# What clients are told


async def test_without_a_healthy_endpoint_it_is_503_with_a_time_to_come_back() -> None:
    async with ScriptedOrigin(always(BUSY)) as origin:
        probes = {"interval": "1500ms", "unhealthy_after": 1}
        upstreams = {"orders": {"url": urls(origin)[0], "health": probes}}
        async with world(OPEN, upstreams=upstreams) as w:
            await until(lambda: not any(w.gateway.upstreams["orders"].health.values()))
            answer = await w.ask("GET", "/open/x", CLOSE)
            assert (answer.status, json.loads(answer.body)["reason"]) == (503, "upstream_unavailable")
            assert answer.header("Retry-After") == "2"
            assert str(origin.port) not in answer.body.decode()


async def test_a_name_without_an_address_is_an_upstream_that_can_not_be_reached() -> None:
    async with world(OPEN, upstreams={"orders": {"url": "http://name.invalid:80"}}) as w:
        answer = await w.ask("GET", "/open/x", CLOSE)
        assert (answer.status, json.loads(answer.body)["reason"]) == (502, "upstream_unreachable")


async def test_endpoints_at_unix_sockets_and_ports_may_stand_side_by_side(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with ScriptedOrigin(always_ok, unix_path=path) as unix, ScriptedOrigin(always_ok) as tcp:
        upstreams = {"orders": {"urls": [f"unix:{path}", *urls(tcp)]}}
        async with world(OPEN, upstreams=upstreams) as w:
            for _ in range(4):
                assert (await w.ask("GET", "/open/x", CLOSE)).status == 200
        assert [count(unix), count(tcp)] == [2, 2]
        assert b"\r\nHost: localhost\r\n" in unix.received[0]


def test_a_single_endpoint_with_defaults_is_on_the_direct_way() -> None:
    from gateway import build

    upstream = build.build(configuration(9, OPEN)).upstreams["orders"]
    assert upstream.direct is upstream.endpoints[0].pool
