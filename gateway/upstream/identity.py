"""The header fields by which an upstream learns who is asking: taken from the verified token, never from the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.access.rules import Permit
from gateway.http.headers import percent_encode_value
from gateway.oauth.tokens import Token, find_claim

X_AUTH: Mapping[str, str] = {
    "X-Auth-Subject": "sub",
    "X-Auth-Client-Id": "$client_id",
    "X-Auth-Scopes": "$scopes",
    "X-Auth-Issuer": "iss",
}
OAUTH2_PROXY: Mapping[str, str] = {
    "X-Forwarded-User": "sub",
    "X-Forwarded-Email": "email",
    "X-Forwarded-Groups": "groups",
    "X-Forwarded-Preferred-Username": "preferred_username",
}
PRESETS: Mapping[str, Mapping[str, str]] = {"x-auth": X_AUTH, "oauth2-proxy": OAUTH2_PROXY, "none": {}}


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """Which header field carries which claim, on one route. `$client_id` and `$scopes` are the token's own notions."""

    fields: tuple[tuple[str, str], ...]

    def lines(self, permit: Permit) -> bytes:
        """The header lines for this caller; empty for an anonymous one. A claim that is absent gives no line."""
        if permit.token is None:
            return b""
        return b"".join(_line(name, claim_value(permit.token, claim)) for name, claim in self.fields)


def claim_value(token: Token, claim: str) -> Any:
    """What a header field is made of: a claim, or one of the notions that issuers spell differently."""
    if claim == "$client_id":
        return token.client_id
    if claim == "$scopes":
        return " ".join(sorted(token.scopes)) if token.scopes else None
    return find_claim(token.claims, claim)


def _line(name: str, value: Any) -> bytes:
    text = _as_bytes(value)
    return b"" if text is None else b"%b: %b\r\n" % (name.encode("ascii"), text)


def _as_bytes(value: Any) -> bytes | None:
    """Scalars as JSON writes them, lists joined with commas; what has no plain form gives no header field."""
    if isinstance(value, str):
        return percent_encode_value(value)
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int | float):
        return str(value).encode("ascii")
    if isinstance(value, list):
        # A comma inside a member is encoded: a group called `users,admins` must not become two groups.
        members = [_as_bytes(member) for member in value if not isinstance(member, list)]
        return b",".join(member.replace(b",", b"%2C") for member in members if member is not None)
    return None
