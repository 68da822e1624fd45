"""Cross-origin requests, as browsers ask and as upstreams meddle (Fetch Standard §3.2)."""

from __future__ import annotations

import pytest

from tests.http.origin import Peer, ScriptedOrigin
from tests.world import bearer, world

APP = "https://app.example.com"
ROUTE = {"name": "read", "path": "/read/{id}", "methods": ["GET"], "require": {"scopes": ["s"]}}
CORS = {"origins": [APP, "https://*.preview.example.com"], "credentials": True, "expose": ["X-Total"], "max_age": "10m"}


def preflight(origin: str = APP, method: str = "GET") -> tuple[str, ...]:
    return (f"Origin: {origin}", f"Access-Control-Request-Method: {method}")


async def test_a_preflight_is_answered_without_a_token_and_without_the_upstream() -> None:
    async with world({**ROUTE, "cors": CORS}) as w:
        answer = await w.ask("OPTIONS", "/read/1", *preflight(), "Access-Control-Request-Headers: authorization")
        assert answer.status == 204
        assert answer.header("Access-Control-Allow-Origin") == APP
        assert answer.header("Access-Control-Allow-Credentials") == "true"
        assert answer.header("Access-Control-Allow-Methods") == "GET, HEAD"
        assert answer.header("Access-Control-Allow-Headers") == "Authorization, Content-Type"
        assert answer.header("Access-Control-Max-Age") == "600"
        assert "Origin" in (answer.header("Vary") or "")
        assert answer.header("WWW-Authenticate") is None
        assert w.sent_upstream == b""
        assert w.records[0].route == "read"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://preview.example.com",
        "https://a.preview.example.com.evil.com",
        "https://apreview.example.com",
        "null",
        "*",
        "",
        "https://x@a.preview.example.com",
    ],
)
async def test_another_origin_gets_no_permission(origin: str) -> None:
    async with world({**ROUTE, "cors": CORS}) as w:
        answer = await w.ask("OPTIONS", "/read/1", *preflight(origin))
        assert answer.status == 204
        assert b"access-control-allow" not in answer.head.lower()
        real = await w.ask("GET", "/read/1", bearer(scope="s"), f"Origin: {origin}")
        assert real.status == 200
        assert b"access-control" not in real.head.lower()
        assert real.header("Vary") == "Origin"


async def test_names_below_a_host_are_allowed_where_the_route_says_so() -> None:
    async with world({**ROUTE, "cors": CORS}) as w:
        for origin in ("https://a.preview.example.com", "https://x.y.preview.example.com"):
            answer = await w.ask("OPTIONS", "/read/1", *preflight(origin))
            assert answer.header("Access-Control-Allow-Origin") == origin


async def meddling(peer: Peer) -> None:
    while await peer.head():
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n"
            b"access-control-allow-credentials: true\r\nVary: Accept\r\n\r\nok"
        )


async def test_what_the_route_says_replaces_what_the_upstream_says() -> None:
    async with world({**ROUTE, "cors": CORS}, origin=ScriptedOrigin(meddling)) as w:
        answer = await w.ask("GET", "/read/1", bearer(scope="s"), f"Origin: {APP}")
        assert answer.head.lower().count(b"access-control-allow-origin") == 1
        assert answer.header("Access-Control-Allow-Origin") == APP
        assert answer.header("Access-Control-Expose-Headers") == "X-Total"
        assert answer.head.count(b"Vary: ") == 2


async def test_a_refusal_can_be_read_by_the_page_that_asked() -> None:
    async with world({**ROUTE, "cors": CORS}) as w:
        for headers in ((), (bearer(scope="other"),)):
            answer = await w.ask("GET", "/read/1", *headers, f"Origin: {APP}")
            assert answer.status in (401, 403)
            assert answer.header("Access-Control-Allow-Origin") == APP
            assert answer.header("Vary") == "Origin"


async def test_any_origin_is_answered_with_an_asterisk_and_varies_by_nothing() -> None:
    async with world({**ROUTE, "cors": {"origins": ["*"]}}) as w:
        answer = await w.ask("GET", "/read/1", bearer(scope="s"), "Origin: https://anybody.example")
        assert answer.header("Access-Control-Allow-Origin") == "*"
        assert answer.header("Access-Control-Allow-Credentials") is None
        assert answer.header("Vary") is None


async def test_a_preflight_for_a_route_without_cors_is_an_ordinary_request() -> None:
    async with world(ROUTE, {**ROUTE, "name": "write", "methods": ["PUT"], "cors": CORS}) as w:
        assert (await w.ask("OPTIONS", "/read/1", *preflight(method="GET"))).status == 405
        assert (await w.ask("OPTIONS", "/read/1", *preflight(method="PUT"))).status == 204
        assert (await w.ask("OPTIONS", "/nowhere", *preflight())).status == 404
        assert (await w.ask("OPTIONS", "/read/1")).status == 405


@pytest.mark.parametrize(("key", "path"), [("encoded_slash", "/read/a%2Fb"), ("semicolon", "/read/a;b")])
async def test_a_preflight_may_be_about_every_path_that_its_route_takes(key: str, path: str) -> None:
    async with world({**ROUTE, key: "keep", "cors": CORS}) as w:
        answer = await w.ask("OPTIONS", path, *preflight())
        assert (answer.status, answer.header("Access-Control-Allow-Origin")) == (204, APP)
        assert (await w.ask("GET", path, bearer(scope="s"), f"Origin: {APP}")).status == 200
    async with world({**ROUTE, "cors": CORS}) as w:
        assert (await w.ask("OPTIONS", path, *preflight())).status == 400


async def test_what_fails_behind_the_permit_and_what_comes_too_soon_can_be_read_by_the_page_too() -> None:
    limit = {"requests": 1, "per": "1m", "by": "subject"}
    route = {**ROUTE, "cors": CORS, "rate_limit": limit}
    async with world(route, upstreams={"orders": {"url": "http://127.0.0.1:1"}}) as w:
        for status in (502, 429):
            answer = await w.ask("GET", "/read/1", bearer(scope="s"), f"Origin: {APP}")
            assert (answer.status, answer.header("Access-Control-Allow-Origin")) == (status, APP)
            assert answer.header("Access-Control-Allow-Credentials") == "true"
            assert answer.header("Vary") == "Origin"
        # Preflights use up nothing, and are answered when nothing is left.
        for _ in range(3):
            assert (await w.ask("OPTIONS", "/read/1", *preflight())).status == 204
