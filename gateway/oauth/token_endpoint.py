"""The token endpoint: a grant goes there, an access token comes back (RFC 6749 §3.2, §4.4, §5, §6; RFC 8707 §2.2).

Nothing is sent twice: a code and a rotated refresh token are good once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.oauth.authorization_server import AuthorizationServer
from gateway.oauth.client import IssuerClient, IssuerFailure, Reply, read_object
from gateway.oauth.client_authentication import ClientAuthentication
from gateway.oauth.error_response import read_error

LONGEST_LIFETIME = 10 * 365 * 86_400.0
"""Seconds: a longer one is cut, so that it stays a date."""

# RFC 6749 Appendix A.12, A.17 without the blank: both go into a header field or a form, and one to a terminal.
_TOKEN = re.compile(r"[\x21-\x7e]+")
_SCOPE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A successful answer (RFC 6749 §5.1). `expires_in` is in seconds, None where it is not said or not readable.

    `scope` is what was granted, None where it is what was asked for.
    """

    access_token: str = field(repr=False)
    expires_in: float | None = None
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None


class TokenEndpoint:
    """The token endpoint of one authorization server, for one client. `resources` are what the token is for (RFC 8707).

    `parameters` are further ones that the issuer wants, such as `audience`.
    """

    def __init__(
        self,
        client: IssuerClient,
        server: AuthorizationServer,
        authentication: ClientAuthentication,
        *,
        resources: Sequence[str] = (),
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._server = server
        self._authentication = authentication
        self._resources = tuple(resources)
        self._parameters = dict(parameters or {})

    async def client_credentials(self, scope: str | None = None) -> TokenResponse:
        """A token for the client itself (RFC 6749 §4.4). Raises `OAuthError`, `IssuerFailure`."""
        return await self._request({"grant_type": "client_credentials", "scope": scope or ""}, self._parameters)

    async def refresh(self, refresh_token: str) -> TokenResponse:
        """A new token for an old permission (RFC 6749 §6). Raises `OAuthError`, `IssuerFailure`."""
        return await self._request({"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def redeem_code(self, code: str, redirect_uri: str, verifier: str) -> TokenResponse:
        """The token for an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.5). Raises `OAuthError`, `IssuerFailure`.

        `redirect_uri` is the one of the authorization request, byte for byte.
        """
        return await self._request(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": verifier,
            }
        )

    async def redeem_device_code(self, device_code: str) -> TokenResponse:
        """The token for a device code, once the user has agreed (RFC 8628 §3.4). Raises `OAuthError`, `IssuerFailure`.

        `authorization_pending` and `slow_down` are errors too.
        """
        return await self._request(
            {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device_code}
        )

    async def _request(self, grant: Mapping[str, str], parameters: Mapping[str, str] | None = None) -> TokenResponse:
        endpoint = self._server.endpoint("token_endpoint")
        form = {name: value for name, value in {**(parameters or {}), **grant}.items() if value}
        headers = {"Accept": "application/json"}
        self._authentication.apply(endpoint, form, headers)
        pairs = [*form.items(), *(("resource", resource) for resource in self._resources)]
        reply = await self._client.post(endpoint, pairs, headers, named_at=self._server.metadata.address)
        return read_token_response(reply)


def read_token_response(reply: Reply) -> TokenResponse:
    """The token of an answer. Raises `OAuthError` for an error response, `IssuerFailure` for what is neither."""
    members = answer_members(reply)
    _check_type(members)
    scope = members.get("scope")
    return TokenResponse(
        _token(members, "access_token"),
        lifetime(members.get("expires_in")),
        _token(members, "refresh_token") if members.get("refresh_token") else None,
        scope if isinstance(scope, str) and _SCOPE.fullmatch(scope) else None,
    )


def answer_members(reply: Reply, success: int = 200) -> dict[str, Any]:
    """The members of a good answer. Raises `OAuthError` when it tells of an error, `IssuerFailure` for any other."""
    # Some answer 200 with an error in it, and many an error in a form of their own.
    if reply.status != success and not (400 <= reply.status < 500 and reply.media_type.endswith("json")):
        raise IssuerFailure("status", f"status {reply.status}")
    members = read_object(reply.body)
    error = read_error(members, reply.status)
    if error is not None:
        raise error
    if reply.status != success:
        raise IssuerFailure("status", f"status {reply.status}")
    return members


def _check_type(members: Mapping[str, Any]) -> None:
    """RFC 6749 §7.1: a type we do not know must not be used. Compared without case."""
    kind = members.get("token_type")
    if isinstance(kind, str) and kind.lower() == "bearer":
        return
    if isinstance(kind, str) and kind.lower() == "dpop":
        raise IssuerFailure("token_type", "the token is bound to a key (DPoP, RFC 9449)")
    raise IssuerFailure("token_type", "token_type is missing" if kind is None else "token_type is not Bearer")


def _token(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise IssuerFailure("malformed", f"{name} of the answer is missing or no token")
    return value


def lifetime(value: object) -> float | None:
    """Seconds of an `expires_in` (RFC 6749 §5.1), never negative; None for what is no number."""
    # Some issuers send a text.
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared before it is converted: an integer may be too large for a float.
    if value > LONGEST_LIFETIME:
        return LONGEST_LIFETIME
    if value <= 0:
        return 0.0
    return float(value) if math.isfinite(value) else None
