"""Refresh tokens: each is good once, a second use ends its kin, and scopes only shrink."""

from __future__ import annotations

import asyncio

import pytest

from tests.devauth.visitor import Clock, Visitor


async def test_each_refresh_gives_a_new_pair_and_keeps_the_user(visitor: Visitor, clock: Clock) -> None:
    tokens = await visitor.tokens()
    for _ in range(3):
        clock.now += 1000
        answer = await visitor.refresh(tokens["refresh_token"])
        assert answer.status == 200
        assert answer.body["refresh_token"] != tokens["refresh_token"]
        assert answer.body["scope"] == tokens["scope"]
        tokens = answer.body
    told = await visitor.introspect(tokens["access_token"])
    assert (told["sub"], told["auth_time"], told["iat"]) == ("alice", 1_800_000_000, 1_800_003_000)


async def test_a_used_token_ends_every_token_of_its_authorization(visitor: Visitor) -> None:
    first, other = await visitor.tokens(), await visitor.tokens()
    second = (await visitor.refresh(first["refresh_token"])).body
    third = (await visitor.refresh(second["refresh_token"])).body
    replayed = await visitor.refresh(first["refresh_token"])
    assert (replayed.status, replayed.body["error"]) == (400, "invalid_grant")
    for tokens in (first, second, third):
        assert not await visitor.is_active(tokens["access_token"])
        assert (await visitor.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant"
    assert await visitor.is_active(other["access_token"])
    assert (await visitor.refresh(other["refresh_token"])).status == 200


async def test_of_two_uses_at_once_one_is_a_replay(visitor: Visitor) -> None:
    token = (await visitor.tokens())["refresh_token"]
    found = await asyncio.gather(*(visitor.refresh(token) for _ in range(4)))
    assert sorted(answer.status for answer in found) == [200, 400, 400, 400]
    (good,) = (answer.body for answer in found if answer.status == 200)
    assert not await visitor.is_active(good["access_token"])


async def test_a_narrower_scope_is_for_this_access_token_alone(visitor: Visitor) -> None:
    tokens = await visitor.tokens()
    narrow = (await visitor.refresh(tokens["refresh_token"], scope="orders:read")).body
    assert (narrow["scope"], "id_token" in narrow) == ("orders:read", False)
    assert (await visitor.introspect(narrow["access_token"]))["scope"] == "orders:read"
    assert (await visitor.refresh(narrow["refresh_token"])).body["scope"] == "openid orders:read profile"


@pytest.mark.parametrize("scope", ["orders:write", "orders:read orders:write", "nonsense", "openid\torders:read"])
async def test_a_scope_that_was_never_granted_is_refused_and_the_token_stays_good(visitor: Visitor, scope: str) -> None:
    token = (await visitor.tokens())["refresh_token"]
    answer = await visitor.refresh(token, scope=scope)
    assert (answer.status, answer.body["error"]) == (400, "invalid_scope")
    assert (await visitor.refresh(token)).status == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"refresh_token": "unknown"}, 400, "invalid_grant"),
        ({"refresh_token": ""}, 400, "invalid_request"),
        ({"client_id": "demo-device"}, 400, "invalid_grant"),
        ({"client_id": "demo-opaque"}, 400, "invalid_grant"),
        ({"client_id": "demo-service"}, 400, "unauthorized_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
    ],
)
async def test_who_may_not_have_it_gets_the_error_of_the_rfc(
    visitor: Visitor, changes: dict[str, str], status: int, error: str
) -> None:
    token = (await visitor.tokens())["refresh_token"]
    answer = await visitor.refresh(token, **changes)
    assert (answer.status, answer.body["error"]) == (status, error)
    # Another client's attempt is no replay.
    assert (await visitor.refresh(token)).status == 200


async def test_an_access_token_is_no_refresh_token(visitor: Visitor) -> None:
    answer = await visitor.refresh((await visitor.tokens())["access_token"])
    assert answer.body["error"] == "invalid_grant"


async def test_it_is_over_after_thirty_days_without_use(visitor: Visitor, clock: Clock) -> None:
    token = (await visitor.tokens())["refresh_token"]
    clock.now += 30 * 86400 - 1
    token = (await visitor.refresh(token)).body["refresh_token"]
    clock.now += 30 * 86400
    assert (await visitor.refresh(token)).body["error"] == "invalid_grant"


async def test_client_credentials_come_without_one(visitor: Visitor) -> None:
    answer = await visitor.token({"grant_type": "client_credentials", "client_id": "demo-opaque"})
    assert (answer.status, "refresh_token" in answer.body) == (200, False)
