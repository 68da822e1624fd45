"""Against an authorization server this project did not write: npm's oidc-provider. The gateway is a real process."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from tests.gateway_process import GatewayProcess, fetch, serving
from tests.services import free_port

FOLDER = Path(__file__).parent / "oidc-provider"


@dataclass
class Provider:
    """The authorization server, with its keys in a file."""

    port: int
    keys_file: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        node = shutil.which("node")
        assert node is not None
        command = [node, str(FOLDER / "server.mjs"), str(self.keys_file), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline())["issuer"] == self.issuer

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def rotate(self) -> None:
        """A new key instead of the old one, which is withdrawn."""
        write_key(self.keys_file)
        status, _, _ = fetch(urllib.request.Request(f"{self.issuer}/test/reload", method="POST"))
        assert status == 200

    def token(self, scope: str = "orders:read", resource: str = "urn:orders", client: str = "writer") -> str:
        """An access token by client credentials, for a resource (RFC 6749 §4.4, RFC 8707)."""
        form = {"grant_type": "client_credentials", "scope": scope, "resource": resource}
        request = urllib.request.Request(f"{self.issuer}/token", urllib.parse.urlencode(form).encode())
        credentials = base64.b64encode(f"{client}:{client}-secret".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
        status, _, body = fetch(request)
        assert status == 200, body
        token: str = json.loads(body)["access_token"]
        return token


@dataclass
class Upstream:
    """A real API behind the gateway that keeps the header fields it was sent."""

    port: int
    received: list[dict[str, str]] = field(default_factory=list)


def write_key(file: Path) -> None:
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
    file.write_text(json.dumps({"keys": [key.as_dict(private=True)]}))


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed, and oidc-provider needs it")
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        pytest.skip("oidc-provider is not installed; scripts/test installs it where npm is")
    write_key(tmp_path / "keys.json")
    running = Provider(free_port(), tmp_path / "keys.json")
    yield running
    running.stop()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    api = Upstream(0)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            api.received.append(dict(self.headers.items()))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            """Nothing to say."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield api
    server.shutdown()
    server.server_close()
    thread.join()


@contextlib.contextmanager
def gateway_for(provider: Provider, upstream: Upstream, folder: Path) -> Iterator[GatewayProcess]:
    keys = {"refresh": "2s", "cooldown": "1s", "timeout": "2s"}
    issuer = {"issuer": provider.issuer, "audience": "urn:orders", "leeway": "0s", "keys": keys}
    configuration = {
        "issuers": {"oidc": issuer},
        "upstreams": {"orders": {"url": f"http://127.0.0.1:{upstream.port}"}},
        "routes": [
            {"path": "/orders", "upstream": "orders", "require": {"scopes": ["orders:read"]}},
            {"path": "/admin", "upstream": "orders", "require": {"scopes": ["orders:write"]}},
        ],
    }
    with serving(folder, free_port(), free_port(), configuration) as gateway:
        yield gateway


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
    with gateway_for(provider, upstream, tmp_path) as gateway:
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
    with gateway_for(provider, upstream, tmp_path) as gateway:
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
    with gateway_for(provider, upstream, tmp_path) as gateway:
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
    with gateway_for(provider, upstream, tmp_path) as gateway:
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
