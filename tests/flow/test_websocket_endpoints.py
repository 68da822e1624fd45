"""WebSockets to an upstream of several endpoints: how they are shared, and what becomes of one that is not there."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.flow.test_endpoints import urls
from tests.http.origin import OK, Peer, ScriptedOrigin, answers
from tests.http.websockets import UPGRADE, ClientSide, OriginSide, echo, switch, switched, until, websocket
from tests.services import held_port
from tests.upstream.test_service import BUSY, hang_up
from tests.world import World, bearer, world

OPEN = {"name": "open", "path": "/open/**", "public": True}
CONNECT = {"attempts": 1, "on": ["connect"], "budget": 1.0}


def holding() -> ScriptedOrigin:
    return ScriptedOrigin(switched(OriginSide.until_closed))


def opened(origin: ScriptedOrigin) -> int:
    """How many handshakes an endpoint was sent."""
    return sum(received.count(b"Upgrade: websocket\r\n") for received in origin.received)


@contextlib.asynccontextmanager
async def before(addresses: list[Any], *, route: Any = OPEN, **rules: Any) -> AsyncIterator[World]:
    async with world(route, upstreams={"orders": {"urls": addresses, **rules}}) as w:
        yield w


async def status_of(w: World) -> int:
    """What a client that asks for a WebSocket gets."""
    async with websocket(w.address, "/open/ws") as client:
        return client.status


async def test_one_whose_endpoint_takes_no_connection_is_opened_at_another_one() -> None:
    with held_port() as nobody:
        async with ScriptedOrigin(switched(echo)) as good, before([f"http://127.0.0.1:{nobody}", *urls(good)]) as w:
            assert sorted([await status_of(w) for _ in range(4)]) == [101, 101, 502, 502]
        async with (
            ScriptedOrigin(switched(echo)) as good,
            before([f"http://127.0.0.1:{nobody}", *urls(good)], retry=CONNECT) as w,
        ):
            for _ in range(4):
                async with websocket(w.address, "/open/ws") as client:
                    assert client.status == 101
                    await client.say(b"hello")
                    assert (await client.frame()).payload == b"hello"
            assert w.gateway.upstreams["orders"].retries == 2
            assert opened(good) == 4
            assert f"Host: 127.0.0.1:{good.port}\r\n".encode() in good.received[0]


async def test_an_endpoint_that_fails_again_and_again_is_ejected_by_websockets_alone() -> None:
    with held_port() as nobody:
        async with (
            holding() as good,
            before([f"http://127.0.0.1:{nobody}", *urls(good)], ejection={"failures": 3, "for": "50ms"}) as w,
        ):
            assert sorted([await status_of(w) for _ in range(20)]) == [101] * 17 + [502] * 3
            assert w.gateway.upstreams["orders"].health == {f"http://127.0.0.1:{nobody}": False, urls(good)[0]: True}


async def test_one_that_was_opened_begins_the_count_of_failures_anew() -> None:
    async def every_third(peer: Peer) -> None:
        head = await peer.head()
        await peer.send(switch(head) if b"X-Good" in head else BUSY)
        await peer.until_closed()

    async with (
        ScriptedOrigin(every_third) as flapping,
        holding() as good,
        before(urls(flapping, good), ejection={"failures": 3, "for": "1h"}) as w,
    ):
        for number in range(24):
            headers = ("X-Good: 1",) if number // 2 % 3 == 2 else ()
            async with websocket(w.address, "/open/ws", *headers):
                pass
        assert all(w.gateway.upstreams["orders"].health.values())
        assert opened(flapping) == 12
        for _ in range(6):
            await status_of(w)
        assert not w.gateway.upstreams["orders"].health[urls(flapping)[0]]


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        (hang_up, "disconnect"),
        (answers(BUSY), "503"),
        (answers(b"HTTP/1.1 503 Busy\r\nContent-Length: 300000\r\n\r\nbegun"), "503"),
    ],
    ids=["closed", "busy", "busy at length"],
)
async def test_an_answer_that_is_none_is_had_from_another_endpoint_where_the_rules_say_so(
    script: Any, cause: str
) -> None:
    async with ScriptedOrigin(script) as bad, ScriptedOrigin(switched(echo)) as good:
        rules = {"attempts": 1, "on": [cause], "budget": 1.0}
        async with before(urls(bad, good), retry=rules) as w:
            assert [await status_of(w) for _ in range(4)] == [101] * 4
            await until(lambda: all(endpoint.pool.open == 0 for endpoint in w.gateway.upstreams["orders"].endpoints))
        assert (opened(bad), opened(good)) == (2, 4)
        assert [record.upstream_status for record in w.records] == [101] * 4


async def test_a_101_that_is_no_answer_is_blamed_on_its_endpoint_and_not_asked_for_again() -> None:
    async def wrong(peer: Peer) -> None:
        await peer.send(switch(await peer.head()).replace(b"Accept: ", b"Accept: x"))
        await peer.until_closed()

    rules = {"attempts": 1, "on": ["connect", "disconnect", "timeout", 502], "budget": 1.0}
    async with (
        ScriptedOrigin(wrong) as bad,
        holding() as good,
        before(urls(bad, good), retry=rules, ejection={"failures": 2, "for": "1h"}) as w,
    ):
        assert sorted([await status_of(w) for _ in range(8)]) == [101] * 6 + [502] * 2
        assert not w.gateway.upstreams["orders"].health[urls(bad)[0]]


async def test_open_ones_count_as_load_for_as_long_as_they_are_open() -> None:
    async with (
        holding() as one,
        holding() as other,
        contextlib.AsyncExitStack() as clients,
        before(urls(one, other), balance="least_requests") as w,
    ):
        one_of, other_of = w.gateway.upstreams["orders"].endpoints

        async def another() -> ClientSide:
            return await clients.enter_async_context(websocket(w.address, "/open/ws"))

        for _ in range(6):
            assert (await another()).status == 101
        assert (one_of.pool.load, other_of.pool.load) == (3, 3)
        for peer in one.peers:
            await peer.reset()
        await until(lambda: one_of.pool.load == 0)
        for _ in range(3):
            assert (await another()).status == 101
        assert (opened(one), opened(other)) == (6, 3)
        assert (one_of.pool.load, other_of.pool.load) == (3, 3)
        await clients.aclose()
        await until(lambda: one_of.pool.load == other_of.pool.load == 0)


async def test_requests_keep_away_from_an_endpoint_that_websockets_fill() -> None:
    async def either(peer: Peer) -> None:
        while True:
            head = await peer.head()
            if b"Upgrade: websocket" in head:
                await peer.send(switch(head))
                await peer.until_closed()
                return
            await peer.send(OK)

    async with (
        ScriptedOrigin(either) as one,
        ScriptedOrigin(either) as other,
        before(urls(one, other), balance="least_requests") as w,
        websocket(w.address, "/open/1") as first,
    ):
        assert first.status == 101
        free = other if opened(one) else one
        for _ in range(4):
            assert (await w.ask("GET", "/open/x", "Connection: close")).status == 200
        assert sum(received.count(b"GET /open/x") for received in free.received) == 4


@pytest.mark.parametrize("patience", ["30s", "200ms"])
async def test_without_a_place_it_waits_its_turn_and_a_full_queue_is_no_failure_of_an_endpoint(patience: str) -> None:
    rules = {"max_connections": 1, "timeouts": {"connect": patience}, "ejection": {"failures": 1, "for": "1h"}}
    async with holding() as one, holding() as other, before(urls(one, other), retry=CONNECT, **rules) as w:
        endpoints = w.gateway.upstreams["orders"].endpoints
        async with websocket(w.address, "/open/1") as first, websocket(w.address, "/open/2") as second:
            assert (first.status, second.status) == (101, 101)
            waiting = asyncio.create_task(status_of(w))
            if patience == "30s":
                await until(lambda: sum(endpoint.pool.load for endpoint in endpoints) == 3)
                assert opened(one) == opened(other) == 1
            else:
                assert await waiting == 503
        assert await waiting == (101 if patience == "30s" else 503)
        assert all(w.gateway.upstreams["orders"].health.values())
        assert w.gateway.upstreams["orders"].retries == 0


async def test_without_a_healthy_endpoint_it_is_503() -> None:
    async with (
        ScriptedOrigin(answers(BUSY)) as sick,
        before(urls(sick), health={"interval": "50ms", "unhealthy_after": 1}) as w,
    ):
        await until(lambda: not any(w.gateway.upstreams["orders"].health.values()))
        answer = await w.ask("GET", "/open/ws", *UPGRADE)
        assert (answer.status, json.loads(answer.body)["reason"]) == (503, "upstream_unavailable")
        assert answer.header("Retry-After") == "1"


async def test_the_websockets_of_one_subject_always_meet_the_same_endpoint() -> None:
    own = {"name": "own", "path": "/own/**"}
    async with holding() as one, holding() as other:
        async with before(urls(one, other), route=own, balance="hash:sub") as w:
            for number in range(8):
                for _ in range(3):
                    async with websocket(w.address, "/own/ws", bearer(sub=f"user-{number}")) as client:
                        assert client.status == 101
        for number in range(8):
            line = b"X-Auth-Subject: user-%d\r\n" % number
            met = [sum(line in received for received in origin.received) for origin in (one, other)]
            assert sorted(met) == [0, 3]
