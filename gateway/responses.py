"""Turns what went wrong into a response: the only place that writes a refusal (RFC 9457, 6750 §3, 6749 §5.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
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
    body = _body(reason, request_id, style)
    fields: list[Field] = [
        (b"Content-Type", b"application/problem+json" if style.format == "problem" else b"application/json"),
        (b"Cache-Control", b"no-store"),
        (b"X-Request-Id", request_id.encode("ascii")),
    ]
    if reason.status == 401 or reason in _CHALLENGED:
        fields.append((b"WWW-Authenticate", _challenge(reason, style, scopes, resource_metadata)))
    if reason.status == 405:
        fields.append((b"Allow", ", ".join(error.allow).encode("ascii")))
    if reason.status == 426:
        # RFC 9110 §15.5.22, RFC 6455 §4.4: to what, and which of its versions.
        fields += [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Version", b"13")]
    if reason.status == 503:
        fields.append((b"Retry-After", b"%d" % (error.retry_after or 1)))
    return Response(reason.status, fields, body, closes=reason.closes)


def _challenge(reason: Reason, style: ErrorStyle, scopes: tuple[str, ...], resource_metadata: str | None) -> bytes:
    # RFC 6750 §3: scope says what is needed; with a token that is not accepted at all it would say nothing new.
    names_scopes = reason.name in ("token_missing", "scope_insufficient")
    return bearer_challenge(
        error=reason.error,
        description=reason.detail if reason.error is not None and style.expose_reason else None,
        scopes=scopes if names_scopes else (),
        resource_metadata=resource_metadata,
    )


def _body(reason: Reason, request_id: str, style: ErrorStyle) -> bytes:
    members = _oauth_members(reason, style) if style.format == "oauth" else _problem_members(reason, style)
    members["request_id"] = request_id
    return json.dumps(members).encode("utf-8")


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
