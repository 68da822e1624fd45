"""How the gateway proves to an issuer's endpoint which client it is (RFC 6749 §2.3.1, RFC 7523 §2.2, RFC 8705 §2,
OpenID Connect Core §9). Knows neither what is asked there nor how it is sent.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote_plus

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from gateway.oauth.jose import Malformed, strict_json
from gateway.oauth.keys import from_secret

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS: Final = 60
"""How long an assertion is good: long enough for a slow call, short enough to be worth little to a thief."""

_MIN_RSA_BITS = 2048
_BY_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_BY_KTY: Final = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}


class ClientAuthentication(Protocol):
    """One method of client authentication."""

    def apply(self, endpoint: str, form: dict[str, str], headers: dict[str, str]) -> None:
        """Add to a request to that endpoint what proves who asks."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ClientSecretBasic:
    """`client_secret_basic`: id and secret in the Authorization field (RFC 6749 §2.3.1)."""

    client_id: str
    secret: str = field(repr=False)

    def apply(self, endpoint: str, form: dict[str, str], headers: dict[str, str]) -> None:
        """Add the Authorization field."""
        # Encoded as a form first (RFC 6749 Appendix B): an id may hold a colon, and both may leave ASCII.
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode('ascii')).decode('ascii')}"


@dataclass(frozen=True, slots=True, eq=False)
class ClientSecretPost:
    """`client_secret_post`: id and secret in the form (RFC 6749 §2.3.1)."""

    client_id: str
    secret: str = field(repr=False)

    def apply(self, endpoint: str, form: dict[str, str], headers: dict[str, str]) -> None:
        """Add both to the form."""
        form["client_id"] = self.client_id
        form["client_secret"] = self.secret


@dataclass(frozen=True, slots=True, eq=False)
class PublicClient:
    """`none`: a client that can keep no secret only says who it is (RFC 6749 §2.1, §3.2.1)."""

    client_id: str

    def apply(self, endpoint: str, form: dict[str, str], headers: dict[str, str]) -> None:
        """Add the client id to the form."""
        form["client_id"] = self.client_id


@dataclass(frozen=True, slots=True, eq=False)
class TlsClientAuth:
    """`tls_client_auth`: the certificate of the connection is the proof, and the form says whose (RFC 8705 §2)."""

    client_id: str

    def apply(self, endpoint: str, form: dict[str, str], headers: dict[str, str]) -> None:
        """Add the client id to the form."""
        form["client_id"] = self.client_id


@dataclass(frozen=True, slots=True, eq=False)
class ClientAssertion:
    """`private_key_jwt` and `client_secret_jwt`: a JWT of our own, made for each call (RFC 7523 §2.2, §3).

    `audience` is the issuer's identifier, as its only audience: were it the address of an endpoint, an
    issuer that names another's endpoint as its own would be handed an assertion that is good there.
    """

    client_id: str
    key: PrivateKey | bytes = field(repr=False)
    algorithm: str
    audience: str
    key_id: str | None = None
    clock: Callable[[], float] = field(default=time.time, repr=False)
    new_id: Callable[[], str] = field(default=secrets.token_urlsafe, repr=False)

    @classmethod
    def by_key(cls, client_id: str, key: PrivateKey, audience: str, *, key_id: str | None = None) -> ClientAssertion:
        """`private_key_jwt`; an RSA key signs with RS256. Raises `ValueError` for a weak key and for other kinds."""
        return cls(client_id, key, _algorithm(key), audience, key_id)

    @classmethod
    def by_secret(cls, client_id: str, secret: str, audience: str) -> ClientAssertion:
        """`client_secret_jwt` with HS256. Raises `ValueError` below 32 bytes, and for a key in the secret's place."""
        material = secret.encode("utf-8")
        from_secret(material, ["HS256"])
        return cls(client_id, material, "HS256", audience)

    def apply(self, endpoint: str, form: dict[str, str], headers: dict[str, str]) -> None:
        """Add a new assertion to the form."""
        # RFC 7521 §4.2 leaves the id out; there are issuers that find the key by it.
        form["client_id"] = self.client_id
        form["client_assertion_type"] = ASSERTION_TYPE
        form["client_assertion"] = self._assertion()

    def _assertion(self) -> str:
        now = int(self.clock())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.audience,
            "jti": self.new_id(),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        headers = None if self.key_id is None else {"kid": self.key_id}
        return jwt.encode(claims, self.key, self.algorithm, headers)


def load_private_key(data: bytes, password: bytes | None = None) -> tuple[PrivateKey, str | None]:
    """A private key to sign with, in PEM (PKCS #8, PKCS #1, SEC 1) or as a JWK, and the JWK's `kid`.

    Raises `ValueError` for what can't be used; its message says why and quotes nothing.
    """
    if data.lstrip().startswith(b"{"):
        return _from_jwk(data)
    return _from_pem(data, password), None


def _from_pem(data: bytes, password: bytes | None) -> PrivateKey:
    if b"PRIVATE KEY-----" not in data:
        raise ValueError("no private key in PEM or JWK form")
    try:
        key = load_pem_private_key(data, password)
    except TypeError:
        raise ValueError(
            "the key is encrypted and needs a password" if password is None else "the key is not encrypted"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("no readable key (PKCS #8, PKCS #1 or SEC 1), or the wrong password") from None
    return _suitable(key)


def _from_jwk(data: bytes) -> tuple[PrivateKey, str | None]:
    try:
        jwk = strict_json(data)
    except Malformed as problem:
        raise ValueError(f"no JWK: {problem}") from None
    read = _BY_KTY.get(str(jwk.get("kty")))
    if read is None:
        raise ValueError("a JWK whose kty is none of RSA, EC, OKP")
    if "d" not in jwk:
        raise ValueError("a public key")
    try:
        key = read(jwk)
    # As with public keys, a broken one may trip any layer below: PyJWT, base64, cryptography.
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError):
        raise ValueError("a JWK with broken or unknown key material") from None
    return _for_signatures(jwk, _suitable(key))


def _for_signatures(jwk: dict[str, Any], key: PrivateKey) -> tuple[PrivateKey, str | None]:
    """That the other members of the JWK do not forbid what the key is for (RFC 7517 §4.2-4.5)."""
    operations = jwk.get("key_ops", ["sign"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "sign" not in operations:
        raise ValueError("a JWK that is not for signing (use, key_ops)")
    algorithm = _algorithm(key)
    # The issuer has it registered like this: it would refuse each of our signatures.
    if jwk.get("alg", algorithm) not in ((algorithm, "Ed25519") if algorithm == "EdDSA" else (algorithm,)):
        raise ValueError(f"a JWK whose alg is not {algorithm}, which is what it would sign with")
    key_id = jwk.get("kid")
    if key_id is not None and not isinstance(key_id, str):
        raise ValueError("a JWK whose kid is no text")
    return key, key_id


def _suitable(key: object) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise ValueError("a key that is none of RSA, EC, Ed25519")
    _algorithm(key)
    return key


def _algorithm(key: PrivateKey) -> str:
    """What the key signs with: for RSA what every issuer knows. Raises `ValueError`."""
    if isinstance(key, Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, RSAPrivateKey):
        if key.key_size < _MIN_RSA_BITS:
            raise ValueError(f"RSA below {_MIN_RSA_BITS} bits")
        return "RS256"
    algorithm = _BY_CURVE.get(key.curve.name)
    if algorithm is None:
        raise ValueError("an EC key on none of P-256, P-384, P-521")
    return algorithm
