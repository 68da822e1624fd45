"""What an issuer's introspection answer says of a token, judged by the rules for its JWTs (RFC 7662 §2.2).

`active: true` alone opens nothing: an issuer answers about tokens for other audiences, and about refresh tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gateway import errors
from gateway.errors import GatewayError
from gateway.oauth import jwt
from gateway.oauth.jwt import TokenRules
from gateway.oauth.tokens import Token

# What issuers call an access token: RFC 6749 §7.1, RFC 9449 §5 in `token_type`; Ory Hydra and Cognito in `token_use`.
_TOKEN_TYPES = frozenset({"bearer", "dpop", "access_token"})
_TOKEN_USES = frozenset({"access_token", "access"})


def token(claims: Mapping[str, Any], rules: TokenRules, now: float) -> Token:
    """The token of an active answer. Raises `GatewayError`.

    Claims that RFC 7662 leaves open (`exp`, `iss`, `aud`, `sub`) are judged where they are present.
    """
    if claims.get("iss", rules.issuer) != rules.issuer:
        raise GatewayError(errors.ISSUER_UNKNOWN, "iss of the answer is another issuer's")
    expires_at = math.inf if claims.get("exp") is None else jwt.check_times(claims, rules, now)
    if expires_at == math.inf:
        _check_without_exp(claims, rules, now)
    if jwt.audience_claim(claims, rules) is not None:
        jwt.check_audience(claims, rules)
    jwt.check_required(claims, rules.answer_claims)
    _check_type(claims, rules)
    return jwt.as_token(claims, rules, expires_at)


def confirmed(verified: Token, claims: Mapping[str, Any], rules: TokenRules, now: float) -> Token:
    """A JWT that its issuer was asked about: what the answer says counts, for it is newer. Raises `GatewayError`.

    Only the confirmation key stays the token's own, and it expires when either says so.
    """
    answered = token(claims, rules, now)
    merged = {**verified.claims, **claims}
    if "cnf" in verified.claims:
        merged["cnf"] = verified.claims["cnf"]
    return jwt.as_token(merged, rules, min(verified.expires_at, answered.expires_at), verified.key_id)


def _check_without_exp(claims: Mapping[str, Any], rules: TokenRules, now: float) -> None:
    jwt.check_begin(claims, rules, now)
    if rules.max_lifetime:
        raise GatewayError(errors.CLAIM_INVALID, "exp is missing in the answer, and max_lifetime needs it")


def _check_type(claims: Mapping[str, Any], rules: TokenRules) -> None:
    if rules.token_type == "any":
        return
    for name, accepted in (("token_type", _TOKEN_TYPES), ("token_use", _TOKEN_USES)):
        kind = claims.get(name)
        if kind is not None and not (isinstance(kind, str) and kind.lower() in accepted):
            raise GatewayError(errors.TOKEN_TYPE_REFUSED, f"{name} of the answer is not that of an access token")
    jwt.check_payload_type(claims, is_marked=claims.get("token_type") is not None)
