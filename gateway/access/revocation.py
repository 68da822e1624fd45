"""The deny list: tokens that are refused though their issuer would still call them good.

A revocation names one token, subject, client or session of an issuer, or everything issued before a moment. The list is
in this process's memory; `revocation_feed` keeps it equal in all processes that share a Redis, and `process.hub` in all
workers of one gateway.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from gateway import errors
from gateway.errors import GatewayError
from gateway.oauth.tokens import Token

SUBJECTS: Final = ("jti", "sub", "client_id", "sid")
"""What a revocation can name: a claim of the token (RFC 7519, RFC 8693, OpenID Connect Back-Channel Logout)."""

DEFAULT_LIFETIME = 30 * 86_400.0
"""Seconds a revocation lasts when nobody said how long the issuer's tokens live (`max_lifetime`)."""

_PRUNE_EVERY = 60.0
_RETRY_AFTER = 1


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry. Times are seconds since the epoch.

    `subject` is one of `SUBJECTS`, or empty for a whole issuer; `value` is what it names. `issued_before` limits it to
    tokens with an earlier `iat`, or none. `only_sessionless` limits it to tokens without `sid`. A withdrawn entry is
    kept until it would have ended, so that a replica that did not hear of it can't bring it back.
    """

    id: str
    issuer: str
    subject: str
    value: str
    created_at: float
    expires_at: float
    issued_before: float | None = None
    only_sessionless: bool = False
    is_withdrawn: bool = False

    def concerns(self, token: Token, now: float) -> bool:
        """Whether it hits this token, whose issuer and subject are the ones it names."""
        if self.is_withdrawn or now >= self.expires_at:
            return False
        if self.only_sessionless and token.claims.get("sid") is not None:
            return False
        return self.issued_before is None or _issued_before(token, self.issued_before)

    def as_json(self) -> dict[str, Any]:
        """Its members, as the admin API shows them and Redis keeps them."""
        members: dict[str, Any] = {"id": self.id, "issuer": self.issuer}
        if self.subject:
            members[self.subject] = self.value
        if self.issued_before is not None:
            members["issued_before"] = self.issued_before
        members |= {"created_at": self.created_at, "expires_at": self.expires_at}
        if self.only_sessionless:
            members["only_sessionless"] = True
        if self.is_withdrawn:
            members["withdrawn"] = True
        return members

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Revocation:
        """The opposite of `as_json`. Raises ValueError for anything else."""
        subject = next((name for name in SUBJECTS if name in members), "")
        before = members.get("issued_before")
        texts = {"id": members.get("id"), "issuer": members.get("issuer"), "value": members.get(subject, "")}
        times = {name: members.get(name) for name in ("created_at", "expires_at")}
        if not all(isinstance(text, str) for text in texts.values()) or not all(map(_is_time, times.values())):
            raise ValueError("not a revocation")
        if before is not None and not _is_time(before):
            raise ValueError("not a revocation")
        return cls(
            **{name: str(text) for name, text in texts.items()},
            subject=subject,
            created_at=float(members["created_at"]),
            expires_at=float(members["expires_at"]),
            issued_before=None if before is None else float(before),
            only_sessionless=members.get("only_sessionless") is True,
            is_withdrawn=members.get("withdrawn") is True,
        )


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _issued_before(token: Token, moment: float) -> bool:
    issued = token.claims.get("iat")
    # Without a usable `iat` nothing proves that the token is younger.
    if isinstance(issued, bool) or not isinstance(issued, int | float):
        return True
    return issued < moment


class DenyList:
    """The revocations of all issuers. `generation` changes whenever a token that passed might not pass any more.

    `is_current` says whether the list is known to be complete; without one of its own, it always is.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.generation = 0
        self.is_current: Callable[[], bool] = _always
        self.on_news: list[Callable[[Revocation], None]] = []
        """Called with each entry that was news, wherever it came from."""
        self._clock = clock
        self._by_id: dict[str, Revocation] = {}
        self._by_subject: dict[tuple[str, str, str], dict[str, Revocation]] = {}
        self._pruned_at = clock()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Revocation]:
        """All entries, the withdrawn ones too."""
        return iter(list(self._by_id.values()))

    def get(self, id: str) -> Revocation | None:
        """The entry of that id."""
        return self._by_id.get(id)

    def listing(self) -> list[Revocation]:
        """The entries that hold, the oldest first."""
        now = self._clock()
        held = [entry for entry in self._by_id.values() if not entry.is_withdrawn and now < entry.expires_at]
        return sorted(held, key=lambda entry: (entry.created_at, entry.id))

    def take(self, entry: Revocation) -> bool:
        """Take an entry over, from whomever. Whether it was news: a withdrawal can't be undone."""
        self._prune()
        known = self._by_id.get(entry.id)
        if (known is not None and (known.is_withdrawn or not entry.is_withdrawn)) or self._clock() >= entry.expires_at:
            return False
        self._by_id[entry.id] = entry
        self._by_subject.setdefault((entry.issuer, entry.subject, entry.value), {})[entry.id] = entry
        self.generation += 1
        for tell in self.on_news:
            tell(entry)
        return True

    def passes(self, cleared: int) -> bool:
        """Whether a token that passed at that generation passes now without a look at what it says."""
        return cleared == self.generation and self.is_current()

    def check(self, token: Token, cleared: int) -> int:
        """Refuse a revoked token. `cleared` is the generation at which it passed last; returns the one it passes at.

        Raises `GatewayError`: `token_revoked`, or `issuer_unavailable` where the list may lack entries and must not.
        """
        if not self.is_current():
            raise GatewayError(
                errors.ISSUER_UNAVAILABLE, "Redis is required, and revocations can't be read", retry_after=_RETRY_AFTER
            )
        if cleared != self.generation and (entry := self._find(token)) is not None:
            raise GatewayError(
                errors.TOKEN_REVOKED, f"revocation {entry.id}, by {entry.subject or 'the issuer and iat'}"
            )
        return self.generation

    def _find(self, token: Token) -> Revocation | None:
        now = self._clock()
        for subject, value in _named_by(token):
            for entry in self._by_subject.get((token.issuer, subject, value), {}).values():
                if entry.concerns(token, now):
                    return entry
        return None

    def _prune(self) -> None:
        now = self._clock()
        if now - self._pruned_at < _PRUNE_EVERY:
            return
        self._pruned_at = now
        for entry in [entry for entry in self._by_id.values() if now >= entry.expires_at]:
            del self._by_id[entry.id]
            place = (entry.issuer, entry.subject, entry.value)
            self._by_subject[place].pop(entry.id)
            if not self._by_subject[place]:
                del self._by_subject[place]


