"""Endpoints in and out of rotation, retries, and names whose addresses change, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.client import ConnectFailed, Disconnected, Origin, Pool, ResponseTimeout, UpstreamResponse
from gateway.upstream.ejection import EjectionRules
from gateway.upstream.endpoint import Endpoint, Site
from gateway.upstream.health import ProbeRules
from gateway.upstream.retry import CAUSES, Budget, Retry
from gateway.upstream.service import Upstream
from tests.http.origin import OK, Peer, Script, ScriptedOrigin, always_ok, silent, until
from tests.upstream.endpoints import make_pool, site
from tests.upstream.test_names import lookup_in

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
PROBE = ProbeRules("/healthz", 0.02, 1, 2, 2, ((200, 399),))
EVERYTHING = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH")


def always(response: bytes) -> Script:
    """Answers every request so."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(response)

    return script


async def hang_up(peer: Peer) -> None:
    """Reads a request and closes."""
    await peer.request()


def retrying(*causes: str, attempts: int = 1, methods: tuple[str, ...] = EVERYTHING, budget: float = 1.0) -> Retry:
    return Retry(attempts, frozenset(causes), frozenset(methods), Budget(budget))


@contextlib.asynccontextmanager
async def upstream_of(*sites: Site, **rules: Any) -> AsyncIterator[Upstream]:
    upstream = Upstream("orders", sites, rules.pop("make_pool", make_pool), randomness=lambda: 0.0, **rules)
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.close()
        await until(lambda: all(endpoint.pool.open == 0 for endpoint in upstream.endpoints))


async def ask(
    upstream: Upstream, method: str = "GET", body: Callable[[], AsyncIterator[bytes]] | None = None
) -> UpstreamResponse:
    """One request by whichever way the upstream has for it."""
    length = b"Content-Length: 2\r\n" if body is not None else b""
    head = b"%b / HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method.encode(), length)

    def attempt(endpoint: Endpoint) -> Awaitable[UpstreamResponse]:
        return endpoint.pool.send(head, method=method, body=None if body is None else body())

    return await upstream.send(attempt, key=None, method=method, has_body=body is not None)


async def two_bytes() -> AsyncIterator[bytes]:
    yield b"hi"


def unused_site() -> Site:
    """Where nobody listens: port 1 needs privileges, and nobody has it."""
    return site(1)


# One endpoint


async def test_the_only_endpoint_is_reached_without_a_detour() -> None:
    async with ScriptedOrigin(always_ok) as origin, upstream_of(site(origin.port)) as upstream:
        assert upstream.direct is upstream.endpoints[0].pool
        assert (await ask(upstream)).status == 200


async def test_there_is_a_detour_when_there_is_something_to_choose_or_to_repeat() -> None:
    async with upstream_of(site(1), site(2)) as two, upstream_of(site(1), retry=retrying("connect")) as repeated:
        assert two.direct is repeated.direct is None


# Ejection


async def test_an_endpoint_that_fails_again_and_again_is_out_until_it_takes_connections() -> None:
    rules = EjectionRules(3, 0.05)
    async with ScriptedOrigin(always_ok) as good:
        async with ScriptedOrigin(always_ok) as bad:
            port = bad.port
        async with upstream_of(site(good.port), site(port), ejection=rules) as upstream:
            failed = 0
            for _ in range(20):
                try:
                    await ask(upstream)
                except ConnectFailed:
                    failed += 1
            assert failed == 3
            assert upstream.health == {f"http://127.0.0.1:{good.port}": True, f"http://127.0.0.1:{port}": False}
            await asyncio.sleep(0.2)  # it is tried meanwhile, but not by a request
            for _ in range(20):
                await ask(upstream)
            async with ReopenedOrigin(port, always_ok) as back:
                await until(lambda: all(upstream.health.values()))
                for _ in range(4):
                    await ask(upstream)
                assert back.received[0].count(b"GET") == 2


class ReopenedOrigin(ScriptedOrigin):
    """Listens at a port that was free a moment ago."""

    def __init__(self, port: int, *scripts: Script) -> None:
        super().__init__(*scripts)
        self.port = port

    async def __aenter__(self) -> ScriptedOrigin:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self


