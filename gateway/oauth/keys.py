"""Keys that verify signatures: JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037) and shared secrets, checked when read.

Each key knows the algorithms it fits, so that no token can talk a key into another one (RFC 8725 §3.1).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm, ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

from gateway.oauth.jose import Malformed

ASYMMETRIC: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SYMMETRIC: Final = ("HS256", "HS384", "HS512")
EDWARDS: Final = frozenset({"EdDSA", "Ed25519", "Ed448"})
"""EdDSA (RFC 8037) and what it is called where the curve is part of the name (RFC 9864 §2.2)."""
MAX_CANDIDATES: Final = 8
"""How many keys are tried for one token: the bound on what a token without `kid` can cost."""

_MIN_RSA_BITS = 2048
_MIN_RSA_EXPONENT = 65_537
_EC = {"P-256": ("ES256", 256), "P-384": ("ES384", 384), "P-521": ("ES512", 521)}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_BY_NAME: Final[Mapping[str, Algorithm]] = {**dict.fromkeys(EDWARDS, OKPAlgorithm()), **get_default_algorithms()}


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key and the algorithms it may be used with; `kid` is None where the set gives it none."""

    kid: str | None
    algorithms: frozenset[str]
    material: Any = field(repr=False)

    def verifies(self, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
        """Whether the signature is one of this key (RFC 7515 §5.2)."""
        return algorithm in self.algorithms and _BY_NAME[algorithm].verify(signing_input, self.material, signature)


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The keys of one issuer. `fingerprint` tells two documents apart; `skipped` says why which keys are left out."""

    keys: tuple[Key, ...]
    fingerprint: str
    skipped: tuple[str, ...] = ()

    def candidates(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """The keys a token with this header may have been signed with, at most `MAX_CANDIDATES`.

        `kid` is a hint (RFC 7515 §4.1.4): a key that has none fits every token, after those that bear its `kid`.
        """
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if kid is None:
            return tuple(fitting[:MAX_CANDIDATES])
        named = (key for key in fitting if key.kid == kid)
        unnamed = (key for key in fitting if key.kid is None)
        return tuple(islice(chain(named, unnamed), MAX_CANDIDATES))

    def has(self, kid: str | None) -> bool:
        """Whether a key bears this name: where none does, a newer set may hold the right key."""
        return kid is not None and any(key.kid == kid for key in self.keys)


def from_jwks(document: Mapping[str, Any]) -> KeySet:
    """The usable keys of a JWK Set (RFC 7517 §5): a bad key is skipped. Raises `Malformed` without a `keys` list."""
    members = document.get("keys")
    if not isinstance(members, list):
        raise Malformed("no JWK Set: `keys` is no list")
    keys: list[Key] = []
    skipped: list[str] = []
    for index, member in enumerate(members):
        try:
            keys.append(_key(member))
        except Malformed as problem:
            skipped.append(f"keys[{index}]: {problem}")
    return KeySet(tuple(keys), _fingerprint(members), tuple(skipped))


def _fingerprint(members: list[Any]) -> str:
    try:
        canonical = json.dumps(members, sort_keys=True)
    except RecursionError:
        raise Malformed("JSON nested too deeply") from None
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def from_secret(secret: bytes, algorithms: Iterable[str]) -> KeySet:
    """A shared secret for HS256, HS384 and HS512. Raises `Malformed` below 32 bytes (RFC 7518 §3.2), and for a key in
    PEM or SSH form: that is a public key in the wrong place, and everybody could sign with it.
    """
    if len(secret) < 32:
        raise Malformed("a shared secret needs 32 bytes at the least")
    usable = frozenset(algorithm for algorithm in algorithms if algorithm in SYMMETRIC)
    try:
        material = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except PyJWTError:
        raise Malformed("an asymmetric key is no shared secret") from None
    return KeySet((Key(None, usable, material),), hashlib.sha256(secret).hexdigest())


def _key(jwk: object) -> Key:
    if not isinstance(jwk, dict):
        raise Malformed("no JSON object")
    if not _PRIVATE.isdisjoint(jwk):
        # Published by mistake: whoever reads the set could sign with it.
        raise Malformed("holds private or symmetric material")
    _check_purpose(jwk)
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise Malformed("kid is no text")
    material, algorithms = _material(jwk)
    named = jwk.get("alg")
    if named is not None:
        if not isinstance(named, str) or named not in algorithms:
            raise Malformed("alg does not fit the key")
        # The names of EdDSA mean the same of one key, and issuers change from the old one to the new one.
        algorithms = algorithms if named in EDWARDS else frozenset({named})
    return Key(kid, algorithms, material)


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    if jwk.get("use", "sig") != "sig":
        raise Malformed("not for signatures (use)")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise Malformed("not for verifying (key_ops)")


def _material(jwk: dict[str, Any]) -> tuple[Any, frozenset[str]]:
    kind = jwk.get("kty")
    try:
        if kind == "RSA":
            return _rsa(RSAAlgorithm.from_jwk(jwk))
        if kind == "EC":
            return _ec(jwk)
        if kind == "OKP":
            return OKPAlgorithm.from_jwk(jwk), frozenset({"EdDSA", jwk["crv"]})
    except Malformed:
        raise
    # A broken key may trip any layer below: PyJWT, base64, cryptography. None of it may stop the others from working.
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError):
        raise Malformed("broken key material") from None
    raise Malformed("unknown kty")


def _rsa(key: object) -> tuple[RSAPublicKey, frozenset[str]]:
    if not isinstance(key, RSAPublicKey):
        raise Malformed("no public key")
    if key.key_size < _MIN_RSA_BITS:
        raise Malformed("RSA below 2048 bits")
    if key.public_numbers().e < _MIN_RSA_EXPONENT:  # an even one has not been read at all
        raise Malformed("RSA with an unsafe exponent")
    return key, frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


def _ec(jwk: dict[str, Any]) -> tuple[EllipticCurvePublicKey, frozenset[str]]:
    curve = jwk.get("crv")
    if curve not in _EC:
        raise Malformed("unknown crv")
    algorithm, bits = _EC[curve]
    key = ECAlgorithm(ECAlgorithm.SHA256).from_jwk(jwk)
    if not isinstance(key, EllipticCurvePublicKey) or key.key_size != bits:
        raise Malformed("the point is not on its curve")
    return key, frozenset({algorithm})
