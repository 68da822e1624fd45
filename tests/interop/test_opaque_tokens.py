"""Opaque tokens of npm's oidc-provider and of the development server, at a gateway that is a process of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from gateway.devauth.clients import Client
from gateway.devauth.server import DevelopmentServer
from tests.gateway_process import GatewayProcess, fetch
from tests.interop.provider import Provider, Upstream, client_keys, gateway_for

Introspection = dict[str, Any]

# The blank, `+`, `%`, `&` and `=` are lost on the way unless they are form-encoded first (RFC 6749 §2.3.1).
BASIC: Introspection = {"client_id": "gateway", "client_secret": "gateway secret+%&="}
POST: Introspection = {**BASIC, "client_auth": "client_secret_post"}
SIGNED: Introspection = {"client_id": "signed", "client_secret": "signed-secret", "signed_response": True}
SECRET_JWT: Introspection = {
    "client_id": "asserting",
    "client_secret": "asserting-secret-of-more-than-32-bytes",
    "client_auth": "client_secret_jwt",
}

BAD_TOKENS = ("unknown", "a.b.c", "a-._~+/bc==")


def key_jwt(file: Path, **changes: Any) -> Introspection:
    return {"client_id": "keyed", "client_key": str(file), "client_auth": "private_key_jwt", **changes}


def allowed_until(gateway: GatewayProcess, token: str, seconds: float) -> None:
    """Wait until a token that was good is refused, at the latest in this time, and as an inactive one."""
    deadline = time.monotonic() + seconds
    while gateway.ask("/orders", token)[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert gateway.reason("/orders", token) == (401, "token_inactive")


def is_unavailable(gateway: GatewayProcess, token: str) -> bool:
    """Whether the issuer's trouble is told as such, and never as the caller's."""
    status, headers, body = gateway.ask("/orders", token)
    assert (status, json.loads(body)["reason"]) == (503, "issuer_unavailable")
    assert "WWW-Authenticate" not in headers
    return int(headers["Retry-After"]) > 0


# --- oidc-provider -----------------------------------------------------------------------------------------------


def test_its_opaque_tokens_are_allowed_and_refused_as_they_should_be(
    provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    provider.start()
    with gateway_for(provider.issuer, upstream, tmp_path, BASIC) as gateway:
        token = provider.token(resource="urn:opaque", client="reader")
        assert "." not in token
        forged = {"Authorization": f"Bearer {token}", "X-Auth-Subject": "admin", "X-Auth-Scopes": "orders:write"}
        assert fetch(urllib.request.Request(f"{gateway.origin}/orders", headers=forged))[0] == 200
        sent = upstream.received[0]
        identity = {name: value for name, value in sent.items() if name.lower().startswith("x-auth-")}
        assert identity == {
            "X-Auth-Client-Id": "reader",
            "X-Auth-Scopes": "orders:read",
            "X-Auth-Issuer": provider.issuer,
        }

        status, headers, body = gateway.ask("/admin", token)
        assert (status, json.loads(body)["reason"]) == (403, "scope_insufficient")
        assert 'error="insufficient_scope"' in headers["WWW-Authenticate"]
        assert 'scope="orders:write"' in headers["WWW-Authenticate"]
        both = provider.token("orders:read orders:write", "urn:opaque")
        assert [gateway.ask(path, both)[0] for path in ("/orders", "/admin")] == [200, 200]
        foreign = provider.token(resource="urn:opaque-billing")
        assert gateway.reason("/orders", foreign) == (401, "audience_mismatch")
        assert provider.introspections == 3

        for unknown in BAD_TOKENS:
            status, headers, body = gateway.ask("/orders", unknown)
            assert (status, json.loads(body)["reason"]) == (401, "token_inactive")
            assert 'error="invalid_token"' in headers["WWW-Authenticate"]
        assert len(upstream.received) == 3
        for secret in (token, both, foreign):
            assert secret[:12] not in gateway.log
            assert secret[:12] not in str(upstream.received)


def test_its_jwts_are_verified_without_asking_it(provider: Provider, upstream: Upstream, tmp_path: Path) -> None:
    provider.start()
    with gateway_for(provider.issuer, upstream, tmp_path, BASIC) as gateway:
        gateway.until("/readyz", 200)
        assert gateway.ask("/orders", provider.token())[0] == 200
        assert gateway.reason("/orders", provider.token(resource="urn:billing")) == (401, "audience_mismatch")
        assert provider.introspections == 0


def test_a_revoked_token_and_an_expired_one_are_refused_in_time(
    provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    provider.start()
    with (
        gateway_for(provider.issuer, upstream, tmp_path, {**BASIC, "cache": "1s"}) as forgetful,
        gateway_for(provider.issuer, upstream, tmp_path, {**BASIC, "cache": "60s"}) as patient,
    ):
        short = provider.token(resource="urn:opaque-short")
        assert patient.ask("/orders", short)[0] == 200
        revoked, lasting = provider.token(resource="urn:opaque"), provider.token(resource="urn:opaque")
        assert [forgetful.ask("/orders", token)[0] for token in (revoked, lasting)] == [200, 200]
        provider.revoke(revoked)
        allowed_until(forgetful, revoked, 1.5)
        assert forgetful.ask("/orders", lasting)[0] == 200
        # Its answer could be used for a minute, were the token's own end not sooner.
        allowed_until(patient, short, 2.5)


@pytest.mark.parametrize(
    "introspection",
    [
        lambda provider: POST,
        lambda provider: SIGNED,
        lambda provider: SECRET_JWT,
        lambda provider: key_jwt(provider.client_key("RSA")),
        lambda provider: key_jwt(provider.client_key("EC"), client_key_id=client_keys()["EC"].kid),
    ],
    ids=["client_secret_post", "signed answers", "client_secret_jwt", "private_key_jwt RSA", "private_key_jwt EC"],
)
def test_it_takes_each_way_to_say_who_asks_and_its_answers_are_understood(
    introspection: Callable[[Provider], Introspection], provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    provider.start()
    uncached = {**introspection(provider), "cache": "0s", "negative_cache": "0s"}
    with gateway_for(provider.issuer, upstream, tmp_path, uncached) as gateway:
        gateway.until("/readyz", 200)
        token = provider.token(resource="urn:opaque")
        assert [gateway.ask("/orders", token)[0] for _ in range(3)] == [200, 200, 200]
        assert gateway.reason("/admin", token) == (403, "scope_insufficient")
        assert upstream.received[0]["X-Auth-Client-Id"] == "writer"
        foreign = provider.token(resource="urn:opaque-billing")
        assert gateway.reason("/orders", foreign) == (401, "audience_mismatch")
        assert provider.introspections == 5
        provider.revoke(token)
        assert gateway.reason("/orders", token) == (401, "token_inactive")
        assert [gateway.reason("/orders", bad) for bad in BAD_TOKENS] == [(401, "token_inactive")] * len(BAD_TOKENS)
        assert token[:12] not in gateway.log
        assert uncached.get("client_secret", token) not in gateway.log


def test_answers_signed_with_a_new_key_are_understood_without_a_restart(
    provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    provider.start()
    with gateway_for(provider.issuer, upstream, tmp_path, SIGNED) as gateway:
        gateway.until("/readyz", 200)
        assert gateway.ask("/orders", provider.token(resource="urn:opaque"))[0] == 200
        provider.rotate()
        time.sleep(1.1)  # the cool-down for unknown keys
        assert gateway.ask("/orders", provider.token(resource="urn:opaque"))[0] == 200


def test_fifty_requests_with_one_new_token_make_one_call_of_each_gateway(
    provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    provider.start()
    with (
        gateway_for(provider.issuer, upstream, tmp_path, BASIC) as first,
        gateway_for(provider.issuer, upstream, tmp_path, BASIC) as second,
        ThreadPoolExecutor(50) as threads,
    ):
        token = provider.token(resource="urn:opaque")
        start = threading.Barrier(50)

        def ask(gateway: GatewayProcess) -> int:
            start.wait(10)
            return gateway.ask("/orders", token)[0]

        assert set(threads.map(ask, [first] * 50)) == {200}
        assert provider.introspections == 1
        token = provider.token(resource="urn:opaque")
        assert set(threads.map(ask, [first, second] * 25)) == {200}
        assert provider.introspections == 3


def test_a_provider_that_stops_harms_no_known_token_and_is_asked_again_when_it_is_back(
    provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    provider.start()
    with gateway_for(provider.issuer, upstream, tmp_path, BASIC) as gateway:
        gateway.until("/readyz", 200)
        known, new, jwt = provider.token(resource="urn:opaque"), provider.token(resource="urn:opaque"), provider.token()
        assert gateway.ask("/orders", known)[0] == 200
        provider.stop()
        # Six: the last ones are answered without another attempt to connect.
        assert all(is_unavailable(gateway, token) for token in (new, new, "unknown", new, new, new))
        assert [gateway.ask("/orders", token)[0] for token in (known, jwt)] == [200, 200]
        provider.start()
        again = provider.token(resource="urn:opaque")
        deadline = time.monotonic() + 5
        while gateway.ask("/orders", again)[0] != 200:
            assert is_unavailable(gateway, again)
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert gateway.reason("/orders", new) == (401, "token_inactive")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt"])
def test_a_wrong_secret_is_our_trouble_and_the_log_says_so_without_it(
    method: str, provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    secret = "not the secret+%&= that oidc-provider has"
    client = "asserting" if method == "client_secret_jwt" else "gateway"
    provider.start()
    wrong = {"client_id": client, "client_secret": secret, "client_auth": method}
    with gateway_for(provider.issuer, upstream, tmp_path, wrong) as gateway:
        refuses_everything(gateway, provider)
        encoded = urllib.parse.quote_plus(secret)
        for form in (secret, encoded, base64.b64encode(f"{client}:{encoded}".encode()).decode()):
            assert form not in gateway.log
        assert upstream.received == []


def test_a_key_that_is_not_registered_is_our_trouble_too(
    provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "other.pem").write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    provider.start()
    with gateway_for(provider.issuer, upstream, tmp_path, key_jwt(tmp_path / "other.pem")) as gateway:
        refuses_everything(gateway, provider)
        assert upstream.received == []


def refuses_everything(gateway: GatewayProcess, provider: Provider) -> None:
    """As a gateway does that its issuer does not know: good tokens and bad ones are the same to it."""
    assert all(is_unavailable(gateway, token) for token in (provider.token(resource="urn:opaque"), "unknown"))
    assert gateway.log.count("our client credentials are not accepted") == 1


# --- the development server --------------------------------------------------------------------------------------


@contextlib.contextmanager
def running_development_server(*clients: Client) -> Iterator[str]:
    """Its issuer; in a thread with an event loop of its own, so that the test may wait for the gateway."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = DevelopmentServer(clients)
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
        yield server.issuer
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def post(address: str, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    """The answer to a form that this client sends."""
    credentials = base64.b64encode(f"{client.client_id}:{client.client_secret}".encode()).decode()
    request = urllib.request.Request(address, urllib.parse.urlencode(form).encode())
    request.add_header("Authorization", f"Basic {credentials}")
    status, _, body = fetch(request)
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body)
    return answer