async def test_after_it_came_back_one_failure_is_enough() -> None:
    async with (
        ScriptedOrigin(always_ok) as good,
        ScriptedOrigin(always(BUSY)) as busy,
        upstream_of(site(good.port), site(busy.port), ejection=EjectionRules(3, 0.05)) as upstream,
    ):
        statuses = [(await ask(upstream)).status for _ in range(12)]
        assert statuses.count(503) == 3
        await until(lambda: all(upstream.health.values()))
        statuses = [(await ask(upstream)).status for _ in range(4)]
        assert statuses.count(503) == 1
        assert not all(upstream.health.values())


@pytest.mark.parametrize("status", [502, 503, 504, 500, 404])
async def test_only_answers_that_say_nobody_is_there_are_failures(status: int) -> None:
    answer = b"HTTP/1.1 %d Odd\r\nContent-Length: 0\r\n\r\n" % status
    async with (
        ScriptedOrigin(always_ok) as good,
        ScriptedOrigin(always(answer)) as odd,
        upstream_of(site(good.port), site(odd.port), ejection=EjectionRules(2, 60)) as upstream,
    ):
        found = Counter([(await ask(upstream)).status for _ in range(20)])
        assert found[status] == (2 if status in (502, 503, 504) else 10)


async def test_a_good_answer_begins_the_count_anew() -> None:
    async def every_third_is_good(peer: Peer) -> None:
        for number in range(30):
            await peer.request()
            await peer.send(OK if number % 3 == 2 else BUSY)

    async with (
        ScriptedOrigin(always_ok) as good,
        ScriptedOrigin(every_third_is_good) as flapping,
        upstream_of(site(good.port), site(flapping.port), ejection=EjectionRules(3, 60)) as upstream,
    ):
        found = Counter([(await ask(upstream)).status for _ in range(30)])
        assert found == {200: 20, 503: 10}


async def test_the_last_endpoint_is_never_ejected() -> None:
    async with upstream_of(unused_site(), site(2), ejection=EjectionRules(1, 60)) as upstream:
        for _ in range(10):
            with pytest.raises(ConnectFailed):
                await ask(upstream)
        assert sorted(upstream.health.values()) == [False, True]


