"""Turns what went wrong into a response: the only place that writes a refusal (RFC 9457, 6750 §3, 6749 §5.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Literal

from gateway import errors
from gateway.errors import GatewayError, Reason
from gateway.http.message import Field, Response
from gateway.oauth.challenge import bearer_challenge

# RFC 6749 §5.2 style bodies want a code for everything; these are the nearest ones for what has none of its own.
_CODES = {400: "invalid_request", 401: "invalid_request", 403: "access_denied", 503: "temporarily_unavailable"}

# Beside every 401 (RFC 9110 §15.5.2): what RFC 6750 §3.1 gives an error code, and a new token or request would cure.
_CHALLENGED = (errors.REQUEST_INVALID, errors.CREDENTIALS_MULTIPLE, errors.SCOPE_INSUFFICIENT)


@dataclass(frozen=True, slots=True, eq=False)
class ErrorStyle:
    """How refusals look: as a problem document or in OAuth's form, with or without their reason."""

    format: Literal["problem", "oauth"] = "problem"
    expose_reason: bool = True


def refuse(
    error: GatewayError,
    *,
    request_id: str,
    style: ErrorStyle,
    scopes: tuple[str, ...] = (),
    resource_metadata: str | None = None,
) -> Response:
    """The refusal for an error. `scopes` are those of the route, `resource_metadata` the URL of its metadata."""
    reason = error.reason
    constant, body = _constant_part(reason, style, scopes, resource_metadata)
    own_id = request_id.encode("ascii")
    fields: list[Field] = [*constant[:2], (b"X-Request-Id", own_id), *constant[2:]]
    if reason.status == 405:
        fields.append((b"Allow", ", ".join(error.allow).encode("ascii")))
    if reason.status == 426:
        # RFC 9110 §15.5.22, RFC 6455 §4.4: to what, and which of its versions.
        fields += [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", b"13")]
    if reason.status in (429, 503):
        fields.append((b"Retry-After", b"%d" % (error.retry_after or 1)))
    fields += error.fields
    return Response(reason.status, fields, b'%b, "request_id": "%b"}' % (body, own_id), closes=reason.closes)


@lru_cache(maxsize=1024)
def _constant_part(
    reason: Reason, style: ErrorStyle, scopes: tuple[str, ...], resource_metadata: str | None
) -> tuple[tuple[Field, ...], bytes]:
    """What refusals of one route for one reason have in common: fields, and the body up to the request's id.

    Kept, for a flood of bad tokens is answered with it: 12 of 31 µs. Bounded: the metadata's address may hold the
    client's Host.
    """
    kind = b"application/problem+json" if style.format == "problem" else b"application/json"
    fields = [(b"Content-Type", kind), (b"Cache-Control", b"no-store")]
    if reason.status == 401 or reason in _CHALLENGED:
        fields.append((b"WWW-Authenticate", _challenge(reason, style, scopes, resource_metadata)))
    members = _oauth_members(reason, style) if style.format == "oauth" else _problem_members(reason, style)
    return tuple(fields), json.dumps(members).encode("utf-8")[:-1]


def _challenge(reason: Reason, style: ErrorStyle, scopes: tuple[str, ...], resource_metadata: str | None) -> bytes:
    # RFC 6750 §3: scope says what is needed; with a token that is not accepted at all it would say nothing new.
    names_scopes = reason.name in ("token_missing", "scope_insufficient")
    return bearer_challenge(
        error=reason.error,
        description=reason.detail if reason.error is not None and style.expose_reason else None,
        scopes=scopes if names_scopes else (),
        resource_metadata=resource_metadata,
    )


def _oauth_members(reason: Reason, style: ErrorStyle) -> dict[str, str | int]:
    members: dict[str, str | int] = {"error": reason.error or _nearest_code(reason.status)}
    if style.expose_reason:
        members |= {"error_description": reason.detail, "reason": reason.name}
    return members


def _problem_members(reason: Reason, style: ErrorStyle) -> dict[str, str | int]:
    if not style.expose_reason:
        members: dict[str, str | int] = {"type": "about:blank", "title": _plain_title(reason), "status": reason.status}
    else:
        members = {
            "type": f"urn:oauth-gateway:{reason.name}",
            "title": reason.title,
            "status": reason.status,
            "detail": reason.detail,
            "reason": reason.name,
        }
    if reason.error is not None:
        members["error"] = reason.error
    return members


def _plain_title(reason: Reason) -> str:
    """RFC 9457 §4.2.1: with about:blank the title is the status code's own phrase."""
    return HTTPStatus(reason.status).phrase


def _nearest_code(status: int) -> str:
    return _CODES.get(status, "server_error" if status >= 500 else "invalid_request")
