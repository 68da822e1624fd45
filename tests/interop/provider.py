"""npm's oidc-provider as the authorization server, an API, and the gateway between them: each a real server."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, RSAKey

from tests.gateway_process import GatewayProcess, fetch, serving
from tests.services import free_port

FOLDER = Path(__file__).parent / "oidc-provider"


@dataclass
class Provider:
    """The authorization server, with its keys and those of its client `keyed` in files of the folder."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def introspections(self) -> int:
        """How many introspection requests it has seen since it was started."""
        return int(self._fetch("/test/introspections"))

    def client_key(self, kty: str) -> Path:
        """The PEM file with a private key of the client `keyed`; `kty` is EC or RSA."""
        return self.folder / f"client-{kty}.pem"

    def start(self) -> None:
        node = shutil.which("node")
        assert node is not None
        files = (self.folder / "keys.json", self.folder / "client-keys.json")
        command = [node, str(FOLDER / "server.mjs"), str(files[0]), str(self.port), str(files[1])]
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

    def write_keys(self) -> None:
        """A new key of its own; those of the client stay as they are."""
        key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        (self.folder / "keys.json").write_text(json.dumps({"keys": [key.as_dict(private=True)]}))
        public = [key.as_dict(private=False) for key in client_keys().values()]
        (self.folder / "client-keys.json").write_text(json.dumps({"keys": public}))
        for kty, private in client_keys().items():
            self.client_key(kty).write_bytes(private.as_pem(private=True))

    def rotate(self) -> None:
        """A new key instead of the old one, which is withdrawn; opaque tokens are forgotten."""
        self.write_keys()
        self._fetch("/test/reload", {})

    def token(self, scope: str = "orders:read", resource: str = "urn:orders", client: str = "writer") -> str:
        """An access token by client credentials, for a resource (RFC 6749 §4.4, RFC 8707)."""
        form = {"grant_type": "client_credentials", "scope": scope, "resource": resource}
        token: str = json.loads(self._fetch("/token", form, client))["access_token"]
        return token

    def revoke(self, token: str, client: str = "writer") -> None:
        """Withdraw an opaque token, as the client it was issued to (RFC 7009)."""
        self._fetch("/token/revocation", {"token": token}, client)

    def _fetch(self, path: str, form: Mapping[str, str] | None = None, client: str | None = None) -> str:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.issuer + path, data)
        if client is not None:
            credentials = base64.b64encode(f"{client}:{client}-secret".encode()).decode()
            request.add_header("Authorization", f"Basic {credentials}")
        status, _, body = fetch(request)
        assert status == 200, body
        return body


@functools.cache
def client_keys() -> Mapping[str, ECKey | RSAKey]:
    """The private keys of the client `keyed`, made once for all tests of a process."""
    return {"EC": ECKey.generate_key("P-256", auto_kid=True), "RSA": RSAKey.generate_key(2048, auto_kid=True)}


@dataclass
class Upstream:
    """A real API behind the gateway that keeps the header fields it was sent."""

    port: int
    received: list[dict[str, str]] = field(default_factory=list)


@contextlib.contextmanager
def running_upstream() -> Iterator[Upstream]:
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

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128  # of five, a burst of connections waits a second for the next SYN

    server = Server(("127.0.0.1", 0), Handler)
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def gateway_for(
    issuer: str, upstream: Upstream, folder: Path, introspection: Mapping[str, Any] | None = None
) -> Iterator[GatewayProcess]:
    """A gateway whose keys age within seconds; without `introspection` it takes JWTs alone."""
    keys = {"refresh": "2s", "cooldown": "1s", "timeout": "2s"}
    block: dict[str, Any] = {"issuer": issuer, "audience": "urn:orders", "leeway": "0s", "keys": keys}
    if introspection is not None:
        block["introspection"] = introspection
    configuration = {
        "issuers": {"oidc": block},
        "upstreams": {"orders": {"url": f"http://127.0.0.1:{upstream.port}"}},
        "routes": [
            {"path": "/orders", "upstream": "orders", "require": {"scopes": ["orders:read"]}},
            {"path": "/admin", "upstream": "orders", "require": {"scopes": ["orders:write"]}},
        ],
    }
    with serving(folder, free_port(), free_port(), configuration) as gateway:
        yield gateway