@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize(
    "app",
    [
        Client("app", "app-secret", frozenset({"orders:read"}), "urn:orders", access_token="opaque"),
        Client("app", "app-secret", frozenset({"orders:read"}), "urn:orders", access_token="jwt"),
    ],
    ids=lambda app: app.access_token,
)
def test_tokens_of_the_development_server_are_allowed_until_they_are_revoked(
    app: Client, client_auth: str, upstream: Upstream, tmp_path: Path
) -> None:
    own = Client("gateway", "gateway-secret", frozenset(), "urn:orders")
    introspection = {
        "client_id": own.client_id,
        "client_secret": own.client_secret,
        "client_auth": client_auth,
        "mode": "always",
        "cache": "500ms",
    }
    with (
        running_development_server(app, own) as issuer,
        gateway_for(issuer, upstream, tmp_path, introspection) as gateway,
    ):
        gateway.until("/readyz", 200)
        token = post(f"{issuer}/token", app, {"grant_type": "client_credentials"})["access_token"]
        assert gateway.ask("/orders", token)[0] == 200
        assert upstream.received[0]["X-Auth-Subject"] == "app"
        assert upstream.received[0]["X-Auth-Client-Id"] == "app"
        assert gateway.reason("/admin", token) == (403, "scope_insufficient")
        post(f"{issuer}/revoke", app, {"token": token})
        allowed_until(gateway, token, 1.0)
        assert gateway.reason("/orders", "unknown") == (401, "token_inactive")
        assert token[-12:] not in gateway.log
        assert token[-12:] not in str(upstream.received)
