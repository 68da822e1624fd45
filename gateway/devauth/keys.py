"""The signing keys of the development authorization server, and their rotation (RFC 7517, RFC 7638)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from gateway.devauth import seeded_keys

Algorithm = Literal["RS256", "ES256"]

_KEPT = 2
_KINDS: Final[Mapping[Algorithm, type[RSAKey] | type[ECKey]]] = {"RS256": RSAKey, "ES256": ECKey}


class SigningKeys:
    """One key signs; the one before it stays published so that its tokens can still be verified, until the next.

    With a `seed` the first key, the second and so on are the same in every run: whoever knows the seed has them.
    """

    def __init__(self, algorithm: Algorithm = "RS256", seed: int | None = None) -> None:
        self.algorithm = algorithm
        self._seed = seed
        self._made = 0
        self._keys: list[RSAKey | ECKey] = []
        self.rotate()

    def rotate(self) -> str:
        """Sign with a new key from now on. Returns its `kid`, the thumbprint of RFC 7638."""
        key = self._new_key()
        self._made += 1
        self._keys = [key, *self._keys][:_KEPT]
        return str(key.kid)

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A signed token (RFC 7515 §7.1)."""
        key = self._keys[0]
        return jwt.encode({"alg": self.algorithm, "kid": key.kid, **header}, claims, key)

    def verified(self, token: str) -> dict[str, Any]:
        """The claims of a token that one of the published keys signed. Raises `JoseError` or ValueError."""
        return jwt.decode(token, KeySet(list(self._keys)), algorithms=[self.algorithm]).claims

    @property
    def current(self) -> RSAKey | ECKey:
        """The key that signs."""
        return self._keys[0]

    def public(self) -> dict[str, Any]:
        """The JWK Set to publish: no private member of any key is in it."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def _new_key(self) -> RSAKey | ECKey:
        members: Any = {"use": "sig", "alg": self.algorithm}
        if self._seed is None and self.algorithm == "RS256":
            return RSAKey.generate_key(2048, members, auto_kid=True)
        if self._seed is None:
            return ECKey.generate_key("P-256", members, auto_kid=True)
        make = seeded_keys.rsa_key if self.algorithm == "RS256" else seeded_keys.p256_key
        key = _KINDS[self.algorithm].import_key(make(self._seed, self._made), members)
        key.ensure_kid()
        return key
