"""What `explain` tells of requests that no other test of a command asks about: WebSockets, and revoked tokens."""

from __future__ import annotations

import pytest

from gateway.explanation import Explanation, explain
from tests.http.websockets import KEY
from tests.world import bearer, mint, world

ROUTE = {"name": "own", "path": "/own", "require": {"scopes": ["s"]}}
UPGRADE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
]


def failed(told: Explanation) -> tuple[str, int, str | None]:
    """The step that failed, alone and last, with status and reason."""
    assert [step.ok for step in told.steps] == [True] * (len(told.steps) - 1) + [False]
    assert told.upstream_request is None
    return told.steps[-1].step, told.status, told.reason


async def test_the_handshake_of_a_websocket_is_shown_as_the_upstream_would_get_it() -> None:
    async with world(ROUTE) as w:
        offers = [("Sec-WebSocket-Protocol", "a, b"), ("Sec_WebSocket_Key", "evil"), ("Keep-Alive", "5")]
        told = await explain(w.gateway, "GET", "/own", mint(scope="s"), [*UPGRADE, *offers])
        assert told.allowed
        assert told.upstream_request is not None
        shown = told.upstream_request.headers
        own = {name: value for name, value in shown.items() if not name.startswith(("X-", "Via", "Forwarded"))}
        assert own == {
            "Host": f"127.0.0.1:{w.origin.port}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": KEY,
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "a, b",
        }
        assert shown["X-Auth-Subject"] == "u1"
        other = await explain(
            w.gateway, "GET", "/own", mint(scope="s"), [("Connection", "Upgrade"), ("Upgrade", "h2c")]
        )
        assert other.upstream_request is not None
        assert not {"Connection", "Upgrade"} & set(other.upstream_request.headers)
        assert w.sent_upstream == b""


@pytest.mark.parametrize(
    ("headers", "status"),
    [(UPGRADE[:3], 426), (UPGRADE[1:], 400), ([*UPGRADE[:2], UPGRADE[3]], 400)],
    ids=["version", "connection", "key"],
)
async def test_a_handshake_that_is_none_fails_as_one_after_all_that_is_decided(
    headers: list[tuple[str, str]], status: int
) -> None:
    async with world(ROUTE) as w:
        told = await explain(w.gateway, "GET", "/own", mint(scope="s"), headers)
        assert failed(told) == ("upgrade", status, "request_invalid")
        lacking = await explain(w.gateway, "GET", "/own", mint(scope="other"), headers)
        assert failed(lacking) == ("scopes", 403, "scope_insufficient")


async def test_a_revoked_token_fails_at_the_revocation_and_the_token_itself_was_good() -> None:
    async with world(ROUTE) as w:
        assert (await w.ask("GET", "/own", bearer(scope="s"))).status == 200
        await w.gateway.revoker.revoke("corp", "sub", "u1")
        told = await explain(w.gateway, "GET", "/own", mint(scope="s"))
        assert failed(told) == ("revocation", 401, "token_revoked")
        assert ("token", True) in [(step.step, step.ok) for step in told.steps]
        assert "u1" not in "".join(told.lines())


@pytest.mark.parametrize("target", ["//own", "/own#own", "//own/own", "/\u20ac", "/\tx", "/own/../own", "/"])
async def test_a_target_is_decided_about_as_a_client_would_send_it(target: str) -> None:
    async with world(ROUTE) as w:
        told = await explain(w.gateway, "GET", target, mint(scope="s"))
        assert (told.allowed, told.route) == (False, None)
        if target != "/":
            assert told.reason == "path_ambiguous"


async def test_an_address_is_split_into_host_and_target() -> None:
    async with world({**ROUTE, "host": "api.example.com"}) as w:
        told = await explain(w.gateway, "GET", "https://api.example.com/own?a=b#c", mint(scope="s"))
        assert told.upstream_request is not None
        assert told.upstream_request.target == "/own?a=b"
        assert told.upstream_request.headers["X-Forwarded-Proto"] == "https"
        assert not (await explain(w.gateway, "GET", "/own", mint(scope="s"))).allowed
