"""JSON Web Tokens as access tokens: a strict gate in front, PyJWT's signatures behind, then the claims (RFC 7519 §7.2,
RFC 8725, RFC 9068 §4). Knows nothing of where keys come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway import errors
from gateway.errors import GatewayError
from gateway.oauth.jose import Malformed, OutOfRange, b64url_decode, strict_json
from gateway.oauth.keys import EDWARDS, KeySet
from gateway.oauth.tokens import Token, find_claim

# Extensions that change what is signed or how (RFC 7515 §4.1.11, RFC 7797, RFC 7516 §4.1.3): we understand none.
_REFUSED_HEADERS = ("crit", "b64", "zip")


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What the tokens of one issuer must look like. `audience` None accepts any; times are in seconds.

    `required_claims` are those of a JWT, `answer_claims` those of an introspection answer. Of `audience_claims` and
    `scope_claims` the first one that is present counts.
    """

    name: str
    issuer: str
    audience: frozenset[str] | None
    algorithms: frozenset[str]
    token_type: Literal["access", "at+jwt", "any"] = "access"
    leeway: float = 30.0
    max_lifetime: float = 0.0
    required_claims: tuple[str, ...] = ("sub",)
    answer_claims: tuple[str, ...] = ()
    scope_claims: tuple[str, ...] = ("scope", "scp")
    audience_claims: tuple[str, ...] = ("aud",)


@dataclass(frozen=True, slots=True, eq=False)
class UnverifiedToken:
    """A well-formed JWT of which nothing is proven yet."""

    header: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def key_id(self) -> str | None:
        """Its `kid` (RFC 7515 §4.1.4), which `parse` has seen to be a text."""
        return self.header.get("kid")

    @property
    def issuer(self) -> str | None:
        """What it says of its issuer: only good for choosing whose rules it has to meet."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else None


def parse(token: bytes) -> UnverifiedToken:
    """Read a compact JWS strictly (RFC 7515 §5.2). Raises `GatewayError` (token_malformed; claim_invalid for a number
    in the payload that is out of any range).
    """
    # Counted before splitting: a megabyte of dots must not become a million parts.
    if token.count(b".") != 2:
        raise _malformed("not three parts")
    signing_input, _, signature = token.rpartition(b".")
    header, _, payload = signing_input.partition(b".")
    try:
        head = _header(b64url_decode(header))
        signed = b64url_decode(signature)
        claims = strict_json(b64url_decode(payload))
    except OutOfRange as number:
        raise GatewayError(errors.CLAIM_INVALID, str(number)) from None
    except Malformed as problem:
        raise _malformed(str(problem)) from None
    return UnverifiedToken(head, claims, signing_input, signed)


def _header(data: bytes) -> dict[str, Any]:
    try:
        header = strict_json(data)
    except OutOfRange as problem:
        raise Malformed(str(problem)) from None
    for name in _REFUSED_HEADERS:
        if name in header:
            raise Malformed(f"header parameter {name}")
    if not isinstance(header.get("kid", ""), str):
        raise Malformed("kid is no text")
    return header


def _malformed(evidence: str) -> GatewayError:
    return GatewayError(errors.TOKEN_MALFORMED, evidence)


def check_algorithm(token: UnverifiedToken, rules: TokenRules) -> str:
    """The algorithm of the header, if it is allowed for this issuer (RFC 8725 §3.1). Raises `GatewayError`."""
    algorithm = token.header.get("alg")
    # Whoever allows EdDSA allows it under its other names too; the key decides which curve it is.
    if isinstance(algorithm, str) and (
        algorithm in rules.algorithms or (algorithm in EDWARDS and "EdDSA" in rules.algorithms)
    ):
        return algorithm
    raise GatewayError(errors.ALGORITHM_REFUSED, f"alg is not one of {' '.join(sorted(rules.algorithms))}")


def verify(token: UnverifiedToken, rules: TokenRules, keys: KeySet, now: float) -> Token:
    """Verify a token whose issuer is `rules.issuer`, in the contract's order. Raises `GatewayError`."""
    key_id = check_signature(token, rules, keys)
    if token.issuer != rules.issuer:
        raise GatewayError(errors.ISSUER_UNKNOWN, "iss is another issuer's")
    expires_at = check_times(token.claims, rules, now)
    _check_audience_is_there(token.claims, rules)
    check_audience(token.claims, rules)
    check_required(token.claims, rules.required_claims)
    check_type(token, rules)
    return as_token(token.claims, rules, expires_at, key_id)


