"""Tokens of an issuer that is not there: signed with a key made for this run, so that the real code verifies them.

A token is good by the issuer's own rules (RFC 7519, RFC 9068) but for what a test changes. Knows nothing of routes.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from gateway.build import StandIn
from gateway.cli.test.file import TokenBlock
from gateway.config.issuers import Issuer
from gateway.oauth.introspection import Claims
from gateway.oauth.jose import b64url_encode
from gateway.oauth.key_source import StaticKeys
from gateway.oauth.keys import SYMMETRIC, KeySet, from_jwks, from_secret
from gateway.oauth.tokens import find_claim

_LIFETIME: Final = 300
_KEY_ID: Final = "policy-tests"
_FILLER: Final = "policy-test"
"""The value of a claim that has to be there, where no test says which."""

# The quickest to make first: a key is made for each issuer of the configuration.
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}
_RSA_BITS: Final = 2048


class _Signer:
    """One algorithm, and a key for it that nobody else has."""

    def __init__(self, algorithms: tuple[str, ...]) -> None:
        self.algorithm = next((name for name in ("ES256", "EdDSA") if name in algorithms), algorithms[0])
        self._key, self.keys = _made_key(self.algorithm)

    def token(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """A compact JWS (RFC 7515 §7.1), whatever header and claims are."""
        signed = f"{_part(header)}.{_part(claims)}".encode("ascii")
        signature = get_default_algorithms()[self.algorithm].sign(signed, self._key)
        return f"{signed.decode('ascii')}.{b64url_encode(signature)}"


def _made_key(algorithm: str) -> tuple[Any, KeySet]:
    """A private key, and its public half as an issuer would publish it; of a secret both are the same."""
    if algorithm in SYMMETRIC:
        secret = secrets.token_bytes(64)
        return secret, from_secret(secret, [algorithm])
    if algorithm in _CURVES:
        curve_key = ec.generate_private_key(_CURVES[algorithm])
        return curve_key, _published(ECAlgorithm.to_jwk(curve_key.public_key(), as_dict=True), algorithm)
    if algorithm == "EdDSA":
        edwards_key = ed25519.Ed25519PrivateKey.generate()
        return edwards_key, _published(OKPAlgorithm.to_jwk(edwards_key.public_key(), as_dict=True), algorithm)
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    return rsa_key, _published(RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True), algorithm)


def _published(jwk: Mapping[str, Any], algorithm: str) -> KeySet:
    return from_jwks({"keys": [{**jwk, "kid": _KEY_ID, "use": "sig", "alg": algorithm}]})


def _part(members: Mapping[str, Any]) -> str:
    return b64url_encode(json.dumps(members, separators=(",", ":")).encode("utf-8", "surrogatepass"))


class _Answers:
    """What the issuer says of tokens when it is asked (RFC 7662 §2.2): what was said when they were issued."""

    def __init__(self) -> None:
        self._active: dict[bytes, Claims] = {}

    def issued(self, token: str, claims: Claims) -> None:
        self._active[token.encode("ascii")] = claims

    async def ask(self, token: bytes) -> Claims | None:
        claims = self._active.get(token)
        return dict(claims) if claims is not None else None

    async def close(self) -> None:
        """There is no connection."""


class OfflineIssuer:
    """Issues what one issuer of the configuration would, and is what its gateway is built with instead of it."""

    def __init__(self, name: str, issuer: Issuer, *, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._clock = clock
        self._signer = _Signer(issuer.algorithms)
        self._answers = _Answers()
        self._is_opaque = issuer.jwks is not None and not issuer.jwks.get("keys")
        # An issuer without keys has none here either: a JWT of it can't be good.
        keys = from_jwks({"keys": []}) if self._is_opaque else self._signer.keys
        self.stand_in = StandIn(StaticKeys(name, keys, clock), self._answers)

    def token(self, wanted: TokenBlock) -> str:
        """A token that is good but for what is wanted otherwise."""
        is_opaque = self._is_opaque if wanted.format is None else wanted.format == "opaque"
        claims = self._claims(wanted.claims)
        if is_opaque:
            token = secrets.token_urlsafe(32)
        else:
            header = {"alg": self._signer.algorithm, "kid": _KEY_ID, "typ": "at+jwt", **wanted.header}
            token = self._signer.token(_without_null(header), claims)
        if wanted.active:
            self._answers.issued(token, {"token_type": "Bearer", **claims})
        return token

    def _claims(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        issuer, now = self._issuer, int(self._clock())
        lasts = min(_LIFETIME, int(issuer.max_lifetime)) if issuer.max_lifetime else _LIFETIME
        claims: dict[str, Any] = {
            "iss": issuer.issuer,
            "sub": _FILLER,
            "iat": now,
            "nbf": now,
            "exp": now + lasts,
            "jti": secrets.token_urlsafe(8),
        }
        claims.update(changes)
        if not any(_is_spoken_of(changes, name) for name in issuer.audience_claims):
            claims[issuer.audience_claims[0]] = _audience(issuer)
        for name in issuer.required_claims:
            if find_claim(claims, name) is None and not _is_spoken_of(changes, name):
                # Rules look for the whole name first, dots and all.
                claims[name] = _FILLER
        return _without_null(claims)


def _audience(issuer: Issuer) -> str | list[str]:
    """All that the issuer's rule names, so that routes which ask for one of them are met too."""
    names = list(issuer.audience) or [_FILLER]
    return names[0] if len(names) == 1 else names


def _is_spoken_of(changes: Mapping[str, Any], name: str) -> bool:
    """Whether a test says something of this claim, be it to leave it out."""
    return name in changes or name.partition(".")[0] in changes


def _without_null(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
