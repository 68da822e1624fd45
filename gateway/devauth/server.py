"""The development authorization server over HTTP: metadata, keys, token, introspection, revocation (RFC 8414, 6749)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from gateway.devauth.clients import Client
from gateway.devauth.grants import Answer, Grants
from gateway.devauth.keys import Algorithm, SigningKeys
from gateway.devauth.tokens import AccessTokens

_MAX_FORM = 64 * 1024
_NEVER_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class DevelopmentServer:
    """An issuer at `http://127.0.0.1:<port>` for this machine alone: no TLS, secrets in plain sight."""

    def __init__(self, clients: Iterable[Client], algorithm: Algorithm = "RS256") -> None:
        self._clients = tuple(clients)
        self._keys = SigningKeys(algorithm)
        self._runner: web.AppRunner | None = None
        self.issuer = ""
        self.tokens: AccessTokens
        self._grants: Grants

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one. Raises ValueError beyond loopback, OSError when the port is taken.

        `host` is an address: what a name leads to is for others to say.
        """
        listener = _listener(host, port)
        self.issuer = _origin(listener)
        # Whoever connects from here on waits in the backlog until everything is there.
        self.tokens = AccessTokens(self.issuer, self._keys)
        self._grants = Grants(self._clients, self.tokens)
        self._runner = web.AppRunner(self._application(), access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_MAX_FORM, middlewares=[_in_oauth_form])
        application.add_routes(
            [
                web.get("/.well-known/oauth-authorization-server", self._metadata),
                web.get("/.well-known/openid-configuration", self._metadata),
                web.get("/jwks", self._jwks),
                web.post("/token", self._token),
                web.post("/introspect", self._introspect),
                web.post("/revoke", self._revoke),
                web.post("/rotate-keys", self._rotate_keys),
            ]
        )
        return application

    async def _metadata(self, _: web.Request) -> web.Response:
        methods = ["client_secret_basic", "client_secret_post"]
        scopes = sorted({scope for client in self._clients for scope in client.scopes})
        return web.json_response(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/jwks",
                "token_endpoint": f"{self.issuer}/token",
                "introspection_endpoint": f"{self.issuer}/introspect",
                "revocation_endpoint": f"{self.issuer}/revoke",
                "grant_types_supported": ["client_credentials"],
                "response_types_supported": [],
                "scopes_supported": scopes,
                "token_endpoint_auth_methods_supported": methods,
                "introspection_endpoint_auth_methods_supported": methods,
                "revocation_endpoint_auth_methods_supported": methods,
            }
        )

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response(self._keys.public(), headers={"Cache-Control": "max-age=60"})

    async def _token(self, request: web.Request) -> web.Response:
        return _response(self._grants.token(await _form(request), request.headers))

    async def _introspect(self, request: web.Request) -> web.Response:
        return _response(self._grants.endpoint("introspection", await _form(request), request.headers))

    async def _revoke(self, request: web.Request) -> web.Response:
        return _response(self._grants.endpoint("revocation", await _form(request), request.headers))

    async def _rotate_keys(self, _: web.Request) -> web.Response:
        return web.json_response({"kid": self._keys.rotate()}, headers=_NEVER_STORED)


def _listener(host: str, port: int) -> socket.socket:
    address = ipaddress.ip_address(host)
    if not address.is_loopback:
        raise ValueError("the development authorization server listens on loopback alone")
    return socket.create_server((host, port), family=socket.AF_INET6 if address.version == 6 else socket.AF_INET)


def _origin(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _form(request: web.Request) -> dict[str, str]:
    """The parameters of the body; none may come twice (RFC 6749 §3.2), and an empty one counts as absent."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise _invalid("the body must be application/x-www-form-urlencoded")
    try:
        posted = await request.post()
    except (ValueError, LookupError):
        raise _invalid("the body is no form in UTF-8") from None
    if len(set(posted)) != len(posted):
        raise _invalid("a parameter comes twice")
    return {name: value for name, value in posted.items() if isinstance(value, str) and value}


def _invalid(description: str) -> web.HTTPBadRequest:
    body = {"error": "invalid_request", "error_description": description}
    return web.HTTPBadRequest(text=web.json_response(body).text, content_type="application/json", headers=_NEVER_STORED)


def _response(answer: Answer) -> web.Response:
    status, body, _ = answer
    # authlib's challenge has no realm, which RFC 7617 §2 asks for.
    challenge = {"WWW-Authenticate": 'Basic realm="development authorization server"'} if status == 401 else {}
    return web.json_response(body, status=status, headers={**challenge, **_NEVER_STORED})


@web.middleware
async def _in_oauth_form(request: web.Request, handler: Any) -> web.StreamResponse:
    """No error page of the framework: each answer is JSON and stored by nobody."""
    try:
        return await handler(request)  # type: ignore[no-any-return]
    except web.HTTPException as refusal:
        if refusal.content_type == "application/json":
            raise
        body = {"error": "invalid_request", "error_description": refusal.reason}
        allow = {"Allow": refusal.headers["Allow"]} if "Allow" in refusal.headers else {}
        return web.json_response(body, status=refusal.status, headers={**allow, **_NEVER_STORED})
