"""Rate limits and the limit on failed authentication, as clients meet them."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

from tests.dialogue import Answer, statuses, talk
from tests.issuer import FakeIssuer
from tests.world import AUDIENCE, bearer, world

ROUTE = {"name": "read", "path": "/read/{id}", "require": {"scopes": ["s"]}}
LIMIT = {"requests": 2, "per": "1m"}


def reason(answer: Answer) -> str:
    found = re.search(rb'"reason": "(\w+)"', answer.body)
    return found[1].decode() if found else ""


async def test_over_the_limit_it_is_429_with_what_the_client_needs_to_know() -> None:
    async with world({**ROUTE, "rate_limit": {**LIMIT, "by": "subject"}}) as w:
        mine, other = bearer(scope="s", sub="u1"), bearer(scope="s", sub="u2")
        answers = [await w.ask("GET", f"/read/{n}", mine) for n in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert [answer.header("RateLimit") for answer in answers] == [
            '"default";r=1;t=30',
            '"default";r=0;t=60',
            '"default";r=0;t=30',
        ]
        assert reason(answers[2]) == "rate_limited"
        assert answers[2].header("RateLimit-Policy") == '"default";q=2;w=60'
        assert answers[2].header("Retry-After") == "30"
        assert answers[2].header("WWW-Authenticate") is None
        assert w.sent_upstream.count(b"GET /read") == 2
        assert (await w.ask("GET", "/read/1", other)).status == 200


async def test_a_refused_request_uses_up_nobodys_budget() -> None:
    async with world({**ROUTE, "rate_limit": {**LIMIT, "by": "subject"}}) as w:
        forged = bearer(scope="s", sub="victim") + "x"
        lacking = bearer(scope="other", sub="victim")
        for _ in range(3):
            assert (await w.ask("GET", "/read/1", forged)).status == 401
            assert (await w.ask("GET", "/read/1", lacking)).status == 403
        victim = bearer(scope="s", sub="victim")
        assert [(await w.ask("GET", "/read/1", victim)).status for _ in range(3)] == [200, 200, 429]


async def test_a_limit_by_address_comes_before_everything_else() -> None:
    public = {"name": "open", "path": "/open", "public": True, "rate_limit": {**LIMIT, "by": "ip"}}
    async with world(public, {**ROUTE, "rate_limit": {**LIMIT, "by": "ip"}}) as w:
        assert [(await w.ask("GET", "/open")).status for _ in range(3)] == [200, 200, 429]
        answers = [await w.ask("GET", "/read/1", bearer(scope="s") + "x") for _ in range(3)]
        assert [answer.status for answer in answers] == [401, 401, 429]


async def test_a_client_can_not_pass_for_another_address_unless_a_trusted_proxy_says_so() -> None:
    public = {"name": "open", "path": "/open", "public": True, "rate_limit": {**LIMIT, "by": "ip"}}
    for trusted, expected in (([], [200, 200, 429, 429]), (["127.0.0.1/32"], [200] * 4)):
        async with world(public, trusted_proxies=trusted) as w:
            asked = [await w.ask("GET", "/open", f"X-Forwarded-For: 192.0.2.{n}") for n in range(4)]
            assert [answer.status for answer in asked] == expected
            if trusted:
                again = [(await w.ask("GET", "/open", "X-Forwarded-For: 192.0.2.1")).status for _ in range(2)]
                assert again == [200, 429]


async def test_no_more_than_the_burst_come_at_once() -> None:
    limit = {"requests": 6, "per": "1m", "by": "subject", "burst": 3}
    async with world({**ROUTE, "rate_limit": limit}) as w:
        mine = bearer(scope="s", sub="u1")
        answers = [await w.ask("GET", "/read/1", mine) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert answers[3].header("RateLimit-Policy") == '"default";q=6;w=60'
        assert answers[3].header("Retry-After") == "10"


async def test_tokens_without_the_claim_share_one_bucket_and_so_do_those_without_a_token() -> None:
    limit = {**LIMIT, "by": "claim:tenant.id"}
    async with world({**ROUTE, "token": "optional", "rate_limit": limit}) as w:
        without = [bearer(scope="s"), bearer(scope="s", sub="u2", tenant={"id": ["a"]}), bearer(scope="s", tenant="a")]
        assert [(await w.ask("GET", "/read/1", headers)).status for headers in without] == [200, 200, 429]
        assert (await w.ask("GET", "/read/1")).status == 429
        for tenant in (7, "7"):
            named = bearer(scope="s", tenant={"id": tenant})
            assert [(await w.ask("GET", "/read/1", named)).status for _ in range(3)] == [200, 200, 429]


async def test_a_limit_counts_each_request_of_a_kept_connection() -> None:
    async with world({**ROUTE, "rate_limit": {**LIMIT, "by": "client_id"}}) as w:
        one = f"GET /read/1 HTTP/1.1\r\nHost: a\r\n{bearer(scope='s')}\r\n\r\n".encode()
        assert statuses((await talk(w.address, one * 4)).raw) == [200, 200, 429, 429]


async def test_shadow_mode_counts_and_lets_pass() -> None:
    async with world({**ROUTE, "enforce": False, "rate_limit": {**LIMIT, "by": "subject"}}) as w:
        assert [(await w.ask("GET", "/read/1", bearer(scope="s"))).status for _ in range(3)] == [200, 200, 200]
        assert [record.decision for record in w.records] == ["allow", "allow", "would_refuse"]


async def test_who_guesses_is_refused_before_any_verification() -> None:
    limits = {"failed_authentication": {"requests": 3, "per": "1m"}}
    async with world(ROUTE, limits=limits) as w:
        good = bearer(scope="s")
        guesses = [(await w.ask("GET", "/read/1", f"{good[:-6]}{n:06}")).status for n in range(5)]
        assert guesses == [401, 401, 401, 429, 429]
        refused = await w.ask("GET", "/read/1", f"{good[:-6]}abcdef")
        assert (refused.status, reason(refused)) == (429, "rate_limited")
        assert int(refused.header("Retry-After") or 0) > 0


async def test_no_token_and_a_token_that_does_not_suffice_are_no_guesses() -> None:
    limits = {"failed_authentication": {"requests": 1, "per": "1m"}}
    async with world(ROUTE, limits=limits) as w:
        for _ in range(3):
            assert (await w.ask("GET", "/read/1")).status == 401
            assert (await w.ask("GET", "/read/1", bearer(scope="other"))).status == 403
        assert (await w.ask("GET", "/read/1", bearer(scope="s"))).status == 200


async def test_guesses_that_are_all_made_at_once_cost_the_issuer_no_more_than_the_limit() -> None:
    async with FakeIssuer() as asked:
        asked.delay = 0.1
        asked.active["good"] = {"sub": "u1", "scope": "s"}
        introspection = {"client_id": "gateway", "client_secret": "s3cret"}
        issuers = {"corp": {"issuer": asked.issuer, "audience": AUDIENCE, "introspection": introspection}}
        limits = {"failed_authentication": {"requests": 3, "per": "1m"}}
        async with world(ROUTE, issuers=issuers, limits=limits) as w:
            await w.gateway.wait_for_keys(10)
            good = [w.ask("GET", "/read/1", "Authorization: Bearer good") for _ in range(20)]
            assert [answer.status for answer in await asyncio.gather(*good)] == [200] * 20
            before = asked.requests["/introspect"]
            guesses = [w.ask("GET", "/read/1", f"Authorization: Bearer guess-{n}") for n in range(60)]
            found = Counter(answer.status for answer in await asyncio.gather(*guesses))
            assert found == {401: 3, 429: 57}
            assert asked.requests["/introspect"] - before == 3
