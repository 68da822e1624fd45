"""OpenID Connect back-channel logout over real sockets: what a logout token ends, and what is no logout token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from tests.dialogue import Answer
from tests.world import AUDIENCE, ISSUER, World, bearer, public_jwks, signing_key, world

ADDRESS = "/_gateway/backchannel-logout/corp"
EVENT = {"http://schemas.openid.net/event/backchannel-logout": {}}
FORM = "Content-Type: application/x-www-form-urlencoded"
ROUTE = {"path": "/**"}


def issuers(**changes: Any) -> dict[str, Any]:
    block = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks()), "backchannel_logout": True}
    return {
        "corp": {**block, **changes},
        "quiet": {"issuer": "https://quiet.example", "audience": "x", "secret": "x" * 32, "algorithms": ["HS256"]},
    }


@contextlib.asynccontextmanager
async def gateway(**changes: Any) -> AsyncIterator[World]:
    async with world(ROUTE, issuers=issuers(**changes)) as w:
        yield w


def logout_token(header: dict[str, Any] | None = None, **claims: Any) -> str:
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "u1",
        "iat": now,
        "exp": now + 120,
        "jti": f"logout-{time.perf_counter_ns()}",
        "events": EVENT,
    }
    payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(payload, signing_key(), "RS256", headers={"kid": "k1", "typ": "logout+jwt", **(header or {})})


async def send(w: World, token: str, *headers: str, method: str = "POST", path: str = ADDRESS) -> Answer:
    body = urlencode({"logout_token": token}).encode()
    return await w.ask(method, path, *(headers or (FORM,)), body=body)


async def status(w: World, **claims: Any) -> int:
    return (await w.ask("GET", "/x", bearer(**claims))).status


async def test_a_subject_is_logged_out_of_everything_that_was_issued_until_then() -> None:
    async with gateway() as w:
        now = int(time.time())
        assert await status(w, iat=now - 10) == 200
        answer = await send(w, logout_token(iat=now))
        assert (answer.status, answer.header("Cache-Control"), answer.body) == (200, "no-store", b"")
        assert await status(w, iat=now - 10) == 401
        assert await status(w, iat=now, jti="2") == 401
        assert await status(w, iat=now + 1, jti="3") == 200
        assert await status(w, iat=now - 10, sub="u2") == 200
        refusal = await w.ask("GET", "/x", bearer(iat=now - 10))
        assert json.loads(refusal.body)["reason"] == "token_revoked"


async def test_a_session_ends_alone() -> None:
    async with gateway() as w:
        before = int(time.time()) - 5
        assert (await send(w, logout_token(sid="s1"))).status == 200
        assert await status(w, sid="s1", iat=before) == 401
        assert await status(w, sid="s1", iat=before + 10) == 401
        assert await status(w, sid="s2", iat=before) == 200
        # It may belong to the session that has ended: nothing says that it does not.
        assert await status(w, iat=before) == 401
    async with gateway() as w:
        assert (await send(w, logout_token(sid="s1", sub=None))).status == 200
        assert await status(w, sid="s1") == 401
        assert await status(w) == 200


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({}, {"iss": "https://other.example"}),
        ({}, {"aud": "other"}),
        ({}, {"exp": 1}),
        ({}, {"exp": None}),
        ({}, {"iat": None}),
        ({}, {"iat": 5_000_000_000}),
        ({}, {"jti": None}),
        ({}, {"events": None}),
        ({}, {"events": {"http://schemas.openid.net/event/other": {}}}),
        ({}, {"events": "http://schemas.openid.net/event/backchannel-logout"}),
        ({}, {"nonce": "n"}),
        ({}, {"sub": None}),
        ({}, {"sub": 5}),
        ({"typ": "at+jwt"}, {}),
        ({"kid": "unknown"}, {}),
        ({"crit": ["x"], "x": 1}, {}),
    ],
)
async def test_what_is_no_logout_token_ends_nothing(header: dict[str, Any], claims: dict[str, Any]) -> None:
    async with gateway() as w:
        answer = await send(w, logout_token(header, **claims))
        assert answer.status == 400
        assert json.loads(answer.body)["error"] == "invalid_request"
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("Content-Type") == "application/json"
        assert await status(w) == 200


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((FORM,), b""),
        ((FORM,), b"x=1"),
        ((FORM,), b"logout_token="),
        ((FORM,), b"logout_token=a&logout_token=b"),
        ((FORM,), b"logout_token=" + b"a" * 20_000),
        ((FORM,), b"&".join(b"a=1" for _ in range(50))),
        ((FORM,), b"\xff\xfe"),
        (("Content-Type: application/json",), b'{"logout_token": "x"}'),
        ((), b"logout_token=x"),
        ((FORM, FORM), b"logout_token=x"),
    ],
)
async def test_a_body_that_is_not_one_form_with_one_token_is_refused(headers: tuple[str, ...], body: bytes) -> None:
    async with gateway() as w:
        answer = await w.ask("POST", ADDRESS, *headers, body=body)
        assert answer.status == 400
        assert json.loads(answer.body)["error"] == "invalid_request"


async def test_a_body_without_end_is_cut_off() -> None:
    async with gateway() as w:
        answer = await w.ask("POST", ADDRESS, FORM, body=b"logout_token=" + b"a" * 100_000)
        assert answer.status == 413


async def test_a_logout_token_counts_once() -> None:
    async with gateway() as w:
        token = logout_token()
        answers = await asyncio.gather(*(send(w, token) for _ in range(5)))
        assert sorted(answer.status for answer in answers) == [200, 400, 400, 400, 400]


async def test_it_may_be_sent_to_us_under_the_name_we_introspect_with() -> None:
    introspection = {"client_id": "gateway", "client_secret": "s", "mode": "opaque"}
    async with gateway(introspection=introspection) as w:
        assert (await send(w, logout_token(aud=["gateway"]))).status == 200
        assert (await send(w, logout_token(aud="another"))).status == 400


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", ADDRESS, 405),
        ("POST", "/_gateway/backchannel-logout/quiet", 404),
        ("POST", "/_gateway/backchannel-logout/unknown", 404),
        ("POST", "/_gateway/backchannel-logout/corp/", 404),
        ("POST", "/_gateway/backchannel-logout", 404),
        ("POST", "/_gateway", 404),
    ],
)
async def test_only_this_address_of_issuers_that_log_out_takes_them(method: str, path: str, expected: int) -> None:
    async with gateway() as w:
        answer = await send(w, logout_token(), method=method, path=path)
        assert answer.status == expected
        if expected == 405:
            assert answer.header("Allow") == "POST"


async def test_an_access_token_is_no_logout_token_and_a_logout_token_no_access_token() -> None:
    async with gateway() as w:
        assert (await send(w, bearer().removeprefix("Authorization: Bearer "))).status == 400
        answer = await w.ask("GET", "/x", f"Authorization: Bearer {logout_token(scope='x')}")
        assert json.loads(answer.body)["reason"] == "token_type_refused"


async def test_without_the_issuers_keys_nobody_can_tell_and_the_issuer_may_try_again() -> None:
    async with world(
        ROUTE,
        issuers={
            "corp": {
                "issuer": "http://127.0.0.1:9",
                "audience": AUDIENCE,
                "backchannel_logout": True,
            }
        },
    ) as w:
        answer = await send(w, logout_token(iss="http://127.0.0.1:9"))
        assert (answer.status, json.loads(answer.body)["reason"]) == (503, "issuer_unavailable")
        assert answer.header("Retry-After") is not None
