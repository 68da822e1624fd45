"""A gateway in front of a scripted upstream, both on real sockets; the issuer's keys stand in the configuration."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from gateway import build
from gateway.app import Gateway
from gateway.config import Config, parse
from gateway.http.server import HttpServer
from gateway.record import RequestRecord
from gateway.upstream.names import Lookup, system_lookup
from tests.dialogue import Answer, request, talk
from tests.http.origin import ScriptedOrigin, always_ok

ISSUER = "https://login.example.com"
AUDIENCE = "orders-api"


@functools.cache
def signing_key() -> rsa.RSAPrivateKey:
    """The issuer's key, made once for all tests of a process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def public_jwks() -> str:
    """Its public half, as the text of a JWK Set."""
    jwk = json.loads(RSAAlgorithm.to_jwk(signing_key().public_key()))
    return json.dumps({"keys": [{**jwk, "kid": "k1", "alg": "RS256", "use": "sig"}]})


def mint(**claims: Any) -> str:
    """A token that is good in every respect, but for the claims given; None leaves a claim out."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "client_id": "app", "iat": now, "exp": now + 300}
    payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(payload, signing_key(), "RS256", headers={"kid": "k1", "typ": "at+jwt"})


def bearer(**claims: Any) -> str:
    """The header line with such a token."""
    return f"Authorization: Bearer {mint(**claims)}"


@dataclass
class World:
    """What a test talks to, and what it looks at afterwards."""

    address: tuple[str, int]
    origin: ScriptedOrigin
    gateway: Gateway
    records: list[RequestRecord]

    async def ask(self, method: str, target: str, *headers: str, body: bytes = b"", **options: Any) -> Answer:
        """One request on a connection of its own."""
        return await talk(self.address, request(method, target, *headers, body=body), **options)

    @property
    def sent_upstream(self) -> bytes:
        """All bytes the upstream received."""
        return b"".join(self.origin.received)


def configuration(port: int, *routes: Mapping[str, Any], **changes: Any) -> Config:
    """One issuer, one upstream on that port, and these routes."""
    return parse(
        {
            "issuers": {"corp": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": json.loads(public_jwks())}},
            "upstreams": {"orders": {"url": f"http://127.0.0.1:{port}"}},
            "routes": [{"upstream": "orders", **route} if "respond" not in route else dict(route) for route in routes],
            **changes,
        }
    )


@contextlib.asynccontextmanager
async def world(
    *routes: Mapping[str, Any],
    origin: ScriptedOrigin | None = None,
    lookup: Lookup = system_lookup,
    **changes: Any,
) -> AsyncIterator[World]:
    """A running gateway; `changes` are further blocks of the configuration, `lookup` finds names of upstreams."""
    async with origin or ScriptedOrigin(always_ok) as upstream:
        config = configuration(upstream.port, *routes, **changes)
        gateway = build.build(config, lookup=lookup)
        records: list[RequestRecord] = []
        gateway.on_closed.append(records.append)
        server = HttpServer(gateway.handle, build.server_limits(config), begin=gateway.begin)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        await gateway.start()
        try:
            yield World(listener.sockets[0].getsockname(), upstream, gateway, records)
        finally:
            listener.close()
            server.drain()
            await server.wait_closed(1)
            await gateway.close()
