"""Logout tokens: an issuer's word that a session, or all sessions of a subject, have ended (OpenID Connect Back-Channel
Logout 1.0 §2.4, §2.6). Knows neither how they arrive nor what is ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway import errors
from gateway.errors import GatewayError
from gateway.oauth import jwt
from gateway.oauth.jwt import TokenRules, UnverifiedToken
from gateway.oauth.keys import KeySet

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
"""The member of `events` that makes a JWT a logout token (§2.4)."""
MAX_LIFETIME: Final = 86_400.0
"""The longest `exp - iat`, in seconds: its `jti` has to be remembered for so long. The specification asks for 120."""

_TYPES = frozenset({"logout+jwt", "jwt"})
_REQUIRED = ("aud", "iat", "exp", "jti", "events")


@dataclass(frozen=True, slots=True)
class LogoutToken:
    """A verified logout token. `subject`, `session_id` or both are there; times are in seconds since the epoch."""

    issuer: str
    """The issuer's short name in the configuration, not its address."""
    subject: str | None = field(repr=False)
    session_id: str | None = field(repr=False)
    token_id: str = field(repr=False)
    """`jti`: whoever acts on the token lets it count once, until `expires_at` and the leeway are over."""
    issued_at: float
    expires_at: float
    """`exp`, without leeway."""


def verify(value: bytes, rules: TokenRules, audience: frozenset[str] | None, keys: KeySet, now: float) -> LogoutToken:
    """Read and verify a logout token of `rules.issuer` (§2.6). `audience` None accepts any. Raises `GatewayError`.

    That `jti` is new is for the caller to see.
    """
    token = jwt.parse(value)
    # The configured lifetime is meant for access tokens: a logout that is refused leaves a session open.
    rules = replace(rules, audience=audience, audience_claims=("aud",), max_lifetime=MAX_LIFETIME)
    jwt.check_signature(token, rules, keys)
    if token.issuer != rules.issuer:
        raise GatewayError(errors.ISSUER_UNKNOWN, "iss is another issuer's")
    _check_type(token)
    claims = token.claims
    jwt.check_required(claims, _REQUIRED)
    jwt.check_times(claims, rules, now)
    jwt.check_audience(claims, rules)
    _check_event(claims)
    return _logout(claims, rules.name)


def _check_type(token: UnverifiedToken) -> None:
    """Most issuers write `JWT` or nothing; any other kind of token says so itself (RFC 8725 §3.11)."""
    if "typ" in token.header and jwt.header_type(token.header) not in _TYPES:
        raise GatewayError(errors.TOKEN_TYPE_REFUSED, "typ is not that of a logout token")


def _check_event(claims: Mapping[str, Any]) -> None:
    events = claims["events"]
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise GatewayError(errors.CLAIM_INVALID, "events holds no back-channel logout")
    # §2.4: so that no logout token is ever taken for an ID token, nor the other way round.
    if "nonce" in claims:
        raise GatewayError(errors.CLAIM_INVALID, "nonce is there, as in an ID token")


def _logout(claims: Mapping[str, Any], issuer: str) -> LogoutToken:
    if "sub" not in claims and "sid" not in claims:
        raise GatewayError(errors.CLAIM_INVALID, "neither sub nor sid is there")
    return LogoutToken(
        issuer,
        subject=_text(claims, "sub") if "sub" in claims else None,
        session_id=_text(claims, "sid") if "sid" in claims else None,
        token_id=_text(claims, "jti"),
        issued_at=_date(claims, "iat"),
        expires_at=_date(claims, "exp"),
    )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str) or not value:
        raise GatewayError(errors.CLAIM_INVALID, f"{name} is no text, or empty")
    return value


def _date(claims: Mapping[str, Any], name: str) -> float:
    value = jwt.numeric_date(claims, name)
    if value is None:
        raise GatewayError(errors.CLAIM_INVALID, f"{name} is missing")
    return value
