"""Introspection and revocation of users' tokens, over HTTP."""

from __future__ import annotations

import pytest

from tests.devauth.visitor import Visitor


async def revoke(visitor: Visitor, token: str, **changes: str) -> int:
    page = await visitor.post("/revoke", {"token": token, "client_id": "demo-web", **changes})
    return page.status


async def test_a_refresh_token_is_active_for_its_own_client_alone(visitor: Visitor) -> None:
    code = await visitor.code({"client_id": "demo-opaque", "code_challenge": None, "code_challenge_method": None})
    tokens = (await visitor.redeem(code, {"client_id": "demo-opaque", "code_verifier": None})).body
    own = await visitor.introspect(tokens["refresh_token"], "demo-opaque")
    assert (own["active"], own["sub"], "token_type" in own) == (True, "alice", False)
    # An API that takes whatever is active would else take it for an access token.
    assert await visitor.introspect(tokens["refresh_token"]) == {"active": False}
    assert (await visitor.introspect(tokens["access_token"]))["token_type"] == "Bearer"


async def test_a_public_client_cannot_introspect(visitor: Visitor) -> None:
    token = (await visitor.tokens())["access_token"]
    page = await visitor.post("/introspect", {"token": token, "client_id": "demo-web"})
    assert (page.status, page.body["error"]) == (401, "invalid_client")


async def test_a_revoked_access_token_is_over_and_the_refresh_token_is_not(visitor: Visitor) -> None:
    tokens = await visitor.tokens()
    assert await revoke(visitor, tokens["access_token"]) == 200
    assert not await visitor.is_active(tokens["access_token"])
    assert (await visitor.refresh(tokens["refresh_token"])).status == 200


async def test_a_revoked_refresh_token_takes_along_all_that_came_with_it(visitor: Visitor) -> None:
    tokens = await visitor.tokens()
    renewed = (await visitor.refresh(tokens["refresh_token"])).body
    assert await revoke(visitor, renewed["refresh_token"], token_type_hint="access_token") == 200
    for token in (tokens["access_token"], renewed["access_token"]):
        assert not await visitor.is_active(token)
    assert (await visitor.refresh(renewed["refresh_token"])).body["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"client_id": "demo-device"}, 400),
        ({"client_id": "nobody"}, 401),
        ({"client_id": ""}, 401),
        ({"token": ""}, 400),
    ],
)
async def test_nobody_else_can_revoke(visitor: Visitor, changes: dict[str, str], status: int) -> None:
    tokens = await visitor.tokens()
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert await revoke(visitor, **{"token": token, **changes}) == status
    assert await visitor.is_active(tokens["access_token"])


async def test_to_revoke_what_is_unknown_is_fine(visitor: Visitor) -> None:
    assert await revoke(visitor, "unknown") == 200
