"""The admin API: operations of the gateway by HTTP, below `/api`, for whoever has the admin token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from gateway.admin.operations import Operations, Outcome
from gateway.oauth.jose import Malformed, strict_json

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PREFIX = "/api"


class Api:
    """The handlers. `token` gives what operators have to send as a bearer token now; while it is empty, nothing of this
    is there.
    """

    def __init__(self, operations: Operations, token: Callable[[], str]) -> None:
        self._operations = operations
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """What is answered below `/api`."""
        return [
            web.post(f"{PREFIX}/revocations", self._revoke),
            web.get(f"{PREFIX}/revocations", self._list),
            web.delete(f"{PREFIX}/revocations/{{id}}", self._withdraw),
            web.post(f"{PREFIX}/explain", self._explain),
            web.post(f"{PREFIX}/keys/refresh", self._refresh_keys),
            web.post(f"{PREFIX}/reload", self._reload),
        ]

    @web.middleware
    async def guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Everything below `/api` needs the token, also what is not there; a body that is no object is 400."""
        if not (request.path == PREFIX or request.path.startswith(f"{PREFIX}/")):
            return await handler(request)
        token = self._token()
        if not token:
            raise web.HTTPNotFound
        if not _may(request, token):
            return _problem(401, {"detail": "Send the admin token: Authorization: Bearer <admin.token>."})
        try:
            return await handler(request)
        except Malformed as problem:
            return _problem(400, {"detail": f"The body must be one JSON object: {problem}."})

    async def _revoke(self, request: web.Request) -> web.Response:
        outcome = await self._operations("revoke", strict_json(await request.read()))
        is_made = outcome.status == 201
        return _answer(outcome, {"Location": f"{PREFIX}/revocations/{outcome.members['id']}"} if is_made else {})

    async def _list(self, _: web.Request) -> web.Response:
        return _answer(await self._operations("revocations", {}))

    async def _withdraw(self, request: web.Request) -> web.Response:
        return _answer(await self._operations("withdraw", {"id": request.match_info["id"]}))

    async def _explain(self, request: web.Request) -> web.Response:
        return _answer(await self._operations("explain", strict_json(await request.read())))

    async def _refresh_keys(self, request: web.Request) -> web.Response:
        members = strict_json(await request.read()) if request.can_read_body else {}
        return _answer(await self._operations("refresh_keys", members))

    async def _reload(self, _: web.Request) -> web.Response:
        return _answer(await self._operations("reload", {}))


def _may(request: web.Request, token: str) -> bool:
    values = request.headers.getall("Authorization", [])
    scheme, _, sent = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    # In constant time: how far a guess was right must not show.
    is_right = hmac.compare_digest(sent.strip().encode("utf-8", "surrogateescape"), token.encode("utf-8"))
    return scheme.lower() == "bearer" and is_right


def _answer(outcome: Outcome, fields: Mapping[str, str] | None = None) -> web.Response:
    if outcome.status >= 400:
        return _problem(outcome.status, outcome.members)
    if outcome.status == 204:
        return web.Response(status=204)
    return web.json_response(outcome.members, status=outcome.status, headers=fields)


def _problem(status: int, members: Mapping[str, Any]) -> web.Response:
    """A problem document (RFC 9457)."""
    response = web.json_response(
        {"type": "about:blank", "status": status, **members},
        status=status,
        content_type="application/problem+json",
    )
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="oauth-gateway admin"'
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response
