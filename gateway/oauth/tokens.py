"""What a client sent (`Credential`) and what has been verified (`Token`): two types that can't be mixed up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Credential:
    """An access token as it came in the Authorization field (RFC 6750 §2.1, RFC 9449 §7.1): nothing is known of it."""

    scheme: str
    """`bearer` or `dpop`, in lower case."""
    value: bytes = field(repr=False)
    """The b64token; never shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """A verified access token: signed by a key of its issuer, in time, for our audience, and an access token."""

    issuer: str
    """The issuer's short name in the configuration, not its address."""
    claims: Mapping[str, Any] = field(repr=False)
    scopes: frozenset[str]
    expires_at: float
    """Seconds since the epoch, leeway included: from this moment on the token is refused."""
    key_id: str = ""
    """`kid` of the key that verified it, for `explain`."""

    subject: str | None = None
    """`sub` (RFC 7519 §4.1.2)."""
    client_id: str | None = None
    """`client_id` (RFC 9068 §2.2), or `azp` where the issuer has only that."""
    audience: frozenset[str] = frozenset()
    """Whom it is for: `aud` (RFC 7519 §4.1.3), or the claim that this issuer has instead."""


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that full name, else the one a dotted path leads to; None where it is absent or null.

    The full name comes first, since names such as `https://example.com/roles` hold dots of their own.
    """
    if name in claims:
        return claims[name]
    value: Any = claims
    for step in name.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value
