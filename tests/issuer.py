"""An issuer on loopback that publishes its metadata and keys, or fails in every way a test asks for; tokens of any
algorithm with any header and content.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import functools
import gzip
import ipaddress
import json
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.world import public_jwks, signing_key

KINDS = {
    "rsa": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
    "Ed448": ("EdDSA", "Ed448"),
}
"""Kinds of keys, and the algorithms that go with each."""


@functools.cache
def private_key(kind: str) -> Any:
    """A key of that kind, made once for all tests of a process."""
    match kind:
        case "rsa":
            return signing_key()
        case "other rsa":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "Ed448":
            return ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key({"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}[kind])


def public_jwk(kind: str, **members: Any) -> dict[str, Any]:
    """The public half as a JWK with these further members."""
    key = private_key(kind).public_key()
    algorithm: Any = {"r": RSAAlgorithm, "o": RSAAlgorithm, "P": ECAlgorithm, "E": OKPAlgorithm}[kind[0]]
    return {**algorithm.to_jwk(key, as_dict=True), **members}


def encode(part: bytes | dict[str, Any]) -> bytes:
    """One part of a token: base64url without padding, of these bytes or of this object as JSON."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def signed_by(kind: str, algorithm: str, header: bytes | dict[str, Any], claims: bytes | dict[str, Any]) -> bytes:
    """A token with exactly this header and payload, signed by the key of that kind whatever the header says."""
    name = "EdDSA" if kind.startswith("Ed") else algorithm
    signing_input = encode(header) + b"." + encode(claims)
    return signing_input + b"." + encode(jwt.get_algorithm_by_name(name).sign(signing_input, private_key(kind)))


def server_tls(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for a server on 127.0.0.1 with a certificate of its own, and for a client that trusts it."""
    key, now = private_key("P-256"), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "tls.pem").write_bytes(certificate + secret)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "tls.pem")
    return server, ssl.create_default_context(cadata=certificate.decode())


class FakeIssuer:
    """For `async with`. `fault` is what happens instead of an answer; `requests` counts what was asked, by path."""

    def __init__(self, path: str = "", tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.path = path
        self.tls = tls
        self.jwks: Any = json.loads(public_jwks())
        self.metadata: dict[str, Any] = {}
        self.metadata_at: set[str] = set()
        self.headers: dict[str, str] = {}
        self.fault: str | None = None
        self.active: dict[str, dict[str, Any]] = {}
        """The answer's further members for each token that is active."""
        self.introspected: list[tuple[dict[str, str], dict[str, str]]] = []
        """Form and header fields of each introspection."""
        self.introspection_fault: Any = None
        """What is answered at the introspection endpoint instead: a fault as above, a status, or another document."""
        self.delay = 0.0
        """Seconds before each answer."""
        self.upon_request: Callable[[], None] = lambda: None
        self.requests: Counter[str] = Counter()
        self.sent = 0
        """Bytes written of an endless answer."""
        self.port = port

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.origin}{self.path}"

    async def __aenter__(self) -> FakeIssuer:
        application = web.Application()
        application.router.add_get("/{tail:.*}", self._answer)
        application.router.add_post("/introspect", self._introspect)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        self.upon_request()
        await asyncio.sleep(self.delay)
        if request.path == "/jwks":
            return await self._with_fault(request, self.jwks, self.fault)
        usual = {f"/.well-known/oauth-authorization-server{self.path}"}
        if request.path in (self.metadata_at or usual):
            return web.json_response(self._metadata())
        raise web.HTTPNotFound

    def _metadata(self) -> dict[str, Any]:
        usual = {"issuer": self.issuer, "jwks_uri": f"{self.origin}/jwks"}
        members = {**usual, "introspection_endpoint": f"{self.origin}/introspect", **self.metadata}
        return {name: value for name, value in members.items() if value is not None}

    async def _introspect(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        posted = await request.post()
        form = {name: str(value) for name, value in posted.items()}
        assert len(form) == len(posted), "a parameter came twice"
        self.introspected.append((form, dict(request.headers)))
        await asyncio.sleep(self.delay)
        found = self.active.get(form.get("token", ""))
        document: Any = {"active": False} if found is None else {"active": True, **found}
        fault = self.introspection_fault
        if isinstance(fault, int):
            return web.json_response(document, status=fault)
        if isinstance(fault, str) or fault is None:
            return await self._with_fault(request, document, fault)
        return web.json_response(fault)

    async def _with_fault(self, request: web.Request, document: Any, fault: str | None) -> web.StreamResponse:
        if fault == "drop":
            assert request.transport is not None
            request.transport.abort()
        if fault == "hang":
            await asyncio.sleep(30)
        if fault == "endless":
            return await self._endless(request)
        if fault is None:
            return web.json_response(document, headers=self.headers)
        answers = {
            "status": web.Response(status=500),
            "redirect": web.Response(status=302, headers={"Location": f"{self.origin}/elsewhere"}),
            "huge": web.Response(body=b'{"keys": [], "x": "' + b"x" * 2**20 + b'"}'),
            "garbage": web.Response(body=b"<html>"),
            "page": web.json_response(document, content_type="text/html"),
            "nothing": web.json_response(None),
            "list": web.json_response([document]),
            "truncated": web.Response(body=b'{"active": true', content_type="application/json"),
            "twice": web.Response(body=b'{"active": false, "active": true}', content_type="application/json"),
            "not JSON": web.Response(body=b"<html>", content_type="application/json"),
            "duplicate": web.Response(body=b'{"keys": [], "keys": []}'),
            "empty": web.json_response({"keys": []}),
            "no keys": web.json_response({}),
            "packed": web.Response(body=gzip.compress(json.dumps(document).encode()), headers=PACKED),
            "bomb": web.Response(body=gzip.compress(b" " * 2**24), headers=PACKED),
        }
        return answers.get(fault) or web.json_response(document, headers=self.headers)

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(1024):
                self.sent += 2**16
                await response.write(b" " * 2**16)
        return response


PACKED = {"Content-Encoding": "gzip"}
