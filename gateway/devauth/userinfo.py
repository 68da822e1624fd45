"""Claims about the user behind an access token (OpenID Connect Core §5.3, RFC 6750)."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from gateway.devauth import answers, scopes
from gateway.devauth.tokens import Tokens

_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)
_REALM: Final = 'Bearer realm="development authorization server"'


def userinfo(request: web.Request, tokens: Tokens) -> web.Response:
    """The claims, or why there are none."""
    if "Authorization" not in request.headers:
        return _refusal(401, "", "")
    found = _BEARER.fullmatch(request.headers["Authorization"])
    if found is None or len(request.headers.getall("Authorization")) > 1:
        return _refusal(400, "invalid_request", "send one access token: Authorization: Bearer")
    token = tokens.find(found[1])
    if token is None or token.is_expired() or token.is_revoked() or token.authorization.user is None:
        return _refusal(401, "invalid_token", "the access token is unknown, over, revoked or for no user")
    if "openid" not in scopes.parse(token.get_scope()):
        return _refusal(403, "insufficient_scope", "the access token lacks the scope openid", scope="openid")
    claims = token.authorization.user.information(token.get_scope())
    return answers.as_json(claims)


def _refusal(status: int, code: str, description: str, scope: str = "") -> web.Response:
    """RFC 6750 §3.1: who sent no token is told of no error."""
    told = {"error": code, "error_description": description, "scope": scope}
    parts = [_REALM, *(f'{name}="{value}"' for name, value in told.items() if value)]
    body = {name: value for name, value in told.items() if value}
    return answers.as_json(body, status, {"WWW-Authenticate": ", ".join(parts)})
