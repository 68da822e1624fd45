"""The endpoint that takes an issuer's logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.5-2.8)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from gateway import errors
from gateway.access.revocation import Revoker
from gateway.access.rules import Permit
from gateway.access.verification import TrustedIssuer
from gateway.cache.redis import StoreUnavailable
from gateway.cache.seen_once import SeenOnce
from gateway.errors import GatewayError
from gateway.http.message import Request, Response
from gateway.oauth import jwt, logout_token
from gateway.oauth.logout_token import LogoutToken
from gateway.record import RequestRecord
from gateway.upstream.inbound import Inbound

_MAX_FORM = 64 * 1024
_RETRY_AFTER = 1
_FIELDS = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))


@dataclass(frozen=True, slots=True, eq=False)
class BackchannelLogout:
    """Revokes what a logout token of one issuer ends. `audience` are the names it may call us by, None for any."""

    issuer: TrustedIssuer
    audience: frozenset[str] | None
    revoker: Revoker
    seen: SeenOnce
    max_token: int
    clock: Callable[[], float] = time.time

    async def __call__(self, inbound: Inbound, permit: Permit, record: RequestRecord) -> Response:
        """200, or 400 with a JSON error (§2.8). Raises `GatewayError` when the issuer's keys, or Redis, are missing."""
        record.issuer = self.issuer.rules.name
        try:
            token = await self._verified(await _posted_token(inbound.request, self.max_token))
            await self._use_up(token)
        except GatewayError as error:
            if error.reason.status not in (400, 401):
                raise
            record.decision, record.reason = "refuse", error.reason.name
            return _invalid(error.reason.detail)
        await self._revoke(token)
        return Response(200, (_FIELDS[1],))

    async def _verified(self, value: bytes) -> LogoutToken:
        rules = self.issuer.rules
        token, _ = await self.issuer.by_keys(
            jwt.parse(value).key_id,
            lambda keys: logout_token.verify(value, rules, self.audience, keys, self.clock()),
            self.clock,
        )
        return token

    async def _use_up(self, token: LogoutToken) -> None:
        """A logout token counts once: replayed, it would end what was begun since (§2.6)."""
        until = token.expires_at + self.issuer.rules.leeway
        try:
            is_first = await self.seen.is_first(self.issuer.rules.issuer, token.token_id, until=until)
        except StoreUnavailable:
            raise GatewayError(
                errors.ISSUER_UNAVAILABLE, "Redis is required and can't be asked", retry_after=_RETRY_AFTER
            ) from None
        if not is_first:
            raise GatewayError(errors.CLAIM_INVALID, "jti was seen before")

    async def _revoke(self, token: LogoutToken) -> None:
        name = self.issuer.rules.name
        if token.session_id is not None:
            await self.revoker.revoke(name, "sid", token.session_id)
        if token.subject is not None:
            # Until the logout, its own second included. With a session named, others of the same subject go on; a
            # token that names no session may belong to this one.
            await self.revoker.revoke(
                name,
                "sub",
                token.subject,
                issued_before=math.floor(token.issued_at) + 1.0,
                only_sessionless=token.session_id is not None,
            )


async def _posted_token(request: Request, max_token: int) -> bytes:
    """The one `logout_token` of the form. Raises `GatewayError`."""
    kinds = request.fields.values(b"content-type")
    if request.body is None or [kind.partition(b";")[0].strip().lower() for kind in kinds] != [
        b"application/x-www-form-urlencoded"
    ]:
        raise GatewayError(errors.REQUEST_INVALID, "the body is no application/x-www-form-urlencoded")
    request.body.limit(_MAX_FORM)
    body = bytearray()
    async for piece in request.body:
        body += piece
    try:
        form = parse_qsl(bytes(body), strict_parsing=True, max_num_fields=20)
    except ValueError:
        raise GatewayError(errors.REQUEST_INVALID, "the body is no form") from None
    tokens = [value for name, value in form if name == b"logout_token"]
    if len(tokens) != 1:
        raise GatewayError(errors.REQUEST_INVALID, f"{len(tokens)} parameters logout_token")
    if len(tokens[0]) > max_token:
        raise GatewayError(errors.TOKEN_TOO_LARGE, f"{len(tokens[0])} bytes, at most {max_token} allowed")
    return tokens[0]


def _invalid(description: str) -> Response:
    body = json.dumps({"error": "invalid_request", "error_description": description}).encode("utf-8")
    return Response(400, _FIELDS, body)
