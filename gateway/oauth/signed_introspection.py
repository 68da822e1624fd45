"""Introspection answers that an issuer has signed (RFC 9701): from the JWT to the members that tell of the token.

An answer that can't be used is the issuer's trouble and never the client's, so every failure is an `IssuerFailure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway import errors
from gateway.errors import GatewayError, Reason
from gateway.oauth import jwt
from gateway.oauth.client import IssuerFailure
from gateway.oauth.jwt import TokenRules, UnverifiedToken
from gateway.oauth.keys import SYMMETRIC, KeySet

MAX_AGE: Final = 300.0
"""How old an answer may be, in seconds, apart from the leeway: older ones come from somebody who kept them."""

_TYPE = "token-introspection+jwt"
_KINDS: Final[Mapping[Reason, str]] = {
    errors.ALGORITHM_REFUSED: "algorithm",
    errors.KEY_UNKNOWN: "key_unknown",
    errors.SIGNATURE_INVALID: "signature",
    errors.CLAIM_INVALID: "claim",
    errors.AUDIENCE_MISMATCH: "audience",
    errors.TOKEN_EXPIRED: "expired",
    errors.TOKEN_NOT_YET_VALID: "not_yet_valid",
    errors.TOKEN_TYPE_REFUSED: "type",
}


def introspection_claims(
    value: bytes, *, client_id: str, rules: TokenRules, keys: KeySet, now: float
) -> dict[str, Any]:
    """The members of `token_introspection` in an answer to `client_id` (RFC 9701 §5); `active` is among them.

    Of the `rules` count the issuer, its algorithms (never those with a shared secret) and the leeway.
    Raises `IssuerFailure`.
    """
    if value.count(b".") == 4:
        raise IssuerFailure("encrypted", "the answer is encrypted (RFC 9701 §6.1), and we have no key for it")
    try:
        token = jwt.parse(value)
        _check_type(token)
        _check_answer(token, _for_answers(rules, client_id), keys, now)
    except GatewayError as error:
        raise IssuerFailure(_KINDS.get(error.reason, "malformed"), f"signed answer: {error.evidence}") from None
    members = token.claims.get("token_introspection")
    # What stands beside it, `active` for one, is not the answer: another kind of JWT may say it too.
    if not isinstance(members, dict):
        raise IssuerFailure("claim", "signed answer: token_introspection is no object")
    return members


def _for_answers(rules: TokenRules, client_id: str) -> TokenRules:
    # With a shared secret anybody who verifies could sign too; `max_lifetime` is meant for access tokens.
    return replace(
        rules,
        audience=frozenset({client_id}),
        audience_claims=("aud",),
        algorithms=rules.algorithms.difference(SYMMETRIC),
        max_lifetime=0.0,
    )


def _check_type(token: UnverifiedToken) -> None:
    """An access token, an ID token or a logout token of the same issuer is no answer (RFC 8725 §3.11)."""
    if jwt.header_type(token.header) != _TYPE:
        raise IssuerFailure("type", f"signed answer: typ is not {_TYPE}")


def _check_answer(token: UnverifiedToken, rules: TokenRules, keys: KeySet, now: float) -> None:
    jwt.check_signature(token, rules, keys)
    if token.issuer != rules.issuer:
        raise IssuerFailure("issuer", "signed answer: iss is another issuer's")
    jwt.check_required(token.claims, ("iat", "aud"))
    jwt.check_audience(token.claims, rules)
    if "exp" in token.claims:
        jwt.check_times(token.claims, rules, now)
    issued = jwt.check_begin(token.claims, rules, now)
    if issued is not None and now - issued > MAX_AGE + rules.leeway:
        raise IssuerFailure("replayed", f"signed answer: iat was {now - issued:.0f} s ago")
