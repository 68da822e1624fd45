"""Who takes the tour, by browser: a cookie, the token of its forms, and how far they have come in each story."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.cache.memory import BoundedCache
from gateway.demo.journey import Journey

_REMEMBERED: Final = 100


@dataclass(slots=True, eq=False)
class Visitor:
    """One browser; `journeys` by the name of the story."""

    id: str = field(repr=False)
    form_token: str = field(repr=False)
    journeys: dict[str, Journey] = field(default_factory=dict)

    def accepts(self, form_token: str) -> bool:
        """Whether a form comes from one of our pages in this browser: other pages can send forms here too."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode("utf-8", "replace"))

    def waiting_for(self, state: str) -> Journey | None:
        """The journey whose sign-in an answer with this `state` belongs to."""
        for journey in self.journeys.values():
            request = journey.request
            if request is not None and hmac.compare_digest(request.state.encode(), state.encode("utf-8", "replace")):
                return journey
        return None


class Visitors:
    """Finds them by the value of their cookie."""

    def __init__(self, random_text: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> None:
        self._random_text = random_text
        self._visitors: BoundedCache[str, Visitor] = BoundedCache(entries=_REMEMBERED, weight=_REMEMBERED)

    def find(self, cookie: str | None) -> Visitor | None:
        """The visitor, if there is one."""
        return self._visitors.get(cookie) if cookie else None

    def begin(self) -> Visitor:
        """A new one."""
        visitor = Visitor(self._random_text(), self._random_text())
        self._visitors.put(visitor.id, visitor)
        return visitor
