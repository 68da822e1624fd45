"""The admin API over real sockets: who may use it, what it takes, and what it changes."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from gateway.admin.api import Api
from gateway.admin.listener import Health, make_admin_app
from gateway.admin.operations import GatewayOperations
from tests.dialogue import Answer, request, talk
from tests.issuer import FakeIssuer
from tests.world import AUDIENCE, World, bearer, mint, world

TOKEN = "admin-token-of-the-test"
ALLOWED = f"Authorization: Bearer {TOKEN}"
ROUTE = {"name": "read", "path": "/orders/{id}", "require": {"scopes": ["orders:read"]}}


@dataclass
class Admin:
    """A gateway, and the admin listener beside it."""

    w: World
    address: tuple[str, int]

    async def send(self, method: str, path: str, body: Any = None, *headers: str) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await talk(self.address, request(method, path, *(headers or (ALLOWED,)), body=data))

    async def status(self, **claims: Any) -> int:
        return (await self.w.ask("GET", "/orders/1", bearer(scope="orders:read", **claims))).status


async def no_figures() -> bytes:
    return b""


@contextlib.asynccontextmanager
async def admin(token: str = TOKEN, **changes: Any) -> AsyncIterator[Admin]:
    async with world(ROUTE, **changes) as w:
        api = Api(GatewayOperations(w.gateway), lambda: token)
        runner = web.AppRunner(make_admin_app(Health(dict), no_figures, api), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield Admin(w, runner.addresses[0])
        finally:
            await runner.cleanup()


@pytest.mark.parametrize(
    "headers",
    [
        ("X-Nothing: 1",),
        ("Authorization: Bearer wrong",),
        ("Authorization: Bearer",),
        (f"Authorization: Basic {TOKEN}",),
        (f"Authorization: Bearer {TOKEN}x",),
        (ALLOWED, ALLOWED),
        ("Authorization: Bearer \xff\xfe",),
    ],
)
@pytest.mark.parametrize("path", ["/api/revocations", "/api/unknown", "/api", "/%61pi/revocations"])
async def test_without_the_token_nothing_below_api_is_answered(headers: tuple[str, ...], path: str) -> None:
    async with admin() as a:
        answer = await a.send("GET", path, None, *headers)
        assert answer.status == 401
        assert (answer.header("WWW-Authenticate") or "").startswith("Bearer")
        assert TOKEN.encode() not in answer.raw


async def test_without_a_token_in_the_configuration_there_is_no_api() -> None:
    async with admin("") as a:
        for method, path in (("GET", "/api/revocations"), ("PUT", "/api/reload"), ("GET", "/api"), ("GET", "/api/x")):
            assert (await a.send(method, path)).status == 404
            assert (await a.send(method, path, None, "Authorization: Bearer ")).status == 404


async def test_a_revocation_holds_at_once_is_listed_and_can_be_withdrawn() -> None:
    async with admin() as a:
        assert await a.status(jti="t1") == 200
        before = time.time()
        made = await a.send("POST", "/api/revocations", {"issuer": "corp", "jti": "t1", "expires_at": before + 600})
        entry = json.loads(made.body)
        assert made.status == 201
        assert {"issuer": "corp", "jti": "t1", "expires_at": before + 600, "delivered": True}.items() <= entry.items()
        assert made.header("Location") == f"/api/revocations/{entry['id']}"
        assert await a.status(jti="t1") == 401
        assert await a.status(jti="t2") == 200
        assert json.loads((await a.send("GET", "/api/revocations")).body) == {"revocations": [entry]}
        assert (await a.send("DELETE", f"/api/revocations/{entry['id']}")).status == 204
        assert (await a.send("DELETE", f"/api/revocations/{entry['id']}")).status == 404
        assert json.loads((await a.send("GET", "/api/revocations")).body) == {"revocations": []}
        assert await a.status(jti="t1") == 200


@pytest.mark.parametrize(
    "named", [{"sub": "u1"}, {"client_id": "app"}, {"sid": "s1"}, {"issued_before": 4_000_000_000}]
)
async def test_a_revocation_can_name_a_subject_a_client_a_session_or_a_moment(named: dict[str, Any]) -> None:
    async with admin() as a:
        assert await a.status(sid="s1") == 200
        assert (await a.send("POST", "/api/revocations", {"issuer": "corp", **named})).status == 201
        assert await a.status(sid="s1") == 401


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({}, "issuer"),
        ({"issuer": "other", "sub": "u1"}, "issuer"),
        ({"issuer": 5, "sub": "u1"}, "issuer"),
        ({"issuer": "corp"}, "issued_before"),
        ({"issuer": "corp", "sub": ""}, "sub"),
        ({"issuer": "corp", "sub": 5}, "sub"),
        ({"issuer": "corp", "sub": None}, "sub"),
        ({"issuer": "corp", "sub": "u1", "sid": "s1"}, "sid"),
        ({"issuer": "corp", "sub": "u1", "issued_before": "now"}, "issued_before"),
        ({"issuer": "corp", "sub": "u1", "issued_before": True}, "issued_before"),
        ({"issuer": "corp", "sub": "u1", "expires_at": 5}, "expires_at"),
        ({"issuer": "corp", "sub": "u1", "expires_at": -5}, "expires_at"),
        ({"issuer": "corp", "subject": "u1"}, "subject"),
    ],
)
async def test_a_body_that_can_not_be_used_names_the_member(body: dict[str, Any], member: str) -> None:
    async with admin() as a:
        answer = await a.send("POST", "/api/revocations", body)
        assert (answer.status, json.loads(answer.body)["member"]) == (400, member)
        assert json.loads((await a.send("GET", "/api/revocations")).body) == {"revocations": []}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"issuer": "corp", "issuer": "corp"}', b"[" * 10_000])
@pytest.mark.parametrize("path", ["/api/revocations", "/api/explain"])
async def test_a_body_that_is_no_json_object_is_refused(path: str, body: bytes) -> None:
    async with admin() as a:
        assert (await a.send("POST", path, body)).status == 400


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with admin() as a:
        assert (await a.send("POST", "/api/revocations", b" " * 100_000)).status == 413


async def test_a_decision_can_be_explained() -> None:
    async with admin() as a:
        asked = {"method": "GET", "url": "/orders/1", "headers": {"X-Request-Id": "abc"}, "token": mint(scope="x")}
        told = json.loads((await a.send("POST", "/api/explain", asked)).body)
        assert (told["allowed"], told["status"], told["reason"]) == (False, 403, "scope_insufficient")
        asked["token"] = mint(scope="orders:read")
        told = json.loads((await a.send("POST", "/api/explain", asked)).body)
        assert told["allowed"] is True
        assert [step["step"] for step in told["steps"]] == [
            "target", "route", "credential", "issuer", "key", "token", "revocation", "scopes"
        ]  # fmt: skip
        assert told["upstream_request"]["target"] == "/orders/1"
        assert a.w.sent_upstream == b""


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"url": "/x"}, "method"),
        ({"method": "GET"}, "url"),
        ({"method": "GET", "url": "/x", "token": 5}, "token"),
        ({"method": "GET", "url": "/x", "headers": ["a"]}, "headers"),
        ({"method": "GET", "url": "/x", "headers": {"a": 5}}, "headers"),
        ({"method": "GET", "url": "/x", "headers": {"a": "\u20ac"}}, "url"),
        ({"method": "GET", "url": "http://[", "headers": {}}, "url"),
    ],
)
async def test_a_question_that_can_not_be_answered_names_the_member(body: dict[str, Any], member: str) -> None:
    async with admin() as a:
        answer = await a.send("POST", "/api/explain", body)
        assert (answer.status, json.loads(answer.body)["member"]) == (400, member)


async def test_keys_can_be_fetched_at_once() -> None:
    async with FakeIssuer() as issuer, admin(issuers=of(issuer)) as a:
        await a.w.gateway.wait_for_keys(2)
        fetched = issuer.requests["/jwks"]
        for body in (None, {}, {"issuer": "corp"}):
            answer = await a.send("POST", "/api/keys/refresh", body)
            assert (answer.status, json.loads(answer.body)) == (200, {"issuers": {"corp": "ok"}})
        assert issuer.requests["/jwks"] == fetched + 3
        issuer.fault = "status"
        answer = await a.send("POST", "/api/keys/refresh")
        assert json.loads(answer.body) == {"issuers": {"corp": "status"}}
        assert (await a.send("POST", "/api/keys/refresh", {"issuer": "other"})).status == 400


def of(issuer: FakeIssuer) -> dict[str, Any]:
    return {"corp": {"issuer": issuer.issuer, "audience": AUDIENCE}}