def as_token(claims: Mapping[str, Any], rules: TokenRules, expires_at: float, key_id: str = "") -> Token:
    """What has been verified, as the rest of the gateway sees it."""
    client_id = _text(claims.get("client_id")) or _text(claims.get("azp"))
    scopes = _scopes(claims, rules)
    subject = _text(claims.get("sub"))
    audience = frozenset(member for member in _audience(claims, rules) if isinstance(member, str))
    return Token(rules.name, claims, scopes, expires_at, key_id, subject, client_id, audience)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def check_signature(token: UnverifiedToken, rules: TokenRules, keys: KeySet) -> str:
    """The `kid` of the issuer's key that signed it (RFC 7515 §5.2). Raises `GatewayError`."""
    algorithm = check_algorithm(token, rules)
    candidates = keys.candidates(token.key_id, algorithm)
    if not candidates:
        raise GatewayError(errors.KEY_UNKNOWN, f"no key of {rules.name} fits kid and alg")
    for key in candidates:
        if key.verifies(algorithm, token.signing_input, token.signature):
            return key.kid or ""
    raise GatewayError(errors.SIGNATURE_INVALID, f"no fitting key of {rules.name} verifies the signature")


def check_times(claims: Mapping[str, Any], rules: TokenRules, now: float) -> float:
    """RFC 7519 §4.1.4-6. Returns the moment from which the token is refused. Raises `GatewayError`."""
    expires = numeric_date(claims, "exp")
    if expires is None:
        raise GatewayError(errors.CLAIM_INVALID, "exp is missing")
    if now >= expires + rules.leeway:
        raise GatewayError(errors.TOKEN_EXPIRED, f"exp was {now - expires:.0f} s ago, leeway is {rules.leeway:g} s")
    issued = check_begin(claims, rules, now)
    if rules.max_lifetime:
        if issued is None:
            raise GatewayError(errors.CLAIM_INVALID, "iat is missing, and max_lifetime needs it")
        if expires - issued > rules.max_lifetime:
            raise GatewayError(errors.CLAIM_INVALID, f"exp - iat is longer than max_lifetime, {rules.max_lifetime:g} s")
    return expires + rules.leeway


def check_begin(claims: Mapping[str, Any], rules: TokenRules, now: float) -> float | None:
    """That `nbf` and `iat`, where present, are past. Returns `iat`. Raises `GatewayError`."""
    for name in ("nbf", "iat"):
        begin = numeric_date(claims, name)
        if begin is not None and now < begin - rules.leeway:
            raise GatewayError(errors.TOKEN_NOT_YET_VALID, f"{name} is in {begin - now:.0f} s")
    return numeric_date(claims, "iat")


def numeric_date(claims: Mapping[str, Any], name: str) -> float | None:
    """RFC 7519 §2: a JSON number; JSON `true` is none, though Python counts it as 1. Raises `GatewayError`."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise GatewayError(errors.CLAIM_INVALID, f"{name} is no NumericDate")
    return float(value)


def audience_claim(claims: Mapping[str, Any], rules: TokenRules) -> Any:
    """The claim that says for whom the token is: the first of the issuer's that is present; None without one."""
    return next((found for name in rules.audience_claims if (found := find_claim(claims, name)) is not None), None)


def _audience(claims: Mapping[str, Any], rules: TokenRules) -> list[Any]:
    audience = audience_claim(claims, rules)
    return audience if isinstance(audience, list) else [audience]


