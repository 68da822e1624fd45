"""Policy tests as they are run: what passes, and what a failure says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.test import judge
from tests.cli.test.suites import ROUTES, configuration, results, suite, verdict

READER = {"issuer": "corp", "claims": {"sub": "u1", "scope": "orders:read", "tenant": "t1"}}
READ: dict[str, Any] = {"request": {"url": "/orders/t1?page=2"}, "token": READER}


async def messages(folder: Path, expect: dict[str, Any], **changes: Any) -> list[str]:
    """What a test of `READ` that expects this says."""
    [result] = await results(folder, {**READ, **changes, "expect": expect})
    return list(result.differences)


@pytest.mark.parametrize(
    "expect",
    [
        {"allow": True},
        {"allow": True, "route": "read"},
        {"allow": True, "upstream": {"method": "GET", "target": "/base/orders/t1?page=2"}},
        {
            "allow": True,
            "upstream": {
                "headers": {
                    "X-Auth-Subject": "u1",
                    "x-auth-scopes": "orders:read",
                    "Authorization": None,
                    "X-Auth-Client-Id": None,
                    "X-Forwarded-For": "127.0.0.1",
                }
            },
        },
    ],
)
async def test_what_is_so_passes(tmp_path: Path, expect: dict[str, Any]) -> None:
    assert await messages(tmp_path, expect) == []


async def test_a_refusal_is_as_expected_by_its_status_its_reason_or_both(tmp_path: Path) -> None:
    other = {"request": {"url": "/orders/t2"}}
    for expect in ({"status": 403}, {"reason": "claim_refused"}, {"status": 403, "reason": "claim_refused"}):
        assert await messages(tmp_path, expect, **other) == []
        assert await messages(tmp_path, {**expect, "route": "read"}, **other) == []
    for expect in ({"status": 401}, {"reason": "token_missing"}, {"status": 401, "reason": "claim_refused"}):
        [message] = await messages(tmp_path, expect, **other)
        assert message.endswith("got 403 claim_refused: claim tenant is not what the route asks for (<mapping>)")


async def test_a_failure_says_what_was_expected_and_what_came_instead(tmp_path: Path) -> None:
    assert await messages(tmp_path, {"status": 403, "reason": "scope_insufficient"}) == [
        "expected 403 scope_insufficient, got allowed by route read (<mapping>)"
    ]
    assert await messages(tmp_path, {"allow": True}, token="none") == [
        "expected allowed, got 401 token_missing: no Authorization: Bearer (<mapping>)"
    ]
    wrong = {
        "method": "PUT",
        "target": "/x",
        "headers": {"X-Auth-Subject": "u2", "X-Auth-Client-Id": "app", "X-Auth-Issuer": None},
    }
    assert await messages(tmp_path, {"allow": True, "route": "hello", "upstream": wrong}) == [
        "expected route hello, got read (<mapping>)",
        "expected upstream method PUT, got GET",
        "expected upstream target /x, got /base/orders/t1?page=2",
        "expected upstream header X-Auth-Subject: u2, got X-Auth-Subject: u1",
        "expected upstream header X-Auth-Client-Id: app, got no X-Auth-Client-Id",
        "expected upstream header no X-Auth-Issuer, got X-Auth-Issuer: https://login.example.com",
    ]


async def test_an_answer_of_the_gateways_own_reaches_no_upstream(tmp_path: Path) -> None:
    hello = {"request": {"url": "/hello"}, "token": "none"}
    assert await messages(tmp_path, {"allow": True, "route": "hello"}, **hello) == []
    [message] = await messages(tmp_path, {"allow": True, "upstream": {"target": "/hello"}}, **hello)
    assert message == (
        "expected a request to an upstream, got an answer of the gateway's own by route hello (<mapping>)"
    )


async def test_a_route_in_shadow_mode_allows_and_says_what_it_would_refuse(tmp_path: Path) -> None:
    config = configuration({**ROUTES[0], "enforce": False})
    for reason, token, passes in (
        ("token_missing", "none", True),
        ("token_missing", READER, False),
        ("scope_insufficient", "none", False),
    ):
        test = {"request": {"url": "/orders/t1"}, "token": token, "expect": {"allow": True, "would_refuse": reason}}
        [result] = await results(tmp_path, test, config=config)
        assert result.is_passed is passes
    assert result.message.startswith("expected that enforced it would be scope_insufficient, got token_missing: ")


async def test_a_limit_is_not_used_up_by_other_tests(tmp_path: Path) -> None:
    config = configuration(
        {**ROUTES[0], "rate_limit": {"requests": 1, "per": "1h", "by": "subject"}},
        limits={"failed_authentication": {"requests": 1, "per": "1h"}},
    )
    allowed = {**READ, "expect": {"allow": True}}
    failed = {**READ, "token": {**READER, "claims": {"exp": 1}}, "expect": {"reason": "token_expired"}}
    came = await results(tmp_path, *[allowed, failed] * 3, config=config)
    assert [result.is_passed for result in came] == [True] * 6


async def test_redis_is_left_out_even_where_it_is_required(tmp_path: Path) -> None:
    redis = {"url": "redis://127.0.0.1:9/0", "required": True, "secret": "s" * 32}
    config = configuration(redis=redis, issuer={"keys": {"store": "redis"}})
    assert await verdict(tmp_path, READER, "/orders/t1", config) == (200, None)


async def test_files_of_keys_and_certificates_need_not_be_there(tmp_path: Path) -> None:
    config = configuration(
        issuer={
            "jwks_file": "/nowhere/jwks.json",
            "tls": {"ca": "/nowhere/ca.pem"},
            "introspection": {"client_auth": "private_key_jwt", "client_id": "g", "client_key": "/nowhere/key.pem"},
        }
    )
    assert await verdict(tmp_path, READER, "/orders/t1", config) == (200, None)


async def test_the_peer_is_whom_the_request_comes_from(tmp_path: Path) -> None:
    config = configuration(trusted_proxies=["10.0.0.0/8"])
    request = {"url": "/orders/t1", "headers": {"X-Forwarded-For": "192.0.2.1"}}
    for peer, told in (("10.0.0.1", "192.0.2.1, 10.0.0.1"), ("192.0.2.9", "192.0.2.9")):
        expect = {"allow": True, "upstream": {"headers": {"X-Forwarded-For": told}}}
        test = {"request": {**request, "peer": peer}, "token": READER, "expect": expect}
        [result] = await results(tmp_path, test, config=config)
        assert result.message == ""


async def test_a_field_that_comes_twice_is_sent_twice(tmp_path: Path) -> None:
    twice = {"Authorization": ["Bearer a", "Bearer b"]}
    assert await verdict(tmp_path, headers=twice) == (400, "credentials_multiple")


async def test_the_order_of_tests_and_how_often_they_run_change_nothing(tmp_path: Path) -> None:
    config = configuration()
    tests = [
        {**READ, "expect": {"allow": True}},
        {**READ, "token": "none", "expect": {"reason": "token_missing"}},
        {**READ, "token": {"issuer": "corp"}, "expect": {"reason": "scope_insufficient"}},
    ]
    for order in (tests, tests[::-1]):
        read = suite(tmp_path, *order, config=config)
        reports = await judge.run(config, [read, read])
        assert [report.failed for report in reports] == [0, 0]
