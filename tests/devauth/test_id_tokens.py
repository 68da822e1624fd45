"""ID tokens: signed, for one client, with what the scopes allow."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from gateway.devauth.defaults import CLIENTS
from gateway.devauth.server import DevelopmentServer
from gateway.devauth.tokens import Authorization
from gateway.devauth.users import User
from tests.devauth.visitor import Clock, Visitor


async def claims_of(visitor: Visitor, token: str) -> dict[str, Any]:
    """The claims of a token that a published key signed."""
    keys = KeySet.import_key_set((await visitor.get("/jwks")).body)  # type: ignore[arg-type]
    return jwt.decode(token, keys, algorithms=["ES256"]).claims


async def test_it_says_who_signed_in_when_and_for_whom(visitor: Visitor, clock: Clock) -> None:
    await visitor.consent_page()
    clock.now += 100
    tokens = await visitor.tokens({"nonce": "n-1"})
    claims = await claims_of(visitor, tokens["id_token"])
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims == {
        "iss": visitor.issuer,
        "sub": "alice",
        "aud": "demo-web",
        "iat": 1_800_000_100,
        "exp": 1_800_003_700,
        "auth_time": 1_800_000_000,
        "nonce": "n-1",
        "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
        "name": "Alice Example",
        "given_name": "Alice",
        "family_name": "Example",
        "preferred_username": "alice",
        "tenant": "acme",
    }
    header = jws.extract_compact(tokens["id_token"].encode()).headers()
    assert (header["typ"], header["alg"]) == ("JWT", "ES256")


@pytest.mark.parametrize(
    ("scope", "there", "absent"),
    [
        ("openid", {"sub", "tenant"}, {"name", "email"}),
        ("openid email", {"sub", "email", "email_verified"}, {"name"}),
        ("openid profile email", {"sub", "email", "name"}, {"password"}),
    ],
)
async def test_scopes_decide_what_is_told_there_and_at_userinfo(
    visitor: Visitor, scope: str, there: set[str], absent: set[str]
) -> None:
    tokens = await visitor.tokens({"scope": scope})
    page = await visitor.get("/userinfo", Authorization=f"Bearer {tokens['access_token']}")
    for told in (await claims_of(visitor, tokens["id_token"]), page.body):
        assert there <= told.keys()
        assert absent.isdisjoint(told)


async def test_a_refreshed_one_keeps_the_time_of_signing_in_and_has_no_nonce(visitor: Visitor, clock: Clock) -> None:
    first = await visitor.tokens({"nonce": "n-1"})
    clock.now += 500
    again = await claims_of(visitor, (await visitor.refresh(first["refresh_token"])).body["id_token"])
    assert (again["sub"], again["auth_time"], again["iat"]) == ("alice", 1_800_000_000, 1_800_000_500)
    assert "nonce" not in again


async def test_no_claim_of_a_user_stands_for_what_the_server_says(session: Any, clock: Clock) -> None:
    boaster = {"sub": "u1", "iss": "x", "aud": "x", "exp": 1, "auth_time": 1, "client_id": "x", "scope": "admin"}
    server = DevelopmentServer(CLIENTS, "ES256", users=[User("eve", "eve", {**boaster, "roles": ["a"]})], clock=clock)
    await server.start()
    try:
        visitor = Visitor(server.issuer, session)
        tokens = await visitor.tokens(name="eve")
        told = await claims_of(visitor, tokens["id_token"])
        assert (told["iss"], told["aud"], told["auth_time"]) == (server.issuer, "demo-web", 1_800_000_000)
        access = await claims_of(visitor, tokens["access_token"])
        assert (access["iss"], access["aud"], access["client_id"]) == (server.issuer, "orders-api", "demo-web")
        assert (access["sub"], access["roles"], access["exp"]) == ("u1", ["a"], 1_800_003_600)
        assert access["scope"] == tokens["scope"]
    finally:
        await server.stop()


async def test_an_access_token_follows_rfc_9068(visitor: Visitor) -> None:
    token = (await visitor.tokens())["access_token"]
    claims = await claims_of(visitor, token)
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope", "auth_time"} <= claims.keys()
    assert jws.extract_compact(token.encode()).headers()["typ"] == "at+jwt"


def test_what_is_shown_of_an_authorization_holds_no_nonce(server: DevelopmentServer) -> None:
    (client, *_) = server._clients
    assert "n-1" not in repr(Authorization(client, "openid", nonce="n-1"))
