"""Access and refresh tokens as the server issues and remembers them (RFC 6749, RFC 9068, RFC 7662)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.oauth2.rfc6749 import TokenMixin

from gateway.cache.memory import BoundedCache
from gateway.devauth.clients import Client
from gateway.devauth.keys import SigningKeys
from gateway.devauth.users import User

REMEMBERED: Final = 10_000
"""How many of each kind are kept: a development server may run for weeks under somebody's test loop."""

_RANDOM_BYTES = 32


@dataclass(slots=True, eq=False)
class Authorization:
    """What a client was once allowed, and by whom. All that comes from it ends with it (RFC 9700 §4.14.2).

    `auth_time` is when the user signed in, in seconds since the epoch; without a user the client acts for itself.
    """

    client: Client
    scope: str
    user: User | None = None
    auth_time: int | None = None
    nonce: str | None = field(default=None, repr=False)
    is_ended: bool = False

    def end(self) -> None:
        """No token that came from it is good any more."""
        self.is_ended = True


@dataclass(slots=True, eq=False)
class IssuedToken(TokenMixin):  # type: ignore[misc]  # authlib has no types
    """A token and what became of it. `claims` are those of an access token, or what is told of a refresh token."""

    value: str = field(repr=False)
    authorization: Authorization
    claims: dict[str, Any] = field(repr=False)
    clock: Callable[[], float] = field(repr=False)
    is_refresh_token: bool = False
    is_used: bool = False
    revoked: bool = False

    @property
    def client(self) -> Client:
        """Whom it was issued to."""
        return self.authorization.client

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
        """Whether it was withdrawn, used up, or ended with the authorization that it came from."""
        return self.revoked or self.is_used or self.authorization.is_ended

    def revoke(self) -> None:
        """Withdraw it; a refresh token takes along all that came with it (RFC 7009 §2.1)."""
        self.revoked = True
        if self.is_refresh_token:
            self.authorization.end()


class Tokens:
    """Issues tokens and finds them again."""

    def __init__(self, issuer: str, keys: SigningKeys, clock: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self.keys = keys
        self.clock = clock
        self._access: BoundedCache[str, IssuedToken] = BoundedCache(entries=REMEMBERED, weight=REMEMBERED)
        self._refresh: BoundedCache[str, IssuedToken] = BoundedCache(entries=REMEMBERED, weight=REMEMBERED)

    def issue(self, client: Client, scope: str, **changes: Any) -> IssuedToken:
        """An access token for the client itself. `changes` replace claims: the demo wants some tokens to be bad."""
        return self.access(Authorization(client, scope), scope, changes)

    def access(self, authorization: Authorization, scope: str, changes: Mapping[str, Any] | None = None) -> IssuedToken:
        """An access token in the client's form: a JWT (RFC 9068 §2.2), or opaque with the same claims behind it."""
        client, user = authorization.client, authorization.user
        claims = {
            **client.claims,
            **(user.own_claims if user is not None else {}),
            **self._usual_claims(authorization, client.lifetimes.access),
            "aud": client.audience,
            "jti": secrets.token_urlsafe(16),
            "scope": scope,
            **({"auth_time": authorization.auth_time} if authorization.auth_time is not None else {}),
            **(changes or {}),
        }
        value = self._random() if client.access_token == "opaque" else self.keys.sign({"typ": "at+jwt"}, claims)
        token = IssuedToken(value, authorization, claims, self.clock)
        self._access.put(value, token)
        return token

    def refresh(self, authorization: Authorization) -> IssuedToken:
        """A refresh token for all that the authorization allows (RFC 6749 §6)."""
        claims = self._usual_claims(authorization, authorization.client.lifetimes.refresh)
        claims["scope"] = authorization.scope
        token = IssuedToken(self._random(), authorization, claims, self.clock, is_refresh_token=True)
        self._refresh.put(token.value, token)
        return token

    def find(self, value: str) -> IssuedToken | None:
        """An access token issued here, by its value."""
        return self._access.get(value)

    def find_refresh(self, value: str) -> IssuedToken | None:
        """A refresh token issued here, by its value."""
        return self._refresh.get(value)

    def _usual_claims(self, authorization: Authorization, lifetime: int) -> dict[str, Any]:
        now = int(self.clock())
        client_id, user = authorization.client.client_id, authorization.user
        return {
            "iss": self.issuer,
            "sub": user.subject if user is not None else client_id,
            "client_id": client_id,
            "iat": now,
            "exp": now + lifetime,
        }

    def _random(self) -> str:
        return secrets.token_urlsafe(_RANDOM_BYTES)
