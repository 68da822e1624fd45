"""Authorization codes: short-lived, good for one use, and what a second use means (RFC 6749 §4.1.2, RFC 7636)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.cache.memory import BoundedCache
from gateway.devauth.clients import Client
from gateway.devauth.tokens import REMEMBERED, Authorization


@dataclass(slots=True, eq=False)
class Code:
    """A code and what the authorization request said. `redirect_uri` is None when the request named none."""

    authorization: Authorization
    redirect_uri: str | None
    code_challenge: str | None = field(repr=False)
    code_challenge_method: str | None
    expires_at: float
    is_used: bool = False

    def get_redirect_uri(self) -> str | None:
        """As authlib asks for it."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """As authlib asks for it."""
        return self.authorization.scope


class Codes:
    """Issues codes and finds those that are still good."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._codes: BoundedCache[str, Code] = BoundedCache(entries=REMEMBERED, weight=REMEMBERED)

    def issue(
        self, authorization: Authorization, redirect_uri: str | None, challenge: str | None, method: str | None
    ) -> str:
        """A new code of 256 random bits."""
        value = secrets.token_urlsafe(32)
        expires_at = self._clock() + authorization.client.lifetimes.code
        self._codes.put(value, Code(authorization, redirect_uri, challenge, method, expires_at))
        return value

    def redeemable(self, value: str, client: Client) -> Code | None:
        """The code, if it was issued to this client and is good. One that was used ends all that came from it."""
        code = self._codes.get(value)
        if code is None or code.authorization.client.client_id != client.client_id:
            return None
        if code.is_used:
            # Either the client or a thief was first; nobody can tell which (RFC 6749 §10.5).
            code.authorization.end()
            return None
        return None if self._clock() >= code.expires_at else code
