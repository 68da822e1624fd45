"""The signing keys of the development authorization server, and their rotation (RFC 7517, RFC 7638)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

Algorithm = Literal["RS256", "ES256"]

_KEPT = 2


def _rsa() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


def _p256() -> ECKey:
    return ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)


_GENERATORS: Final[Mapping[Algorithm, Callable[[], RSAKey | ECKey]]] = {"RS256": _rsa, "ES256": _p256}


class SigningKeys:
    """One key signs; the one before it stays published so that its tokens can still be verified, until the next."""

    def __init__(self, algorithm: Algorithm = "RS256") -> None:
        self._algorithm = algorithm
        self._keys: list[RSAKey | ECKey] = []
        self.rotate()

    def rotate(self) -> str:
        """Sign with a new key from now on. Returns its `kid`, the thumbprint of RFC 7638."""
        key = _GENERATORS[self._algorithm]()
        self._keys = [key, *self._keys][:_KEPT]
        return str(key.kid)

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A signed token (RFC 7515 §7.1)."""
        key = self._keys[0]
        return jwt.encode({"alg": self._algorithm, "kid": key.kid, **header}, claims, key)

    def public(self) -> dict[str, Any]:
        """The JWK Set to publish: no private member of any key is in it."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}
