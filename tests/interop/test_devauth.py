"""Tokens that users of the development server approved, JWT and opaque, at a gateway that is a process of its own."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.devauth.visitor import CALLBACK, Visitor
from tests.devauth_process import running_devauth
from tests.gateway_process import GatewayProcess
from tests.interop.provider import Upstream, gateway_for

CLIENTS = f"""\
audience: urn:orders
clients:
  - {{client_id: jwt, redirect_uris: ["{CALLBACK}"], scopes: [openid, "orders:read", "orders:write"]}}
  - {{client_id: opaque, redirect_uris: ["{CALLBACK}"], scopes: [openid, "orders:read"], access_token: opaque}}
  - {{client_id: short, redirect_uris: ["{CALLBACK}"], scopes: ["orders:read"], lifetimes: {{access: 5}}}}
  - {{client_id: tv, grant_types: [device_code], scopes: ["orders:read"]}}
  - {{client_id: gateway, client_secret: gateway-secret, scopes: []}}
"""
INTROSPECTION = {"client_id": "gateway", "client_secret": "gateway-secret", "cache": "500ms", "negative_cache": "0s"}


def refused_in_time(gateway: GatewayProcess, token: str, seconds: float, reason: str) -> None:
    """Wait until a token that was good is refused, for this reason."""
    deadline = time.monotonic() + seconds
    while gateway.ask("/orders", token)[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert gateway.reason("/orders", token) == (401, reason)


async def tokens(visitor: Visitor, client_id: str, scope: str) -> dict[str, Any]:
    code = await visitor.code({"client_id": client_id, "scope": scope}, "alice")
    answer = await visitor.redeem(code, {"client_id": client_id})
    assert answer.status == 200, answer.text
    return answer.body


@pytest.fixture
async def session() -> Any:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as opened:
        yield opened


async def test_they_are_allowed_for_what_was_approved_until_they_are_over_or_revoked(
    upstream: Upstream, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    (tmp_path / "clients.yaml").write_text(CLIENTS)
    with (
        running_devauth(tmp_path, "--clients", str(tmp_path / "clients.yaml")) as devauth,
        gateway_for(devauth.issuer, upstream, tmp_path, INTROSPECTION) as gateway,
    ):
        gateway.until("/readyz", 200)
        visitor = Visitor(devauth.issuer, session)

        jwt = await tokens(visitor, "jwt", "openid orders:read")
        assert gateway.ask("/orders", jwt["access_token"])[0] == 200
        assert upstream.received[-1]["X-Auth-Subject"] == "alice"
        assert upstream.received[-1]["X-Auth-Client-Id"] == "jwt"
        assert gateway.reason("/admin", jwt["access_token"]) == (403, "scope_insufficient")
        both = await tokens(visitor, "jwt", "orders:read orders:write")
        assert gateway.ask("/admin", both["access_token"])[0] == 200
        # An ID token and a refresh token are no access tokens.
        assert gateway.ask("/orders", jwt["id_token"])[0] == 401
        assert gateway.reason("/orders", jwt["refresh_token"]) == (401, "token_inactive")

        opaque = await tokens(visitor, "opaque", "openid orders:read")
        assert gateway.ask("/orders", opaque["access_token"])[0] == 200
        assert upstream.received[-1]["X-Auth-Subject"] == "alice"
        renewed = (await visitor.refresh(opaque["refresh_token"], client_id="opaque")).body
        assert gateway.ask("/orders", renewed["access_token"])[0] == 200
        # A replay ends them, and the gateway hears of it as soon as it asks again.
        assert (await visitor.refresh(opaque["refresh_token"], client_id="opaque")).status == 400
        for body in (opaque, renewed):
            refused_in_time(gateway, body["access_token"], 5, "token_inactive")
        assert gateway.reason("/orders", renewed["refresh_token"]) == (401, "token_inactive")

        short = await tokens(visitor, "short", "orders:read")
        assert gateway.ask("/orders", short["access_token"])[0] == 200
        refused_in_time(gateway, short["access_token"], 15, "token_expired")

        told = await visitor.device(client_id="tv")
        await visitor.decide_on_device(told["user_code"], "approve")
        device = (await visitor.poll(told["device_code"], "tv")).body
        assert gateway.ask("/orders", device["access_token"])[0] == 200

        devauth.hang_up()
        devauth.until("signs with a new key")
        await asyncio.sleep(1.1)  # the gateway's cool-down for unknown keys
        after = await tokens(visitor, "jwt", "orders:read")
        assert gateway.ask("/orders", after["access_token"])[0] == 200
        assert gateway.ask("/orders", jwt["access_token"])[0] == 200
        for body in (jwt, opaque, device, after):
            assert body["access_token"][-12:] not in gateway.log
            assert body["access_token"][-12:] not in devauth.output
            assert body["access_token"][-12:] not in json.dumps(upstream.received)
