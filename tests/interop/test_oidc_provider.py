"""Against an authorization server this project did not write: npm's oidc-provider. The gateway is a real process."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

from tests.interop.provider import Provider, Upstream, gateway_for


def tampered(token: str) -> str:
    """The same token with another payload."""
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["scope"] = "orders:read orders:write"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{forged}.{signature}"


def test_its_tokens_are_allowed_and_refused_as_they_should_be(
    provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    provider.start()
    with gateway_for(provider.issuer, upstream, tmp_path) as gateway:
        gateway.until("/readyz", 200)
        good, short = provider.token(client="reader"), provider.token(resource="urn:short")
        status, _, body = gateway.ask("/orders", good)
        assert (status, body) == (200, "ok")
        assert upstream.received[0]["X-Auth-Subject"] == "reader"
        assert upstream.received[0]["X-Auth-Scopes"] == "orders:read"
        assert "Authorization" not in upstream.received[0]

        status, headers, _ = gateway.ask("/admin", good)
        assert status == 403
        assert 'error="insufficient_scope"' in headers["WWW-Authenticate"]
        assert 'scope="orders:write"' in headers["WWW-Authenticate"]
        assert gateway.ask("/admin", provider.token("orders:write"))[0] == 200
        assert gateway.reason("/orders") == (401, "token_missing")
        assert gateway.reason("/orders", provider.token(resource="urn:billing")) == (401, "audience_mismatch")
        assert gateway.reason("/admin", tampered(good)) == (401, "signature_invalid")
        time.sleep(1.1)
        assert gateway.reason("/orders", short) == (401, "token_expired")
        assert len(upstream.received) == 2
        for token in (good, short):
            assert token not in gateway.log
            assert token.rpartition(".")[2] not in gateway.log


def test_a_rotated_key_is_found_and_a_withdrawn_one_forgotten_without_a_restart(
    provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    provider.start()
    with gateway_for(provider.issuer, upstream, tmp_path) as gateway:
        gateway.until("/readyz", 200)
        old = provider.token()
        assert gateway.ask("/orders", old)[0] == 200
        provider.rotate()
        time.sleep(1.1)  # the cool-down for unknown keys
        assert gateway.ask("/orders", provider.token())[0] == 200
        deadline = time.monotonic() + 7  # refresh + 5 s
        while gateway.ask("/orders", old)[0] == 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert gateway.reason("/orders", old) == (401, "key_unknown")


def test_an_issuer_that_stops_harms_no_known_key(provider: Provider, upstream: Upstream, tmp_path: Path) -> None:
    provider.start()
    with gateway_for(provider.issuer, upstream, tmp_path) as gateway:
        gateway.until("/readyz", 200)
        first, second = provider.token(), provider.token("orders:read orders:write")
        assert gateway.ask("/orders", first)[0] == 200
        provider.rotate()
        unknown = provider.token()
        provider.stop()
        assert gateway.ask("/orders", first)[0] == 200
        assert gateway.ask("/admin", second)[0] == 200
        assert gateway.reason("/orders", unknown) == (401, "key_unknown")
        assert gateway.admin("/readyz")[0] == 200


def test_a_gateway_started_while_the_issuer_is_down_heals_when_it_comes_back(
    provider: Provider, upstream: Upstream, tmp_path: Path
) -> None:
    provider.start()
    token = provider.token()
    provider.stop()
    with gateway_for(provider.issuer, upstream, tmp_path) as gateway:
        status, headers, body = gateway.ask("/orders", token)
        assert (status, json.loads(body)["reason"]) == (503, "issuer_unavailable")
        assert int(headers["Retry-After"]) > 0
        assert "WWW-Authenticate" not in headers
        status, body = gateway.admin("/readyz")
        assert (status, json.loads(body)["issuers"]) == (503, {"oidc": "waiting"})
        assert gateway.admin("/livez")[0] == 200
        provider.start()
        gateway.until("/readyz", 200)
        assert gateway.ask("/orders", token)[0] == 200
        assert upstream.received