async def test_a_full_queue_is_no_failure_of_the_endpoint() -> None:
    def narrow(origin: Origin) -> Pool:
        return Pool(origin, connect_timeout=0.02, response_timeout=5, idle_timeout=5, keep_alive=5, max_connections=1)

    async with ScriptedOrigin(silent) as one, ScriptedOrigin(silent) as other:
        rules = EjectionRules(1, 60)
        async with upstream_of(site(one.port), site(other.port), ejection=rules, make_pool=narrow) as upstream:
            tasks = [asyncio.create_task(ask(upstream)) for _ in range(10)]
            await asyncio.wait(tasks, timeout=0.5)
            assert sum(task.done() for task in tasks) == 8
            assert all(upstream.health.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


# Probes


async def test_without_a_healthy_endpoint_there_is_no_answer_but_a_time_to_come_back() -> None:
    async with ScriptedOrigin(always(BUSY)) as origin, upstream_of(site(origin.port), health=PROBE) as upstream:
        await until(lambda: not any(upstream.health.values()))
        assert upstream.direct is None
        with pytest.raises(GatewayError) as refused:
            await ask(upstream)
        assert (refused.value.reason, refused.value.retry_after) == (errors.UPSTREAM_UNAVAILABLE, 1)


async def test_an_ejected_endpoint_goes_on_when_probes_call_all_others_unhealthy() -> None:
    is_well = True

    async def probed(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(OK if is_well or b"/healthz" not in request else BUSY)

    async def well_for_probes_alone(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(OK if b"/healthz" in request else BUSY)

    async with ScriptedOrigin(probed) as one, ScriptedOrigin(well_for_probes_alone) as other:
        rules = {"health": PROBE, "ejection": EjectionRules(1, 60)}
        async with upstream_of(site(one.port), site(other.port), **rules) as upstream:
            await until(lambda: len(one.peers) > 0 and len(other.peers) > 0)
            assert {(await ask(upstream)).status for _ in range(2)} == {200, 503}
            assert {(await ask(upstream)).status for _ in range(4)} == {200}
            is_well = False
            await until(lambda: not upstream.health[f"http://127.0.0.1:{one.port}"])
            assert (await ask(upstream)).status == 503  # that of the ejected one, which is better than nothing


# Retries


async def test_a_request_that_was_not_written_goes_to_another_endpoint() -> None:
    async with (
        ScriptedOrigin(always_ok) as good,
        upstream_of(unused_site(), site(good.port), retry=retrying("connect")) as upstream,
    ):
        for method in EVERYTHING * 2:
            assert (await ask(upstream, method, two_bytes if method == "POST" else None)).status == 200
        assert upstream.retries == 7
    assert sum(received.count(b" / HTTP/1.1") for received in good.received) == 14


@pytest.mark.parametrize("cause", ["disconnect", "503"])
@pytest.mark.parametrize("method", EVERYTHING)
async def test_what_was_written_is_sent_twice_only_if_it_is_safe(cause: str, method: str) -> None:
    script = hang_up if cause == "disconnect" else always(BUSY)
    async with (
        ScriptedOrigin(script) as bad,
        ScriptedOrigin(always_ok) as good,
        upstream_of(site(bad.port), site(good.port), retry=retrying(*CAUSES)) as upstream,
    ):
        outcomes = Counter[object]()
        for _ in range(2):
            try:
                answer = await ask(upstream, method)
                outcomes[answer.status] += 1
                answer.close()
            except Disconnected:
                outcomes[503] += 1
        is_safe = method in ("GET", "HEAD", "OPTIONS")
        assert outcomes == ({200: 2} if is_safe else {200: 1, 503: 1})
    assert len(bad.peers) == 1
    assert sum(received.count(method.encode()) for received in good.received) == (2 if is_safe else 1)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_begun_body_is_never_sent_twice(method: str) -> None:
    async with (
        ScriptedOrigin(hang_up) as bad,
        ScriptedOrigin(always_ok) as good,
        upstream_of(site(bad.port), site(good.port), retry=retrying(*CAUSES)) as upstream,
    ):
        with pytest.raises(Disconnected):
            await ask(upstream, method, two_bytes)
    assert not good.received


async def test_a_silent_endpoint_is_left_for_another_one_when_that_is_asked_for() -> None:
    def impatient(origin: Origin) -> Pool:
        return Pool(origin, connect_timeout=5, response_timeout=0.05, idle_timeout=5, keep_alive=5, max_connections=8)

    async with ScriptedOrigin(silent) as slow, ScriptedOrigin(always_ok) as good:
        sites = site(slow.port), site(good.port)
        async with upstream_of(*sites, retry=retrying("timeout"), make_pool=impatient) as upstream:
            assert [(await ask(upstream)).status for _ in range(4)] == [200] * 4
        async with upstream_of(*sites, retry=retrying("connect"), make_pool=impatient) as upstream:
            with pytest.raises(ResponseTimeout):
                await ask(upstream)


async def test_the_last_answer_is_passed_on_when_no_attempt_is_left() -> None:
    async with (
        ScriptedOrigin(always(BUSY)) as one,
        ScriptedOrigin(always(BUSY)) as other,
        upstream_of(site(one.port), site(other.port), retry=retrying("503", attempts=3)) as upstream,
    ):
        assert (await ask(upstream)).status == 503
    assert [received.count(b"GET") for received in one.received + other.received] == [2, 2]


async def test_when_everything_fails_the_budget_bounds_what_is_sent() -> None:
    async with ScriptedOrigin(always(BUSY)) as one, ScriptedOrigin(always(BUSY)) as other:
        retry = retrying("503", budget=0.1)
        async with upstream_of(site(one.port), site(other.port), retry=retry) as upstream:
            for _ in range(1000):
                await ask(upstream)
            assert 100 <= upstream.retries <= 0.1 * 1000 + 50
    sent = sum(received.count(b"GET") for received in one.received + other.received)
    assert sent == 1000 + upstream.retries


async def test_the_only_endpoint_is_tried_again_too() -> None:
    async def twice_busy(peer: Peer) -> None:
        for answer in (BUSY, OK):
            await peer.request()
            await peer.send(answer)

    async with ScriptedOrigin(twice_busy) as origin, upstream_of(site(origin.port), retry=retrying("503")) as upstream:
        assert (await ask(upstream)).status == 200


# Names


def named(port: int) -> Site:
    return Site(f"http://orders:{port}", Origin("orders", port), f"orders:{port}", is_name=True)


async def several_on_one_port(*hosts: str) -> list[ScriptedOrigin]:
    """Origins at the same port of several addresses of this machine."""
    origins: list[ScriptedOrigin] = []
    for host in hosts:
        origin = PlacedOrigin(host, origins[0].port if origins else 0)
        await origin.__aenter__()
        origins.append(origin)
    return origins


class PlacedOrigin(ScriptedOrigin):
    """Listens at an address of the loopback network; says in its answers which."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(always(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(host), host.encode())))
        self._host = host
        self.port = port

    async def __aenter__(self) -> ScriptedOrigin:
        self._server = await asyncio.start_server(self._accept, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self


async def test_all_addresses_of_a_name_are_endpoints_and_changes_are_followed(tmp_path: Path) -> None:
    hosts = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    file = tmp_path / "hosts"
    origins = await several_on_one_port(*hosts)
    file.write_text("127.0.0.2 orders\n127.0.0.3 orders\n")
    rules = {"lookup": lookup_in(file), "look_every": 0.02}
    async with upstream_of(named(origins[0].port), **rules) as upstream:
        await until(lambda: len(upstream.endpoints) == 2)
        bodies = [(await ask(upstream)).body for _ in range(10)]
        assert Counter(bodies) == {b"127.0.0.2": 5, b"127.0.0.3": 5}
        assert upstream.health == {f"http://orders:{origins[0].port}": True}  # one line for the name
        stays = upstream.endpoints[1]
        file.write_text("127.0.0.4 orders\n127.0.0.3 orders\n")
        await until(lambda: {str(endpoint)[-10:-1] for endpoint in upstream.endpoints} == {"127.0.0.3", "127.0.0.4"})
        assert upstream.endpoints[0] is stays
        assert Counter([(await ask(upstream)).body for _ in range(10)]) == {b"127.0.0.3": 5, b"127.0.0.4": 5}
        await until(lambda: origins[0].peers[0].ended.is_set())  # nothing goes on to the one that is gone
        file.write_text("127.0.0.4 orders\n")
        await until(lambda: upstream.direct is not None)
        assert (await ask(upstream)).body == b"127.0.0.4"
        file.write_text("")
        await asyncio.sleep(0.1)
        assert (await ask(upstream)).body == b"127.0.0.4"
    for origin in origins:
        await origin.__aexit__(None, None, None)


async def test_a_request_under_way_is_served_by_an_endpoint_that_is_gone(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.request()
        await go_on.wait()
        await peer.send(OK)
        await peer.until_closed()

    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 orders\n")
    async with ScriptedOrigin(slow) as origin:
        async with upstream_of(named(origin.port), lookup=lookup_in(file), look_every=0.02) as upstream:
            await until(lambda: upstream.endpoints[0].pool.origin.addresses == ("127.0.0.1",))
            under_way = asyncio.create_task(ask(upstream))
            await until(lambda: bool(origin.peers))
            file.write_text("127.0.0.9 orders\n")
            await until(lambda: upstream.endpoints[0].pool.origin.addresses == ("127.0.0.9",))
            go_on.set()
            assert (await under_way).body == b"ok"
        await origin.peers[0].ended.wait()


async def test_an_endpoint_whose_one_family_is_dead_is_reached_by_the_other(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("::1 orders\n127.0.0.1 orders\n")
    # on IPv4 alone
    async with (
        ScriptedOrigin(always_ok) as origin,
        upstream_of(named(origin.port), lookup=lookup_in(file), look_every=0.02) as upstream,
    ):
        await until(lambda: upstream.endpoints[0].pool.origin.addresses == ("::1", "127.0.0.1"))
        assert len(upstream.endpoints) == 1
        assert (await ask(upstream)).status == 200


async def test_a_new_address_is_probed_and_one_that_is_gone_no_more(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    origins = await several_on_one_port("127.0.0.2", "127.0.0.3")
    file.write_text("127.0.0.2 orders\n")
    rules = {"lookup": lookup_in(file), "look_every": 0.02, "health": PROBE}
    async with upstream_of(named(origins[0].port), **rules):
        await until(lambda: len(origins[0].peers) > 1)
        file.write_text("127.0.0.3 orders\n")
        await until(lambda: len(origins[1].peers) > 1)
        seen = len(origins[0].peers)
        await asyncio.sleep(0.2)
        assert len(origins[0].peers) == seen
    for origin in origins:
        await origin.__aexit__(None, None, None)


async def test_nothing_is_done_in_the_background_for_an_endpoint_that_is_one_no_more() -> None:
    ended: list[str] = []

    async def work() -> None:
        ended.append("ran")

    async with upstream_of(site(1)) as upstream:
        endpoint = upstream.endpoints[0]
        endpoint.run(work())
        await until(lambda: ended == ["ran"])
        endpoint.close()
        # As the request does that failed last, when its upstream has been replaced by a reload.
        endpoint.run(work())
        assert endpoint.tasks == set()
        await asyncio.sleep(0)
        assert ended == ["ran"]
