"""The endpoints for programs: what pages of other origins may ask, and that no bytes make any of them fail."""

from __future__ import annotations

import random

import pytest

from gateway.devauth.server import DevelopmentServer
from tests.devauth.visitor import Visitor

OPEN = ("/token", "/device_authorization", "/revoke", "/userinfo")
POSTED = ("/token", "/device_authorization", "/revoke", "/introspect", "/register", "/authorize", "/device")
POSTED = (*POSTED, "/authorize/sign-in", "/authorize/consent", "/device/consent", "/end-session", "/userinfo")


@pytest.mark.parametrize("path", OPEN)
async def test_a_page_of_any_origin_may_ask_where_no_cookie_counts(visitor: Visitor, path: str) -> None:
    async with visitor.session.options(f"{visitor.issuer}{path}", headers={"Origin": "https://app.example"}) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    page = await visitor.post(path, {"client_id": "nobody"}, Origin="https://app.example")
    assert page.status >= 400
    assert page.fields["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in page.fields


@pytest.mark.parametrize("path", ["/introspect", "/register", "/rotate-keys", "/authorize", "/device", "/end-session"])
async def test_anything_else_is_not_for_pages_of_others(visitor: Visitor, path: str) -> None:
    async with visitor.session.options(f"{visitor.issuer}{path}", headers={"Origin": "https://app.example"}) as answer:
        assert answer.status == 405
        assert "Access-Control-Allow-Origin" not in answer.headers
    page = await visitor.post(path, {"client_id": "nobody"}, Origin="https://app.example")
    assert "Access-Control-Allow-Origin" not in page.fields


async def test_no_page_rotates_keys_and_a_program_does(visitor: Visitor, server: DevelopmentServer) -> None:
    before = (await visitor.get("/jwks")).body["keys"]
    for origin in ("https://app.example", "null", visitor.issuer):
        assert (await visitor.post("/rotate-keys", Origin=origin)).status == 403
    assert (await visitor.get("/jwks")).body["keys"] == before
    page = await visitor.post("/rotate-keys")
    assert (page.status, [key["kid"] for key in (await visitor.get("/jwks")).body["keys"]]) == (
        200,
        [page.body["kid"], before[0]["kid"]],
    )
    assert server.rotate_keys() == (await visitor.get("/jwks")).body["keys"][0]["kid"]


async def test_a_token_from_before_a_rotation_is_still_known(visitor: Visitor) -> None:
    tokens = await visitor.tokens()
    for _ in range(3):
        await visitor.post("/rotate-keys")
    assert await visitor.is_active(tokens["access_token"])


@pytest.mark.parametrize("path", POSTED)
async def test_no_bytes_make_an_endpoint_fail(visitor: Visitor, path: str) -> None:
    await visitor.consent_page()
    chance = random.Random(path)
    words = [b"grant_type", b"authorization_code", b"code", b"client_id", b"demo-web", b"redirect_uri", b"=", b"&"]
    words += [b"=", b"&", b"%", b"%ff", b"%00", b"+", b"\x00", b"\xff", b";", b"{}", b'"', b"scope", b"refresh_token"]
    words += [b"code_verifier", b"device_code", b"urn:ietf:params:oauth:grant-type:device_code", b"a" * 43]
    for _ in range(60):
        body = b"".join(chance.choices(words, k=chance.randrange(14)))
        kind = chance.choice(["application/x-www-form-urlencoded", "application/json", "text/plain"])
        page = await visitor.post(path, body, **{"Content-Type": kind})
        assert page.status < 500, (path, body)
        assert page.status != 200 or path == "/end-session", (path, body)
        assert "Traceback" not in page.text


@pytest.mark.parametrize("path", ["/authorize", "/device", "/end-session", "/userinfo", "/grants", "/"])
async def test_no_query_makes_an_endpoint_fail(visitor: Visitor, path: str) -> None:
    await visitor.consent_page()
    chance = random.Random(path)
    words = ["client_id", "demo-web", "redirect_uri", "http://127.0.0.1:1/", "=", "&", "%", "%ff", "%00", "%0d%0a"]
    words += ["=", "&", "response_type", "code", "state", "prompt", "none", "max_age", "9" * 30, "id_token_hint", "é"]
    for _ in range(60):
        query = "".join(chance.choices(words, k=chance.randrange(16)))
        assert (await visitor.get(f"{path}?{query}")).status < 500, query
