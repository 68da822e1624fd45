"""One gateway at work on sockets that are given to it: what it takes, and how it drains."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway import build
from gateway.config import ConfigError
from gateway.process.listening import Place, bind
from gateway.process.service import Service
from tests.dialogue import Answer, request, talk
from tests.http.origin import OK, Peer, ScriptedOrigin
from tests.world import configuration


@contextlib.asynccontextmanager
async def service(port: int = 9, *, drain: str = "30s") -> AsyncIterator[tuple[Service, Place]]:
    config = configuration(
        port,
        {"path": "/open", "public": True, "respond": {"body": "hi"}},
        {"path": "/slow", "public": True},
        timeouts={"drain": drain},
        log={"access": False},
    )
    (place,) = bind(["127.0.0.1:0"])
    running = Service(config, environ={})
    await running.start()
    try:
        yield running, place
    finally:
        await running.close()
        place.close()


async def ask(place: Place, path: str, patience: float = 20) -> Answer:
    host, _, port = place.address.rpartition(":")
    return await talk((host, int(port)), request("GET", path), patience=patience)


async def test_it_takes_connections_only_from_the_sockets_it_was_given() -> None:
    async with service() as (running, place):
        assert running.health.report()["ready"] is True
        waiting = asyncio.create_task(ask(place, "/open"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await running.accept_on(place.sockets)
        assert (await waiting).status == 200
        assert b'gateway_requests_total{method="GET",route="/open",status="200"} 1.0' in running.metrics.render()


async def test_whoever_waits_in_the_queue_when_it_drains_is_served_and_then_nobody() -> None:
    async with service() as (running, place):
        waiting = [asyncio.create_task(ask(place, "/open")) for _ in range(5)]
        await asyncio.sleep(0.2)
        await running.drain(place.sockets)
        assert running.health.report()["ready"] is False
        for answer in await asyncio.gather(*waiting):
            assert answer.status == 200
            assert answer.closed
        with pytest.raises(ConnectionRefusedError):
            await ask(place, "/open")


@pytest.mark.parametrize("drain", ["30s", "1s"])
async def test_what_runs_may_finish_in_its_time(drain: str) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await go.wait()
        await peer.send(OK)
        await peer.until_closed()

    async with ScriptedOrigin(slow) as origin, service(origin.port, drain=drain) as (running, place):
        await running.accept_on(place.sockets)
        answer = asyncio.create_task(ask(place, "/slow", patience=4))
        await asked.wait()
        draining = asyncio.create_task(running.drain(place.sockets))
        await asyncio.sleep(0.3)
        assert not draining.done()
        if drain == "1s":
            await draining
            assert (await answer).raw == b""
            go.set()
        else:
            go.set()
            assert (await answer).status == 200
            await draining


async def test_what_can_not_be_built_is_no_service() -> None:
    issuer = {"issuer": "https://a.example", "audience": "a", "jwks": {"keys": []}}
    config = configuration(9, {"path": "/x"}, issuers={"corp": issuer})
    with pytest.raises(ConfigError):
        Service(config, environ={})


@pytest.mark.parametrize(("size", "share"), [(1, 10), (2, 5), (3, 4), (10, 1), (30, 1)])
def test_a_worker_may_have_its_share_of_the_connections(size: int, share: int) -> None:
    config = configuration(9, {"path": "/x"}, limits={"connections": 10})
    assert build.server_limits(config, build.Crew(size)).connections == share
