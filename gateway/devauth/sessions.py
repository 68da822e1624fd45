"""Who is signed in, by browser: a cookie, the CSRF token of its forms, and what was allowed to which client."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.cache.memory import BoundedCache
from gateway.devauth.clients import Client
from gateway.devauth.scopes import parse
from gateway.devauth.tokens import REMEMBERED
from gateway.devauth.users import User

LIFETIME: Final = 8 * 3600.0
"""Seconds after which a session is over, whatever happens in it."""


@dataclass(slots=True, eq=False)
class Session:
    """One browser; `user` and `auth_time` (seconds since the epoch) once somebody signed in."""

    id: str = field(repr=False)
    csrf_token: str = field(repr=False)
    expires_at: float
    user: User | None = None
    auth_time: int = 0
    signed_in_for: str = field(default="", repr=False)
    """The request for which the user has just entered a password: it need not ask again (`prompt=login`)."""
    failure: str = ""
    """What the sign-in page is to say once, after a redirect."""
    tried_name: str = field(default="", repr=False)
    _consents: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict, repr=False)

    def accepts(self, csrf_token: str) -> bool:
        """Whether a form comes from one of our pages in this session."""
        return hmac.compare_digest(self.csrf_token.encode(), csrf_token.encode("utf-8", "replace"))

    def remember_consent(self, client: Client, redirect_uri: str, scope: str) -> None:
        """Note what the user has allowed the client at that very address."""
        key = (client.client_id, redirect_uri)
        self._consents[key] = self._consents.get(key, frozenset()) | parse(scope)

    def has_consented(self, client: Client, redirect_uri: str, scope: str) -> bool:
        """Whether the user has allowed all of that before, in this session."""
        return parse(scope) <= self._consents.get((client.client_id, redirect_uri), frozenset())

    def take_failure(self) -> tuple[str, str]:
        """What failed and under which name, told once."""
        told = self.failure, self.tried_name
        self.failure = self.tried_name = ""
        return told


class Sessions:
    """Finds sessions by the value of their cookie."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sessions: BoundedCache[str, Session] = BoundedCache(entries=REMEMBERED, weight=REMEMBERED)

    def find(self, cookie: str | None) -> Session | None:
        """The session, if it is still on."""
        session = self._sessions.get(cookie) if cookie else None
        return session if session is not None and self._clock() < session.expires_at else None

    def begin(self, user: User | None = None) -> Session:
        """A new session; one that somebody signs in to never has an id from before (session fixation)."""
        now = self._clock()
        session = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(32), now + LIFETIME, user, int(now))
        self._sessions.put(session.id, session)
        return session

    def end(self, session: Session) -> None:
        """Sign out."""
        self._sessions.discard(session.id)
