"""Buckets that refill, in memory and in a real Redis, and what a limit is keyed on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.limits import (
    FailureLimit,
    MemoryBuckets,
    Rate,
    RouteLimit,
    SharedBuckets,
    Taken,
    client_network,
    limit_fields,
)
from gateway.cache.redis import SharedStore
from gateway.errors import GatewayError
from gateway.oauth.tokens import Token
from tests.redis_servers import RedisNode, redis_node

RATE = Rate(requests=10, seconds=60.0, burst=3)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def token(**claims: object) -> Token:
    client_id = claims.get("client_id")
    return Token("corp", claims, frozenset(), 2e9, client_id=client_id if isinstance(client_id, str) else None)


async def test_a_burst_may_pass_and_then_one_for_each_interval() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock=clock)
    assert [(await buckets.take("a", RATE)).wait for _ in range(4)] == [0, 0, 0, pytest.approx(6.0)]
    clock.now += 5.9
    assert (await buckets.take("a", RATE)).wait == pytest.approx(0.1)
    clock.now += 0.2
    assert (await buckets.take("a", RATE)).wait == 0
    assert (await buckets.take("a", RATE)).wait > 5
    assert (await buckets.take("b", RATE)).wait == 0


async def test_what_remains_and_when_it_is_full_again_is_told() -> None:
    clock = Clock()
    buckets = MemoryBuckets(clock=clock)
    first = await buckets.take("a", RATE)
    assert (first.remaining(RATE), first.refill) == (2, pytest.approx(6.0))
    assert limit_fields(RATE, first) == (
        (b"RateLimit-Policy", b'"default";q=10;w=60'),
        (b"RateLimit", b'"default";r=2;t=6'),
    )
    await buckets.take("a", RATE)
    last = await buckets.take("a", RATE)
    refused = await buckets.take("a", RATE)
    assert (last.remaining(RATE), refused.remaining(RATE)) == (0, 0)
    clock.now += 18.1
    assert (await buckets.take("a", RATE)).remaining(RATE) == 2


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_no_window_lets_more_through_than_its_length_and_one_burst(
    pauses: list[float], requests: int, burst: int
) -> None:
    async def passed() -> list[float]:
        clock = Clock()
        buckets, rate, times = MemoryBuckets(clock=clock), Rate(requests, 60.0, burst), []
        for pause in pauses:
            clock.now += pause
            if (await buckets.take("a", rate)).wait == 0:
                times.append(clock.now)
        return times

    times = asyncio.run(passed())
    for first, start in enumerate(times):
        for last, end in enumerate(times[first:], first):
            assert last - first + 1 <= burst + (end - start) * requests / 60.0 + 1e-6


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RedisNode]:
    with redis_node(tmp_path) as running:
        yield running


def shared(node: RedisNode, timeout: float = 2.0) -> tuple[SharedBuckets, SharedStore]:
    store = SharedStore(node.url, prefix="test:", timeout=timeout)
    return SharedBuckets(store), store


async def test_two_gateways_with_one_redis_share_a_bucket(node: RedisNode) -> None:
    (one, first), (two, second) = shared(node), shared(node)
    rate = Rate(100, 60.0, 100)
    taken = await asyncio.gather(*(buckets.take("a", rate) for _ in range(150) for buckets in (one, two)))
    assert 100 <= sum(each.wait == 0 for each in taken) <= 102
    assert all(0 < each.wait <= 0.7 * 300 for each in taken if each.wait)
    await first.close()
    await second.close()


async def test_who_has_to_wait_is_told_so_without_asking_redis(node: RedisNode) -> None:
    buckets, store = shared(node)
    rate = Rate(1, 60.0, 1)
    assert (await buckets.take("a", rate)).wait == 0
    assert (await buckets.take("a", rate)).wait > 50
    asked = store.results["ok"]
    assert (await buckets.take("a", rate)).wait > 50
    assert store.results["ok"] == asked
    await store.close()


async def test_what_another_clock_wrote_locks_nobody_out_for_longer_than_an_empty_bucket(node: RedisNode) -> None:
    buckets, store = shared(node)
    assert (await buckets.take("a", RATE)).wait == 0
    (name,) = [word.decode() for word in node.ask("KEYS", "test:limit:*").split(b"\r\n") if word.startswith(b"test:")]
    assert node.ask("SET", name, "99999999999.000000") == b"+OK\r\n"
    taken = await buckets.take("a", RATE)
    assert 0 < taken.wait <= RATE.interval
    assert taken.refill <= RATE.burst * RATE.interval
    await store.close()


async def test_without_redis_each_gateway_counts_by_itself_and_says_so(
    node: RedisNode, caplog: pytest.LogCaptureFixture
) -> None:
    buckets, store = shared(node, timeout=0.2)
    node.kill()
    taken = [(await buckets.take("a", RATE)).wait for _ in range(4)]
    assert taken[:3] == [0, 0, 0]
    assert taken[3] > 0
    assert caplog.text.count("every process counts rate limits by itself") == 1
    node.start()
    deadline = asyncio.get_running_loop().time() + 10
    while "counted together again" not in caplog.text:
        caplog.set_level("INFO")
        assert asyncio.get_running_loop().time() < deadline
        await buckets.take(f"b{deadline}", RATE)
        await asyncio.sleep(0.05)
    await store.close()


@pytest.mark.parametrize(
    ("by", "one", "same", "other"),
    [
        ("subject", token(sub="u1"), token(sub="u1", x=1), token(sub="u2")),
        ("client_id", token(client_id="a"), token(client_id="a", sub="u"), token(client_id="b")),
        ("claim:org.id", token(org={"id": 7}), token(org={"id": 7}), token(org={"id": "7"})),
        ("claim:tenant", token(), token(tenant=["a"]), token(tenant="a")),
        ("claim:tenant", token(tenant=None), token(tenant={"id": "a"}), token(tenant="")),
        ("claim:tenant", token(), replace(token(), issuer="other"), token(tenant=0)),
        ("claim:tenant", token(tenant="a"), token(tenant="a", x=1), replace(token(tenant="a"), issuer="other")),
        ("client_id", token(), token(client_id=7), token(client_id="7")),
    ],
)
async def test_a_limit_is_by_what_was_verified(by: str, one: Token, same: Token, other: Token) -> None:
    limit = RouteLimit("r", Rate(1, 60.0, 1), by, MemoryBuckets())
    await limit.check("10.0.0.1", one)
    with pytest.raises(GatewayError) as refused:
        await limit.check("10.0.0.2", same)
    assert refused.value.reason.name == "rate_limited"
    assert refused.value.retry_after == 60
    await limit.check("10.0.0.1", other)


async def test_the_routes_of_one_kind_have_budgets_of_their_own() -> None:
    buckets = MemoryBuckets()
    for route in ("a", "b"):
        await RouteLimit(route, Rate(1, 60.0, 1), "route", buckets).check("10.0.0.1", None)


def test_an_ipv6_client_is_its_network() -> None:
    assert client_network("2001:db8:1:2:3:4:5:6") == client_network("2001:db8:1:2::1")
    assert client_network("2001:db8:1:3::1") != client_network("2001:db8:1:2::1")
    assert client_network("192.0.2.1") != client_network("192.0.2.2")


async def test_who_fails_too_often_is_refused_until_there_is_room_again() -> None:
    clock = Clock()
    limit = FailureLimit(Rate(2, 60.0, 2), MemoryBuckets(clock=clock), clock=clock)
    limit.check("10.0.0.1")
    await limit.failed("10.0.0.1")
    limit.check("10.0.0.1")
    await limit.failed("10.0.0.1")
    with pytest.raises(GatewayError) as refused:
        limit.check("10.0.0.1")
    assert (refused.value.reason.status, refused.value.retry_after) == (429, 30)
    limit.check("10.0.0.2")
    clock.now += 30.1
    limit.check("10.0.0.1")


async def test_no_more_attempts_are_under_way_than_may_fail_and_who_waited_is_refused_when_they_have() -> None:
    limit = FailureLimit(Rate(2, 60.0, 2), MemoryBuckets())
    begun: list[int] = []
    go = asyncio.Event()

    async def guess(number: int) -> None:
        end = await limit.attempt("10.0.0.1")
        try:
            begun.append(number)
            await go.wait()
            await limit.failed("10.0.0.1")
        finally:
            end()

    guesses = [asyncio.create_task(guess(number)) for number in range(50)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert begun == [0, 1]
    (await limit.attempt("10.0.0.2"))()  # others don't wait
    go.set()
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 2 + [GatewayError] * 48
    assert begun == [0, 1]


async def test_who_has_a_good_token_waits_a_moment_and_whoever_goes_away_leaves_the_queue() -> None:
    limit = FailureLimit(Rate(1, 60.0, 1), MemoryBuckets())
    passed: list[int] = []

    async def use(number: int) -> None:
        end = await limit.attempt("10.0.0.1")
        await asyncio.sleep(0)
        passed.append(number)
        end()

    tasks = [asyncio.create_task(use(number)) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[1::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert passed == list(range(0, 20, 2))
    async with asyncio.timeout(5):
        await use(20)


def test_a_refusal_leaves_nothing() -> None:
    assert Taken(0.5, 18.0).remaining(RATE) == 0
