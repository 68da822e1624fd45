"""Which endpoint is chosen: shares by weight, the least busy, and keys that stay where they are."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from gateway.access.rules import permit_anonymous, permit_in_shadow
from gateway.http.forwarding import ClientView
from gateway.http.message import Fields, Request
from gateway.http.target import Target
from gateway.oauth.tokens import Token
from gateway.upstream.balance import Balance, Consistent, Key, LeastRequests, RandomOfTwo, RoundRobin
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.inbound import Inbound
from tests.http.origin import ScriptedOrigin, silent, until
from tests.upstream.endpoints import endpoints

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
KEYS = [f"user-{number}".encode() for number in range(3000)]


def shares(balance: Balance, among: list[Endpoint], count: int) -> list[int]:
    """How often each of them is chosen."""
    chosen = Counter(balance(among, None) for _ in range(count))
    return [chosen[endpoint] for endpoint in among]


def test_requests_go_round_by_weight_and_evenly_spread() -> None:
    among, balance = endpoints(3, 1), RoundRobin()
    chosen = [among.index(balance(among, None)) for _ in range(8)]
    assert chosen == [0, 0, 1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 1), (2, 3, 7)])
def test_after_whole_rounds_the_shares_are_exact(weights: tuple[int, ...]) -> None:
    among, balance = endpoints(*weights), RoundRobin()
    for endpoint in among:
        balance.joins(endpoint)
    assert shares(balance, among, 10 * sum(weights)) == [10 * weight for weight in weights]


def test_gateways_that_start_together_do_not_begin_with_the_same_endpoint() -> None:
    firsts = Counter[int]()
    for seed in range(300):
        among, balance = endpoints(1, 1, 1), RoundRobin(random.Random(seed).random)
        for endpoint in among:
            balance.joins(endpoint)
        firsts[among.index(balance(among, None))] += 1
    assert min(firsts[number] for number in range(3)) > 60


def test_who_was_away_from_the_round_gets_no_flood_afterwards() -> None:
    among, balance = endpoints(1, 1, 1), RoundRobin()
    shares(balance, among[:2], 1000)
    assert max(shares(balance, among, 9)) <= 4


async def busy(endpoint: Endpoint, requests: int) -> list[asyncio.Task[object]]:
    """Keep an endpoint busy with so many requests that get no answer."""
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(endpoint.pool.send(GET, method="GET", response_timeout=60)) for _ in range(requests)
    ]
    await until(lambda: endpoint.pool.load == requests)
    return tasks


async def test_the_least_busy_endpoint_for_its_weight_is_taken() -> None:
    async with ScriptedOrigin(silent) as origin, ScriptedOrigin(silent) as other:
        light, heavy = endpoints(1, first_port=origin.port)[0], endpoints(4, first_port=other.port)[0]
        for balance in (LeastRequests(), RandomOfTwo()):
            assert balance([light, heavy], None) is heavy  # both idle: the heavier one
        tasks = await busy(heavy, 3)
        tasks += await busy(light, 1)
        for balance in (LeastRequests(), RandomOfTwo()):
            assert balance([light, heavy], None) is heavy  # 4 of 4 against 2 of 1
        tasks += [asyncio.create_task(heavy.pool.send(GET, method="GET")) for _ in range(9)]
        await until(lambda: heavy.pool.load == 12)  # eight of them have a connection: who waits for one counts too
        for balance in (LeastRequests(), RandomOfTwo()):
            assert balance([light, heavy], None) is light
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_equally_busy_endpoints_take_turns() -> None:
    assert shares(LeastRequests(), endpoints(1, 1, 1), 300) == [100, 100, 100]


def test_two_at_random_are_equally_often_any_two() -> None:
    found = shares(RandomOfTwo(random.Random(7).random), endpoints(1, 1, 1, 1), 4000)
    assert min(found) > 850


def test_one_endpoint_alone_is_chosen_by_everybody() -> None:
    alone = endpoints(1)
    for balance in (RoundRobin(), LeastRequests(), RandomOfTwo(), Consistent(RoundRobin())):
        assert balance(alone, b"key") is alone[0]


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (4, 2, 1, 1)])
def test_keys_are_spread_by_weight(weights: tuple[int, ...]) -> None:
    among, balance = endpoints(*weights), Consistent(RoundRobin())
    held = Counter(balance(among, key) for key in KEYS)
    for endpoint, weight in zip(among, weights, strict=True):
        assert held[endpoint] == pytest.approx(len(KEYS) * weight / sum(weights), rel=0.15)


def test_when_an_endpoint_goes_its_keys_alone_move_and_evenly() -> None:
    among, balance = endpoints(1, 1, 1, 1), Consistent(RoundRobin())
    before = {key: balance(among, key) for key in KEYS}
    gone, left = among[1], [among[0], *among[2:]]
    after = {key: balance(left, key) for key in KEYS}
    moved = [key for key in KEYS if before[key] is not after[key]]
    assert set(moved) == {key for key in KEYS if before[key] is gone}
    taken = Counter(after[key] for key in moved)
    assert min(taken[endpoint] for endpoint in left) > len(moved) / 5
    assert {key: balance([*left, gone], key) for key in KEYS} == before  # and its place in the list says nothing


def test_another_gateway_sends_a_key_to_the_same_endpoint() -> None:
    one, other = endpoints(1, 1, 1), endpoints(1, 1, 1)
    balance = Consistent(RoundRobin())
    assert [one.index(balance(one, key)) for key in KEYS] == [other.index(balance(other, key)) for key in KEYS]


def test_requests_without_a_key_go_in_turn() -> None:
    assert shares(Consistent(RoundRobin()), endpoints(1, 1), 10) == [5, 5]


@pytest.mark.parametrize(
    ("name", "claims", "expected"),
    [
        ("sub", {"sub": "u1"}, b"u1"),
        ("tenant.id", {"tenant": {"id": 7}}, b"7"),
        ("X-Session", {"sub": "u1"}, b"s1"),
        ("x-session", {"x-session": "from the token"}, b"from the token"),
        ("groups", {"groups": ["a"]}, None),
        ("absent", {"sub": "u1"}, None),
        ("sub", None, None),
        ("X-Session", None, b"s1"),
        ("X-Twice", None, b"a,b"),
        ("$client_ip", None, b"192.0.2.1"),
    ],
)
def test_a_key_is_a_claim_or_else_a_header_field(
    name: str, claims: dict[str, object] | None, expected: bytes | None
) -> None:
    fields = Fields([(b"X-Session", b"s1"), (b"X-Twice", b"a"), (b"x-twice", b"b")])
    view = ClientView("192.0.2.1", "http", "a", "a", "http://a", b"")
    inbound = Inbound(Request("GET", "/", fields), Target("/", None), view, {})
    token = Token("corp", claims, frozenset(), 0.0) if claims is not None else None
    permit = permit_in_shadow(token) if token is not None else permit_anonymous()
    assert Key(name)(inbound, permit) == expected
