"""The development authorization server over HTTP: tokens for those who may have them, RFC errors for the rest."""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import pytest

from gateway.devauth.clients import Client, Lifetimes
from gateway.devauth.server import DevelopmentServer
from gateway.oauth import jwt
from gateway.oauth.keys import from_jwks

SECRET = "a:b%c+d é/"
SERVICE = Client(
    "svc", SECRET, frozenset({"read", "write"}), "orders-api", lifetimes=Lifetimes(access=60), claims={"tenant": "t1"}
)
OTHER = Client("other", "other-secret", frozenset({"read"}), "orders-api", access_token="opaque")


@pytest.fixture
async def server() -> AsyncIterator[DevelopmentServer]:
    running = DevelopmentServer([SERVICE, OTHER])
    await running.start()
    yield running
    await running.stop()


def basic(client_id: str = "svc", secret: str = SECRET) -> dict[str, str]:
    """client_secret_basic: both parts form-encoded before base64 (RFC 6749 §2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


async def post(
    server: DevelopmentServer, path: str, form: Any, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.issuer}{path}", data=form, headers=headers) as answer,
    ):
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.status, await answer.json(content_type=None)


async def get(server: DevelopmentServer, path: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{server.issuer}{path}") as answer:
        document: dict[str, Any] = await answer.json()
        return document


async def token_for(server: DevelopmentServer, **form: str) -> str:
    status, body = await post(server, "/token", {"grant_type": "client_credentials", **form}, basic())
    assert status == 200
    token: str = body["access_token"]
    return token


@pytest.mark.parametrize("scope", ["read", "read write", None])
async def test_a_client_gets_an_access_token_that_the_gateway_verifies(
    server: DevelopmentServer, scope: str | None
) -> None:
    token = await token_for(server, **({"scope": scope} if scope else {}))
    keys = from_jwks(await get(server, "/jwks"))
    rules = jwt.TokenRules("dev", server.issuer, frozenset({"orders-api"}), frozenset({"RS256"}), token_type="at+jwt")
    parsed = jwt.parse(token.encode())
    verified = jwt.verify(parsed, rules, keys, parsed.claims["iat"])
    assert verified.scopes == set((scope or "read write").split(" "))
    assert (verified.subject, verified.client_id, verified.claims["tenant"]) == ("svc", "svc", "t1")
    assert verified.claims["exp"] - verified.claims["iat"] == 60


async def test_the_secret_may_also_stand_in_the_body(server: DevelopmentServer) -> None:
    form = {"grant_type": "client_credentials", "client_id": "svc", "client_secret": SECRET}
    assert (await post(server, "/token", form))[0] == 200


@pytest.mark.parametrize(
    ("form", "headers", "status", "error"),
    [
        ({"grant_type": "client_credentials"}, {}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, basic(secret="wrong"), 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, basic("nobody"), 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, {"Authorization": "Basic %%%"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "scope": "admin"}, basic(), 400, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "read admin"}, basic(), 400, "invalid_scope"),
        ({"grant_type": "password", "username": "a", "password": "b"}, basic(), 400, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, basic(), 400, "unsupported_grant_type"),
        ({}, basic(), 400, None),
        ([("grant_type", "client_credentials"), ("grant_type", "x")], basic(), 400, "invalid_request"),
        (b"\xff=\xff", basic() | {"Content-Type": "application/x-www-form-urlencoded"}, 400, None),
        (
            b'{"grant_type": "client_credentials"}',
            basic() | {"Content-Type": "application/json"},
            400,
            "invalid_request",
        ),
        (b"x" * 100_000, basic() | {"Content-Type": "application/x-www-form-urlencoded"}, 413, "invalid_request"),
    ],
)
async def test_whoever_may_not_have_a_token_gets_the_error_of_the_rfc(
    server: DevelopmentServer, form: Any, headers: dict[str, str], status: int, error: str | None
) -> None:
    got, body = await post(server, "/token", form, headers)
    assert got == status
    assert body["error"] == error or error is None
    assert "Traceback" not in str(body)


async def test_introspection_tells_until_the_token_is_revoked(server: DevelopmentServer) -> None:
    token = await token_for(server, scope="read")
    status, body = await post(server, "/introspect", {"token": token}, basic("other", "other-secret"))
    assert (status, body["active"], body["scope"], body["iss"]) == (200, True, "read", server.issuer)
    assert (await post(server, "/introspect", {"token": "unknown"}, basic()))[1] == {"active": False}
    assert (await post(server, "/introspect", {"token": token}))[0] == 401
    assert (await post(server, "/introspect", {}, basic()))[0] == 400
    assert (await post(server, "/revoke", {"token": "unknown"}, basic()))[0] == 200
    assert (await post(server, "/revoke", {"token": token}, basic("other", "other-secret")))[0] == 400
    assert (await post(server, "/revoke", {"token": token}, basic()))[0] == 200
    assert (await post(server, "/introspect", {"token": token}, basic()))[1] == {"active": False}


async def test_an_opaque_token_is_issued_introspected_and_revoked_over_http_too(server: DevelopmentServer) -> None:
    owner = basic("other", "other-secret")
    form = {"token": (await post(server, "/token", {"grant_type": "client_credentials"}, owner))[1]["access_token"]}
    assert "." not in form["token"]
    status, body = await post(server, "/introspect", form, basic())
    assert (status, body["active"], body["client_id"], body["exp"] - body["iat"]) == (200, True, "other", 3600)
    assert (await post(server, "/revoke", form, owner))[0] == 200
    assert (await post(server, "/introspect", form, basic()))[1] == {"active": False}


async def test_an_expired_token_introspects_as_inactive(server: DevelopmentServer) -> None:
    token = server.tokens.issue(SERVICE, "read", exp=1).value
    assert (await post(server, "/introspect", {"token": token}, basic()))[1] == {"active": False}


async def test_a_rotated_key_stays_published_and_the_next_rotation_withdraws_it(server: DevelopmentServer) -> None:
    first = (await get(server, "/jwks"))["keys"][0]["kid"]
    _, body = await rotate(server)
    assert [key["kid"] for key in (await get(server, "/jwks"))["keys"]] == [body["kid"], first]
    await rotate(server)
    published = await get(server, "/jwks")
    assert first not in [key["kid"] for key in published["keys"]]
    assert not {"d", "p", "q"} & {member for key in published["keys"] for member in key}


async def rotate(server: DevelopmentServer) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(f"{server.issuer}/rotate-keys") as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("path", ["oauth-authorization-server", "openid-configuration"])
async def test_its_metadata_says_where_everything_is(server: DevelopmentServer, path: str) -> None:
    metadata = await get(server, f"/.well-known/{path}")
    assert metadata["issuer"] == server.issuer
    for name in ("jwks_uri", "token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        assert metadata[name].startswith(f"{server.issuer}/")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/token", 405), ("POST", "/nothing", 404)])
async def test_other_requests_are_refused_in_the_same_form(
    server: DevelopmentServer, method: str, path: str, status: int
) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, f"{server.issuer}{path}") as answer:
        assert answer.status == status
        assert (await answer.json())["error"] == "invalid_request"


async def test_it_listens_on_this_machine_alone() -> None:
    with pytest.raises(ValueError, match="loopback"):
        await DevelopmentServer([]).start("0.0.0.0")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost", "example.com", ""])
async def test_it_refuses_whatever_is_no_address_of_this_machine(host: str) -> None:
    with pytest.raises(ValueError, match=r"loopback|does not appear to be"):
        await DevelopmentServer([]).start(host)


async def test_beyond_loopback_it_needs_an_issuer_that_nobody_overhears() -> None:
    server = DevelopmentServer([SERVICE], "ES256")
    with pytest.raises(ValueError, match="https"):
        await server.start("0.0.0.0", beyond_loopback=True)
    for issuer in ("http://login.example.com", "https://login.example.com/", "login.example.com"):
        with pytest.raises(ValueError, match="issuer"):
            DevelopmentServer([SERVICE], "ES256", issuer=issuer)
    public = DevelopmentServer([SERVICE], "ES256", issuer="https://login.example.com")
    await public.start("0.0.0.0", beyond_loopback=True)
    try:
        assert public.issuer == "https://login.example.com"
    finally:
        await public.stop()


async def test_its_issuer_is_a_valid_address_over_ipv6_too() -> None:
    server = DevelopmentServer([SERVICE], "ES256")
    try:
        await server.start("::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        assert server.issuer.startswith("http://[::1]:")
        assert (await get(server, "/jwks"))["keys"][0]["alg"] == "ES256"
    finally:
        await server.stop()


async def test_a_refused_client_is_told_how_to_authenticate(server: DevelopmentServer) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{server.issuer}/introspect", data={"a": "b"}) as got:
        assert got.headers["WWW-Authenticate"].startswith('Basic realm="')


@pytest.mark.parametrize("charset", ["nonsense", "utf-16", "rot13", "base64", "idna", ""])
async def test_a_form_in_a_strange_charset_is_the_fault_of_the_client(server: DevelopmentServer, charset: str) -> None:
    headers = basic() | {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
    assert (await post(server, "/token", b"grant_type=\xff\xfe", headers))[0] == 400


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
async def test_no_bytes_make_it_fail(server: DevelopmentServer, path: str) -> None:
    chance = random.Random(path)
    words = [b"grant_type", b"client_credentials", b"token", b"scope", b"client_id", b"svc", b"client_secret", b"="]
    words += [b"&", b"%", b"%ff", b"%00", b"+", b"\x00", b"\xff", b";", b"[]", b"\xc3\xa9"]
    for _ in range(60):
        body = b"".join(chance.choices(words, k=chance.randrange(12)))
        secret = base64.b64encode(b"".join(chance.choices([*words, b":"], k=chance.randrange(6)))).decode()
        headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/x-www-form-urlencoded"}
        status, answer = await post(server, path, body, headers)
        assert status in (400, 401)
        assert answer["error"]
