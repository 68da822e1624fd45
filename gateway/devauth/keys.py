"""The signing keys of the development authorization server, and their rotation (RFC 7517, RFC 7638)."""

from __future__ import annotations

from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

_KEPT = 2


class SigningKeys:
    """RS256 keys: the first signs, the one before it stays published so that its tokens can still be verified."""

    def __init__(self) -> None:
        self._keys: list[RSAKey] = []
        self.rotate()

    def rotate(self) -> str:
        """Sign with a new key from now on. Returns its `kid`, the thumbprint of RFC 7638."""
        key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        self._keys = [key, *self._keys][:_KEPT]
        return str(key.kid)

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A signed token (RFC 7515 §7.1)."""
        key = self._keys[0]
        return jwt.encode({"alg": "RS256", "kid": key.kid, **header}, claims, key)

    def public(self) -> dict[str, Any]:
        """The JWK Set to publish: no private member of any key is in it."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}
