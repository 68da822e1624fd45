"""The device authorization grant: a code for the user, and polite asking until the user has decided (RFC 8628)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.oauth.authorization_server import AuthorizationServer
from gateway.oauth.client import IssuerClient, IssuerFailure, check_address
from gateway.oauth.client_authentication import ClientAuthentication
from gateway.oauth.error_response import OAuthError
from gateway.oauth.token_endpoint import TokenEndpoint, TokenResponse, answer_members, lifetime

_INTERVAL = 5.0
"""Seconds between two polls where the issuer names none, and what `slow_down` adds (RFC 8628 §3.2, §3.5)."""

_SHORTEST, _LONGEST = 1.0, 60.0
_LONGEST_CODE = 64
# A connection that failed is tried again later and later (RFC 8628 §3.5); any other failure will not heal by waiting.
_PASSING = ("timeout", "unreachable")


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """What the issuer gave: codes, and where the user enters theirs. `expires_in` and `interval` are in seconds."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    verification_uri: str
    verification_uri_complete: str | None = field(repr=False)
    expires_in: float
    interval: float


async def authorize_device(
    client: IssuerClient,
    server: AuthorizationServer,
    authentication: ClientAuthentication,
    scope: str | None = None,
    *,
    resources: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
) -> DeviceAuthorization:
    """Ask for the codes (RFC 8628 §3.1, §3.2). Raises `OAuthError`, `IssuerFailure`."""
    endpoint = server.endpoint("device_authorization_endpoint")
    form = {name: value for name, value in {**(parameters or {}), "scope": scope or ""}.items() if value}
    headers = {"Accept": "application/json"}
    authentication.apply(endpoint, form, headers)
    pairs = [*form.items(), *(("resource", resource) for resource in resources)]
    reply = await client.post(endpoint, pairs, headers, named_at=server.metadata.address)
    return _read(answer_members(reply), server)


def _read(members: Mapping[str, Any], server: AuthorizationServer) -> DeviceAuthorization:
    expires_in = lifetime(members.get("expires_in"))
    if not expires_in:
        raise IssuerFailure("malformed", "expires_in of the answer is missing or past")
    interval = lifetime(members.get("interval"))
    # Google's name for it, older than the RFC.
    page = members.get("verification_uri", members.get("verification_url"))
    complete = members.get("verification_uri_complete")
    return DeviceAuthorization(
        _shown(members.get("device_code"), "device_code", longest=None),
        _shown(members.get("user_code"), "user_code", longest=_LONGEST_CODE),
        _page(page, server),
        _page(complete, server) if complete is not None else None,
        expires_in,
        _INTERVAL if interval is None else min(max(interval, _SHORTEST), _LONGEST),
    )


def _shown(value: object, name: str, *, longest: int | None) -> str:
    """A text without control characters: a terminal shows it."""
    if not isinstance(value, str) or not value or not value.isprintable() or (longest and len(value) > longest):
        raise IssuerFailure("malformed", f"{name} of the answer is missing or can't be shown")
    return value


def _page(value: object, server: AuthorizationServer) -> str:
    """An address for the user's browser: the user types a password there."""
    address = _shown(value, "verification_uri", longest=None)
    try:
        check_address(address, named_at=server.metadata.address, allow_http=server.allow_http)
    except ValueError:
        raise IssuerFailure("malformed", "verification_uri of the answer is no URL") from None
    return address


async def wait_for_user(
    endpoint: TokenEndpoint,
    authorization: DeviceAuthorization,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    told: Callable[[str], None] = lambda word: None,
) -> TokenResponse:
    """Poll until the user has decided (RFC 8628 §3.4, §3.5). `told` hears what each poll came to.

    Raises `OAuthError` (`access_denied`, `expired_token`) and `IssuerFailure`.
    """
    ends_at = clock() + authorization.expires_in
    interval = authorization.interval
    while True:
        await sleep(interval)
        try:
            return await endpoint.redeem_device_code(authorization.device_code)
        except OAuthError as error:
            if error.code not in ("authorization_pending", "slow_down"):
                raise
            interval += _INTERVAL if error.code == "slow_down" else 0.0
            told(error.code)
        except IssuerFailure as failure:
            if failure.kind not in _PASSING:
                raise
            interval = min(interval * 2, _LONGEST)
            told(failure.kind)
        if clock() >= ends_at:
            raise OAuthError("expired_token")
