"""The users who can sign in: their passwords, and which of their claims go where (OpenID Connect Core §5)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.oidc.core import UserInfo

_BY_SCOPE: Final[Mapping[str, list[str]]] = UserInfo.SCOPES_CLAIMS_MAPPING
_STANDARD: Final = frozenset(claim for claims in _BY_SCOPE.values() for claim in claims)


@dataclass(frozen=True, slots=True)
class User:
    """A user; `claims` may name another `sub` than the name to sign in with."""

    name: str
    password: str = field(repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def subject(self) -> str:
        """`sub` in all tokens."""
        return str(self.claims.get("sub", self.name))

    @property
    def own_claims(self) -> dict[str, Any]:
        """The claims that OpenID Connect does not know, such as `tenant`: APIs decide by them."""
        return {name: value for name, value in self.claims.items() if name not in _STANDARD}

    def information(self, scope: str) -> dict[str, Any]:
        """What an ID token and the userinfo endpoint say: standard claims as the scopes allow, and the user's own."""
        released = {claim for name in scope.split(" ") for claim in _BY_SCOPE.get(name, ())}
        standard = {name: value for name, value in self.claims.items() if name in released}
        return {**self.own_claims, **standard, "sub": self.subject}


class Users:
    """Finds a user by name and password."""

    def __init__(self, users: Iterable[User]) -> None:
        self._users = {user.name: user for user in users}

    @property
    def names(self) -> tuple[str, ...]:
        """The names to sign in with."""
        return tuple(self._users)

    @property
    def hint(self) -> str:
        """What the sign-in page may say: nothing, unless each password is the name and so a secret to nobody."""
        if not self._users or any(user.password != user.name for user in self._users.values()):
            return ""
        return f"Users for tests: {', '.join(self._users)}. The password is the name."

    def authenticate(self, name: str, password: str) -> User | None:
        """The user, if both are right. A wrong name takes as long as a wrong password."""
        user = self._users.get(name)
        known = user.password if user is not None else ""
        is_right = hmac.compare_digest(known.encode(), password.encode("utf-8", "replace"))
        return user if is_right and user is not None else None