def _always() -> bool:
    return True


def _named_by(token: Token) -> Iterator[tuple[str, str]]:
    """Everything a revocation could name this token by."""
    yield "", ""
    for subject in SUBJECTS:
        value = token.client_id if subject == "client_id" else token.claims.get(subject)
        if isinstance(value, str):
            yield subject, value


class Sharing(Protocol):
    """How other processes hear of an entry."""

    async def share(self, entry: Revocation) -> None:
        """Hand an entry to the others, now or as soon as that is possible."""
        ...

    def owes(self, entry: Revocation) -> bool:
        """Whether the others still have to hear of it."""
        ...


class Revoker:
    """Makes revocations and withdraws them. `lifetimes` are those of the issuers' tokens, in seconds, 0 for unknown."""

    def __init__(
        self,
        deny_list: DenyList,
        lifetimes: Mapping[str, float],
        *,
        sharing: Sharing | None = None,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(12),
    ) -> None:
        self.deny_list = deny_list
        self.issuers = frozenset(lifetimes)
        self._lifetimes = lifetimes
        self._sharing = sharing
        self._clock = clock
        self._new_id = new_id

    async def revoke(
        self,
        issuer: str,
        subject: str,
        value: str,
        *,
        issued_before: float | None = None,
        expires_at: float | None = None,
        only_sessionless: bool = False,
    ) -> Revocation:
        """A new entry, which holds here at once. Without `expires_at` it ends when the tokens it names have expired."""
        now = self._clock()
        if expires_at is None:
            # Tokens issued from now on are hit too, unless `issued_before` says otherwise.
            youngest = now if issued_before is None else max(issued_before, now)
            expires_at = youngest + (self._lifetimes[issuer] or DEFAULT_LIFETIME)
        entry = Revocation(
            self._new_id(), issuer, subject, value, now, expires_at, issued_before, only_sessionless=only_sessionless
        )
        self.deny_list.take(entry)
        await self._tell(entry)
        return entry

    async def withdraw(self, id: str) -> bool:
        """End a revocation. Whether there was one."""
        entry = self.deny_list.get(id)
        if entry is None or entry.is_withdrawn:
            return False
        withdrawn = replace(entry, is_withdrawn=True)
        self.deny_list.take(withdrawn)
        await self._tell(withdrawn)
        return True

    def is_delivered(self, entry: Revocation) -> bool:
        """Whether every process that shares the list has been told."""
        return self._sharing is None or not self._sharing.owes(entry)

    async def _tell(self, entry: Revocation) -> None:
        if self._sharing is not None:
            await self._sharing.share(entry)
