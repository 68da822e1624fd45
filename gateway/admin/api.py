"""What operators can do while the gateway runs: revoke tokens, explain decisions, fetch keys. All below `/api`."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from gateway.access.revocation import SUBJECTS, Revocation
from gateway.app import Gateway
from gateway.explanation import explain
from gateway.oauth.jose import Malformed, strict_json

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PREFIX = "/api"
_REVOCATION = frozenset({"issuer", *SUBJECTS, "issued_before", "expires_at"})
_EXPLAIN = frozenset({"method", "url", "headers", "token"})


class _Invalid(Exception):
    """A body that can't be used, and which member of it."""

    def __init__(self, member: str, detail: str) -> None:
        super().__init__(detail)
        self.member = member


class Api:
    """The handlers. `token` is what operators send as a bearer token; it is never empty."""

    def __init__(self, gateway: Gateway, token: str, *, clock: Callable[[], float] = time.time) -> None:
        self._gateway = gateway
        self._token = token.encode("utf-8")
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """What is answered below `/api`."""
        return [
            web.post(f"{PREFIX}/revocations", self._revoke),
            web.get(f"{PREFIX}/revocations", self._list),
            web.delete(f"{PREFIX}/revocations/{{id}}", self._withdraw),
            web.post(f"{PREFIX}/explain", self._explain),
            web.post(f"{PREFIX}/keys/refresh", self._refresh_keys),
        ]

    @web.middleware
    async def guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Everything below `/api` needs the token, also what is not there; a body that can't be used is 400."""
        if not (request.path == PREFIX or request.path.startswith(f"{PREFIX}/")):
            return await handler(request)
        if not self._may(request):
            return _problem(401, "Send the admin token: Authorization: Bearer <admin.token>.", {}, challenge=True)
        try:
            return await handler(request)
        except _Invalid as problem:
            return _problem(400, str(problem), {"member": problem.member} if problem.member else {})

    def _may(self, request: web.Request) -> bool:
        values = request.headers.getall("Authorization", [])
        scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        # In constant time: how far a guess was right must not show.
        is_right = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self._token)
        return scheme.lower() == "bearer" and is_right

    # --- revocations -------------------------------------------------------------------------------------------

    async def _revoke(self, request: web.Request) -> web.Response:
        revoker = self._gateway.revoker
        members = await _members(request, _REVOCATION)
        issuer = _text(members, "issuer")
        if issuer not in revoker.issuers:
            raise _Invalid(
                "issuer", f"There is no issuer of that name; there are {', '.join(sorted(revoker.issuers))}."
            )
        named = [subject for subject in SUBJECTS if subject in members]
        if len(named) > 1:
            raise _Invalid(named[1], f"One revocation names one thing, and this one names {named[0]} already.")
        issued_before = _moment(members, "issued_before")
        if not named and issued_before is None:
            raise _Invalid("issued_before", f"Say what to revoke: one of {', '.join(SUBJECTS)}, or issued_before.")
        expires_at = _moment(members, "expires_at")
        if expires_at is not None and expires_at <= self._clock():
            raise _Invalid("expires_at", "It must lie in the future, in seconds since 1970.")
        subject = named[0] if named else ""
        value = _text(members, subject) if subject else ""
        entry = await revoker.revoke(issuer, subject, value, issued_before=issued_before, expires_at=expires_at)
        return web.json_response(
            self._shown(entry), status=201, headers={"Location": f"{PREFIX}/revocations/{entry.id}"}
        )

    async def _list(self, _: web.Request) -> web.Response:
        entries = self._gateway.revoker.deny_list.listing()
        return web.json_response({"revocations": [self._shown(entry) for entry in entries]})

    async def _withdraw(self, request: web.Request) -> web.Response:
        if not await self._gateway.revoker.withdraw(request.match_info["id"]):
            return _problem(404, "There is no such revocation, or it has ended.", {})
        return web.Response(status=204)

    def _shown(self, entry: Revocation) -> dict[str, Any]:
        return {**entry.as_json(), "delivered": self._gateway.revoker.is_delivered(entry)}

    # --- decisions and keys ------------------------------------------------------------------------------------

    async def _explain(self, request: web.Request) -> web.Response:
        members = await _members(request, _EXPLAIN)
        headers = members.get("headers", {})
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise _Invalid("headers", "It must be an object of names and texts.")
        token = _text(members, "token") if members.get("token") is not None else None
        try:
            explanation = await explain(
                self._gateway, _text(members, "method"), _text(members, "url"), token, headers.items()
            )
        except ValueError:
            raise _Invalid("url", "It is no address, or a header has characters that no header can have.") from None
        return web.json_response(explanation.as_json())

    async def _refresh_keys(self, request: web.Request) -> web.Response:
        members = await _members(request, frozenset({"issuer"})) if request.can_read_body else {}
        issuers = self._gateway.issuers
        if "issuer" in members and members["issuer"] not in issuers:
            raise _Invalid("issuer", f"There is no issuer of that name; there are {', '.join(sorted(issuers))}.")
        names = [members["issuer"]] if "issuer" in members else list(issuers)
        return web.json_response({"issuers": {name: await issuers[name].keys.refresh() for name in names}})


async def _members(request: web.Request, known: frozenset[str]) -> dict[str, Any]:
    try:
        members = strict_json(await request.read())
    except Malformed as problem:
        raise _Invalid("", f"The body must be one JSON object: {problem}.") from None
    for name in members:
        if name not in known:
            # The name itself is the operator's text, and shown to nobody else.
            raise _Invalid(name[:100], f"There is no such member; there are {', '.join(sorted(known))}.")
    return members


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise _Invalid(name, "It must be a text that is not empty.")
    return value


def _moment(members: Mapping[str, Any], name: str) -> float | None:
    value = members.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise _Invalid(name, "It must be a number of seconds since 1970.")
    return float(value)


def _problem(status: int, detail: str, members: Mapping[str, str], *, challenge: bool = False) -> web.Response:
    """A problem document (RFC 9457)."""
    response = web.json_response(
        {"type": "about:blank", "status": status, "detail": detail, **members},
        status=status,
        content_type="application/problem+json",
    )
    if challenge:
        response.headers["WWW-Authenticate"] = 'Bearer realm="oauth-gateway admin"'
    return response