def _check_audience_is_there(claims: Mapping[str, Any], rules: TokenRules) -> None:
    """There has to be an audience even where any will do."""
    if audience_claim(claims, rules) in (None, "", []):
        raise GatewayError(errors.CLAIM_INVALID, f"{' or '.join(rules.audience_claims)} is missing")


def check_audience(claims: Mapping[str, Any], rules: TokenRules) -> None:
    """RFC 7519 §4.1.3: one of ours, code point by code point. Raises `GatewayError`."""
    members = _audience(claims, rules)
    name = " or ".join(rules.audience_claims)
    if not any(isinstance(member, str) for member in members):
        raise GatewayError(errors.CLAIM_INVALID, f"{name} is neither a text nor a list of texts")
    if rules.audience is None:
        return
    if not any(isinstance(member, str) and member in rules.audience for member in members):
        raise GatewayError(errors.AUDIENCE_MISMATCH, f"{name} names none of {' '.join(sorted(rules.audience))}")


def check_required(claims: Mapping[str, Any], names: Iterable[str]) -> None:
    """That these claims are present, not null, not empty, and that `sub` is a text. Raises `GatewayError`."""
    for name in names:
        value = find_claim(claims, name)
        if value is None or value == "" or value == [] or value == {}:
            raise GatewayError(errors.CLAIM_INVALID, f"{name} is missing or empty")
    subject = claims.get("sub")
    if subject is not None and not isinstance(subject, str):
        raise GatewayError(errors.CLAIM_INVALID, "sub is no text")


def check_type(token: UnverifiedToken, rules: TokenRules) -> None:
    """Only an access token is one (RFC 8725 §3.11, §3.12): the same keys also sign ID tokens and logout tokens.

    Raises `GatewayError`.
    """
    if rules.token_type == "any":
        return
    kind = header_type(token.header)
    if kind != "at+jwt" and (rules.token_type == "at+jwt" or kind not in ("", "jwt")):
        raise GatewayError(
            errors.TOKEN_TYPE_REFUSED, f"typ is not that of an access token (token_type: {rules.token_type})"
        )
    check_payload_type(token.claims, is_marked=kind == "at+jwt")


def check_payload_type(claims: Mapping[str, Any], *, is_marked: bool) -> None:
    """That the claims are not those of another kind of token. Raises `GatewayError`.

    `is_marked` says that something else than the claims marks it as an access token.
    """
    payload_type = claims.get("typ")
    if payload_type is not None and payload_type not in ("Bearer", "DPoP"):
        raise GatewayError(errors.TOKEN_TYPE_REFUSED, "claim typ is neither Bearer nor DPoP")
    if "events" in claims:
        raise GatewayError(errors.TOKEN_TYPE_REFUSED, "a logout token or event (events)")
    if "at_hash" in claims or "c_hash" in claims:
        raise GatewayError(errors.TOKEN_TYPE_REFUSED, "an ID token (at_hash or c_hash)")
    if "nonce" in claims and not is_marked and payload_type != "Bearer":
        raise GatewayError(errors.TOKEN_TYPE_REFUSED, "an ID token (nonce)")


def header_type(header: Mapping[str, Any]) -> str:
    """`typ` in lower case, without `application/` (RFC 7515 §4.1.9); empty without one. Raises `GatewayError`."""
    kind = header.get("typ", "")
    if not isinstance(kind, str):
        raise GatewayError(errors.TOKEN_TYPE_REFUSED, "typ is no text")
    return kind.lower().removeprefix("application/")


def _scopes(claims: Mapping[str, Any], rules: TokenRules) -> frozenset[str]:
    """The scopes of the first scope claim present: a text of blank-separated words, or a list (RFC 6749 §3.3)."""
    for name in rules.scope_claims:
        value = find_claim(claims, name)
        if isinstance(value, str):
            # Split at 0x20 alone: str.split() also splits at code points that no scope grammar knows.
            return frozenset(value.split(" ")) - {""}
        if isinstance(value, list):
            return frozenset(member for member in value if isinstance(member, str) and member and " " not in member)
        if value is not None:
            return frozenset()
    return frozenset()
