"""Probes: what is asked, what counts as well, and how many answers in a row it takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.http.client import Origin
from gateway.upstream.endpoint import Endpoint, Site
from gateway.upstream.health import ProbeRules, Probes
from tests.http.origin import OK, Peer, Script, ScriptedOrigin, always_ok, silent, until
from tests.upstream.endpoints import make_pool
from tests.upstream.test_service import always, hang_up


def rules(*, unhealthy_after: int = 1, healthy_after: int = 1, timeout: float = 2) -> ProbeRules:
    return ProbeRules("/healthz?full", 0.02, timeout, unhealthy_after, healthy_after, ((200, 299), (401, 401)))


@contextlib.asynccontextmanager
async def probed(port: int, how: ProbeRules) -> AsyncIterator[tuple[Endpoint, list[bool]]]:
    """An endpoint under watch, and each verdict about it that was a change."""
    site = Site("http://orders", Origin("127.0.0.1", port), "orders.internal:81")
    endpoint = Endpoint(site, make_pool(site.origin))
    verdicts: list[bool] = []
    probes = Probes("orders", how, changed=lambda: verdicts.append(endpoint.is_healthy))
    endpoint.run(probes.watch(endpoint))
    try:
        yield endpoint, verdicts
    finally:
        endpoint.close()
        await asyncio.sleep(0.01)


def answering(statuses: list[int]) -> Script:
    """Each connection gets the next status, later ones the last."""
    left = list(statuses)

    async def script(peer: Peer) -> None:
        await peer.request()
        status = left.pop(0) if len(left) > 1 else left[0]
        await peer.send(b"HTTP/1.1 %d Odd\r\nContent-Length: 0\r\n\r\n" % status)
        await peer.until_closed()

    return script


async def test_a_probe_is_a_get_of_its_own_on_a_connection_of_its_own() -> None:
    async with ScriptedOrigin(always_ok) as origin, probed(origin.port, rules()) as (endpoint, verdicts):
        await until(lambda: len(origin.peers) >= 3)
        await until(lambda: origin.peers[0].ended.is_set())
        assert endpoint.pool.open == 0
        assert origin.received[0] == (
            b"GET /healthz?full HTTP/1.1\r\nHost: orders.internal:81\r\nUser-Agent: oauth-gateway\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert not verdicts


@pytest.mark.parametrize(("status", "is_well"), [(200, True), (299, True), (401, True), (300, False), (404, False)])
async def test_the_statuses_of_the_configuration_are_the_good_ones(status: int, is_well: bool) -> None:
    async with ScriptedOrigin(answering([status])) as origin, probed(origin.port, rules()) as (endpoint, _):
        await until(lambda: len(origin.peers) >= 3)
        assert endpoint.is_healthy is is_well


@pytest.mark.parametrize(
    "script", [silent, hang_up, always(b"nothing like HTTP\r\n\r\n")], ids=["silent", "gone", "odd"]
)
async def test_who_does_not_answer_in_time_or_at_all_is_not_well(script: Script) -> None:
    async with ScriptedOrigin(script) as origin, probed(origin.port, rules(timeout=0.1)) as (endpoint, verdicts):
        await until(lambda: bool(verdicts))
        assert not endpoint.is_healthy


async def test_nobody_there_is_not_well_and_a_slow_head_counts_as_a_whole() -> None:
    async def dripping(peer: Peer) -> None:
        await peer.request()
        await peer.send(*[bytes([byte]) for byte in OK], pause=0.05)

    async with ScriptedOrigin(dripping) as origin, probed(origin.port, rules(timeout=0.3)) as (_, verdicts):
        await until(lambda: verdicts == [False])
    async with probed(1, rules()) as (_, verdicts):
        await until(lambda: verdicts == [False])


async def test_it_takes_so_many_in_a_row_either_way() -> None:
    #                     2 bad: not yet | 3 bad: out         | 1 good, bad, 2 good: in again
    script = answering([503, 503, 200, 503, 503, 503, 200, 503, 200, 200])
    how = rules(unhealthy_after=3, healthy_after=2)
    async with ScriptedOrigin(script) as origin, probed(origin.port, how) as (endpoint, verdicts):
        seen_at: list[tuple[int, bool]] = []

        def look() -> bool:
            if len(seen_at) < len(verdicts):
                seen_at.append((len(origin.peers), verdicts[-1]))
            return len(verdicts) == 2

        await until(look)
        assert verdicts == [False, True]
        assert seen_at[0][0] in (6, 7)
        assert seen_at[1][0] in (10, 11)
        assert endpoint.is_healthy
