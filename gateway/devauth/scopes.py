"""Scopes: read strictly, and explained to users (RFC 6749 §3.3, OpenID Connect Core §5.4)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

from authlib.oauth2.rfc6749 import InvalidScopeError

OPENID: Final[Mapping[str, str]] = {
    "openid": "Know which user you are",
    "profile": "Read your profile, such as your name",
    "email": "Read your e-mail address",
    "address": "Read your postal address",
    "phone": "Read your phone number",
    "offline_access": "Keep its access while you are away",
}
"""What OpenID Connect's own scopes mean, in words that follow “It wants to”."""


def parse(text: str | None) -> frozenset[str]:
    """The scopes in a text, at blanks alone: other white space is not allowed in one, and must not vanish."""
    return frozenset((text or "").split(" ")) - {""}


def check(asked: str | None, allowed: Set[str]) -> None:
    """Raise `InvalidScopeError` for a scope that is not allowed: an error, not silently less (RFC 6749 §5.2)."""
    if not parse(asked) <= allowed:
        raise InvalidScopeError("a scope is unknown, or not for this client")
