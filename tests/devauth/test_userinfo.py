"""Userinfo: for who has an access token of a user who was asked for `openid` (OpenID Connect Core §5.3)."""

from __future__ import annotations

import pytest

from tests.devauth.visitor import Clock, Visitor


@pytest.mark.parametrize(
    ("field", "status", "error"),
    [
        (None, 401, None),
        ("Bearer", 400, "invalid_request"),
        ("Basic eDp5", 400, "invalid_request"),
        ("Bearer a b", 400, "invalid_request"),
        ("Bearer é", 400, "invalid_request"),
        ("Bearer unknown", 401, "invalid_token"),
    ],
)
async def test_userinfo_is_for_who_has_a_token(
    visitor: Visitor, field: str | None, status: int, error: str | None
) -> None:
    page = await visitor.get("/userinfo", **({} if field is None else {"Authorization": field}))
    assert (page.status, page.body.get("error")) == (status, error)
    assert page.fields["WWW-Authenticate"].startswith('Bearer realm="')
    assert ("error=" in page.fields["WWW-Authenticate"]) is (error is not None)


async def test_userinfo_takes_no_token_that_is_over_revoked_of_another_kind_or_without_openid(
    visitor: Visitor, clock: Clock
) -> None:
    async def error_for(token: str) -> str:
        error: str = (await visitor.get("/userinfo", Authorization=f"Bearer {token}")).body["error"]
        return error

    tokens, short = await visitor.tokens(), await visitor.tokens({"scope": "profile"})
    assert await error_for(tokens["refresh_token"]) == "invalid_token"
    assert await error_for(tokens["id_token"]) == "invalid_token"
    assert await error_for(short["access_token"]) == "insufficient_scope"
    service = await visitor.token({"grant_type": "client_credentials", "client_id": "demo-service"})
    assert await error_for(service.body["access_token"]) == "invalid_token"
    for_itself = {"grant_type": "client_credentials", "client_id": "demo-opaque", "scope": "openid"}
    assert await error_for((await visitor.token(for_itself)).body["access_token"]) == "invalid_token"
    assert (await visitor.post("/userinfo", Authorization=f"bearer {tokens['access_token']}")).status == 200
    await visitor.post("/revoke", {"token": tokens["access_token"], "client_id": "demo-web"})
    assert await error_for(tokens["access_token"]) == "invalid_token"
    late = (await visitor.tokens())["access_token"]
    clock.now += 3600
    assert await error_for(late) == "invalid_token"
