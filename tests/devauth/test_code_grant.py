"""The authorization code grant: a token for the right code, the named error for any other, and never both."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.devauth.visitor import VERIFIER, Clock, Visitor

WITHOUT_PKCE = {"client_id": "demo-opaque", "code_challenge": None, "code_challenge_method": None}


async def test_a_code_gives_the_tokens_that_the_user_approved(visitor: Visitor) -> None:
    body = await visitor.tokens()
    assert body.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 3600, "openid orders:read profile")
    told = await visitor.introspect(body["access_token"])
    assert (told["active"], told["sub"], told["client_id"]) == (True, "alice", "demo-web")
    assert (told["tenant"], told["aud"], told["username"]) == ("acme", "orders-api", "alice")
    assert told["auth_time"] == 1_800_000_000
    # What OpenID Connect tells by scope is for the client, not for every API.
    assert {"name", "email", "preferred_username"}.isdisjoint(told)


async def test_without_openid_there_is_no_id_token(visitor: Visitor) -> None:
    assert "id_token" not in await visitor.tokens({"scope": "orders:read"})
    assert (await visitor.tokens({"scope": None}))["scope"] == "orders:read orders:write"


async def test_a_client_with_a_secret_may_do_without_a_code_challenge(visitor: Visitor) -> None:
    code = await visitor.code(WITHOUT_PKCE)
    answer = await visitor.redeem(code, {"client_id": "demo-opaque", "code_verifier": None})
    assert answer.status == 200
    assert "." not in answer.body["access_token"]
    assert (await visitor.introspect(answer.body["access_token"]))["sub"] == "alice"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"redirect_uri": "http://127.0.0.1:8123/other"}, 400, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:8124/callback"}, 400, "invalid_grant"),
        ({"redirect_uri": None}, 400, "invalid_grant"),
        ({"code_verifier": "a" * 43}, 400, "invalid_grant"),
        ({"code_verifier": VERIFIER + "x"}, 400, "invalid_grant"),
        ({"code_verifier": None}, 400, "invalid_request"),
        ({"code_verifier": ""}, 400, "invalid_request"),
        ({"code_verifier": "short"}, 400, "invalid_request"),
        ({"code_verifier": VERIFIER + "\n"}, 400, "invalid_request"),
        ({"code": "unknown"}, 400, "invalid_grant"),
        ({"code": None}, 400, "invalid_request"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": None}, 401, "invalid_client"),
        ({"client_secret": "guess"}, 401, "invalid_client"),
        ({"client_id": "demo-opaque"}, 400, "invalid_grant"),
        ({"client_id": "demo-opaque", "client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "demo-opaque", "client_secret": None}, 401, "invalid_client"),
        ({"client_id": "demo-device"}, 400, "unauthorized_client"),
        ({"client_id": "demo-service"}, 400, "unauthorized_client"),
    ],
)
async def test_a_wrong_request_gets_the_error_of_the_rfc_and_costs_the_client_nothing(
    visitor: Visitor, changes: dict[str, str | None], status: int, error: str
) -> None:
    code = await visitor.code()
    answer = await visitor.redeem(code, changes)
    assert (answer.status, answer.body["error"]) == (status, error)
    # Who can't prove anything can't take the code from the client that it belongs to either.
    assert (await visitor.redeem(code)).status == 200


async def test_a_code_is_good_once_and_a_second_use_ends_all_that_came_from_it(visitor: Visitor) -> None:
    code = await visitor.code()
    first = (await visitor.redeem(code)).body
    renewed = (await visitor.refresh(first["refresh_token"])).body
    assert await visitor.is_active(first["access_token"])
    other = await visitor.tokens()
    again = await visitor.redeem(code)
    assert (again.status, again.body["error"]) == (400, "invalid_grant")
    for token in (first["access_token"], renewed["access_token"]):
        assert not await visitor.is_active(token)
    assert (await visitor.refresh(renewed["refresh_token"])).body["error"] == "invalid_grant"
    # What came from another code stays.
    assert await visitor.is_active(other["access_token"])


async def test_another_client_that_shows_a_used_code_ends_nothing(visitor: Visitor) -> None:
    code = await visitor.code()
    tokens = (await visitor.redeem(code)).body
    assert (await visitor.redeem(code, {"client_id": "demo-opaque"})).body["error"] == "invalid_grant"
    assert await visitor.is_active(tokens["access_token"])


async def test_a_code_is_over_after_a_minute(visitor: Visitor, clock: Clock) -> None:
    code = await visitor.code()
    clock.now += 59
    late = await visitor.code()
    clock.now += 1
    assert (await visitor.redeem(code)).body["error"] == "invalid_grant"
    assert (await visitor.redeem(late)).status == 200


async def test_a_verifier_for_a_code_without_a_challenge_is_refused(visitor: Visitor) -> None:
    """PKCE downgrade (RFC 9700 §4.8.2): somebody took the challenge out of the request."""
    code = await visitor.code(WITHOUT_PKCE)
    answer = await visitor.redeem(code, {"client_id": "demo-opaque"})
    assert (answer.status, answer.body["error"]) == (400, "invalid_request")


async def test_two_uses_of_a_code_at_once_give_one_token(visitor: Visitor) -> None:
    code = await visitor.code()
    found = await asyncio.gather(*(visitor.redeem(code) for _ in range(8)))
    assert sorted(answer.status for answer in found) == [200] + [400] * 7


@pytest.mark.parametrize("grant_type", ["password", "implicit"])
async def test_a_grant_that_is_gone_has_a_page_that_says_why(visitor: Visitor, grant_type: str) -> None:
    form: dict[str, Any] = {"grant_type": grant_type, "client_id": "demo-web", "username": "alice", "password": "alice"}
    answer = await visitor.token(form)
    assert (answer.status, answer.body["error"]) == (400, "unsupported_grant_type")
    page = await visitor.get(answer.body["error_uri"])
    assert 'id="password"' in page.text


@pytest.mark.parametrize("grant_type", ["token-exchange", '"<é>', "urn:ietf:params:oauth:grant-type:token-exchange"])
async def test_any_other_grant_is_just_not_supported(visitor: Visitor, grant_type: str) -> None:
    answer = await visitor.token({"grant_type": grant_type, "client_id": "demo-web"})
    assert (answer.status, answer.body["error"]) == (400, "unsupported_grant_type")
    assert "error_uri" not in answer.body
    assert grant_type not in answer.text
