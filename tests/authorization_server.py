"""An authorization server on loopback that answers as a test writes down, and keeps what it was asked."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.oauth.authorization_server import AuthorizationServer, find_server
from gateway.oauth.client import IssuerClient

ENDPOINTS = {
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
    "device_authorization_endpoint": "/device",
    "revocation_endpoint": "/revoke",
    "introspection_endpoint": "/introspect",
    "pushed_authorization_request_endpoint": "/par",
    "jwks_uri": "/jwks",
}


@dataclass
class Asked:
    """One request: its path, the parameters of its body in their order, and its header fields."""

    path: str
    pairs: list[tuple[str, str]]
    headers: dict[str, str] = field(repr=False)

    @property
    def form(self) -> dict[str, str]:
        """The parameters; none came twice."""
        assert len(dict(self.pairs)) == len(self.pairs), self.pairs
        return dict(self.pairs)


@dataclass
class Scripted:
    """One answer. A body that is no text is sent as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    """Whether the connection is closed instead."""


def token_answer(**changes: Any) -> Scripted:
    """A good answer of a token endpoint, but for the members given; None leaves one out."""
    members = {"access_token": "AT-1", "token_type": "Bearer", "expires_in": 300, **changes}
    return Scripted({name: value for name, value in members.items() if value is not None})


def error_answer(code: str, description: str | None = None, status: int = 400) -> Scripted:
    """An error response (RFC 6749 §5.2)."""
    members = {"error": code} if description is None else {"error": code, "error_description": description}
    return Scripted(members, status)


class ScriptedServer:
    """For `async with`. `answers` are given in turn by path, the last one again and again; `metadata` replaces members,
    None leaves one out.
    """

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.metadata: dict[str, Any] = {}
        self.answers: dict[str, list[Scripted]] = defaultdict(list)
        self.asked: list[Asked] = []
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.origin}{self.path}"

    def asked_at(self, path: str) -> list[Asked]:
        """The requests to one endpoint."""
        return [asked for asked in self.asked if asked.path == path]

    async def __aenter__(self) -> ScriptedServer:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        pairs = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        self.asked.append(Asked(request.path, pairs, dict(request.headers)))
        script = self.answers[request.path]
        if script:
            return self._scripted(request, script[0] if len(script) == 1 else script.pop(0))
        if request.path == f"/.well-known/oauth-authorization-server{self.path}":
            return web.json_response(self._metadata())
        raise web.HTTPNotFound

    def _scripted(self, request: web.Request, answer: Scripted) -> web.Response:
        if answer.drop:
            assert request.transport is not None
            request.transport.abort()
        is_text = isinstance(answer.body, str)
        body = answer.body if is_text else json.dumps(answer.body)
        kind = "text/html" if is_text else "application/json"
        return web.Response(text=body, status=answer.status, headers={"Content-Type": kind, **answer.headers})

    def _metadata(self) -> dict[str, Any]:
        usual = {name: f"{self.origin}{path}" for name, path in ENDPOINTS.items()}
        members = {"issuer": self.issuer, **usual, **self.metadata}
        return {name: value for name, value in members.items() if value is not None}

    async def found(self, client: IssuerClient) -> AuthorizationServer:
        """This server as a client sees it after discovery."""
        return await find_server(client, self.issuer)
