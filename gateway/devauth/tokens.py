"""Access tokens as the development authorization server issues and remembers them (RFC 9068, RFC 7662)."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2.rfc6749 import TokenMixin

from gateway.devauth.clients import Client
from gateway.devauth.keys import SigningKeys

# A development server may run for weeks under somebody's test loop.
_REMEMBERED = 10_000

_OPAQUE_BYTES = 32


@dataclass(slots=True)
class IssuedToken(TokenMixin):  # type: ignore[misc]  # authlib has no types
    """An access token and what became of it."""

    value: str = field(repr=False)
    client: Client
    claims: dict[str, Any] = field(repr=False)
    clock: Callable[[], float]
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        """Whether the token was issued to this client (RFC 7009 §2.1)."""
        return client.client_id == self.client.client_id

    def get_scope(self) -> str:
        """Its scopes, separated by blanks."""
        return str(self.claims["scope"])

    def get_expires_in(self) -> int:
        """Its lifetime in seconds."""
        return int(self.claims["exp"] - self.claims["iat"])

    def is_expired(self) -> bool:
        """Whether its time is over."""
        return bool(self.clock() >= self.claims["exp"])

    def is_revoked(self) -> bool:
        """Whether it was withdrawn."""
        return self.revoked


class AccessTokens:
    """Issues access tokens and finds them again."""

    def __init__(self, issuer: str, keys: SigningKeys, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._keys = keys
        self._clock = clock
        self._issued: OrderedDict[str, IssuedToken] = OrderedDict()

    def issue(self, client: Client, scope: str, **changes: Any) -> IssuedToken:
        """An access token in the client's form: a JWT (RFC 9068 §2.2), or opaque with the same claims behind it.

        `changes` replace claims: the demo wants some tokens to be bad.
        """
        now = int(self._clock())
        claims = {
            "iss": self._issuer,
            "sub": client.client_id,
            "aud": client.audience,
            "client_id": client.client_id,
            "iat": now,
            "exp": now + client.lifetime,
            "jti": secrets.token_urlsafe(16),
            "scope": scope,
            **client.claims,
            **changes,
        }
        token = IssuedToken(self._value(client, claims), client, claims, self._clock)
        self._issued[token.value] = token
        while len(self._issued) > _REMEMBERED:
            self._issued.popitem(last=False)
        return token

    def _value(self, client: Client, claims: dict[str, Any]) -> str:
        if client.access_token == "opaque":
            return secrets.token_urlsafe(_OPAQUE_BYTES)
        return self._keys.sign({"typ": "at+jwt"}, claims)

    def find(self, value: str) -> IssuedToken | None:
        """A token issued here, by its value."""
        return self._issued.get(value)
