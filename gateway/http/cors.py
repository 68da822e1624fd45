"""Cross-origin requests (Fetch Standard §3.2): what browsers are told of a route. Knows nothing of who may use it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.http.message import Field, Fields, Response

_PREFIX: Final = b"access-control-"
_SAFELISTED_METHODS: Final = frozenset({"GET", "HEAD", "POST"})


def is_preflight(method: str, fields: Fields) -> bool:
    """Whether a browser asks what it may send, ahead of a request (§3.2.2)."""
    return method == "OPTIONS" and b"origin" in fields and b"access-control-request-method" in fields


def asked_method(fields: Fields) -> str:
    """The method a preflight is about."""
    return fields.values(b"access-control-request-method")[0].decode("latin-1")


@dataclass(frozen=True, slots=True, eq=False)
class Cors:
    """What one route tells browsers. `origins` may be `*`, or have a `*.` in front of a host; all is compared as lower
    case text. Empty `methods` mean those that are asked for.
    """

    origins: frozenset[str]
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    has_credentials: bool = False
    max_age: float = 600.0

    @property
    def is_open(self) -> bool:
        """Whether every origin is allowed."""
        return "*" in self.origins

    def allows(self, fields: Fields) -> bytes | None:
        """What Access-Control-Allow-Origin says to this origin; None when it is not allowed, or none is given."""
        origins = fields.values(b"origin")
        if len(origins) != 1:
            return None
        if self.is_open:
            return b"*"
        origin = origins[0].decode("latin-1").lower()
        if origin in self.origins:
            return origins[0]
        # `https://*.example.com` is any name below it, not the name itself.
        found = re.fullmatch(r"(https?://)([a-z0-9\-]+(?:\.[a-z0-9\-]+)*)(:[0-9]+)?", origin)
        if found is None:
            return None
        labels = found[2].split(".")
        below = (f"{found[1]}*.{'.'.join(labels[start:])}{found[3] or ''}" for start in range(1, len(labels)))
        return origins[0] if any(pattern in self.origins for pattern in below) else None

    def preflight(self, fields: Fields) -> Response:
        """The answer to a preflight; one without permission where it is not allowed: the browser then stops."""
        told: list[Field] = []
        origin = self.allows(fields)
        if origin is not None:
            methods = self.methods or (asked_method(fields),)
            told += self._permission(origin)
            told.append((b"Access-Control-Allow-Methods", ", ".join(methods).encode("latin-1")))
            if self.headers:
                told.append((b"Access-Control-Allow-Headers", ", ".join(self.headers).encode("ascii")))
            told.append((b"Access-Control-Max-Age", b"%d" % self.max_age))
        # A cache must not give the answer for one origin or question to another (RFC 9110 §12.5.5).
        told.append((b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"))
        return Response(204, told)

    def told(self, fields: Fields, response: Sequence[Field]) -> list[Field]:
        """The fields of a response, with what the upstream says of this replaced by what the route says."""
        kept = [field for field in response if not field[0].lower().startswith(_PREFIX)]
        origin = self.allows(fields)
        if origin is not None:
            kept += self._permission(origin)
            if self.exposed:
                kept.append((b"Access-Control-Expose-Headers", ", ".join(self.exposed).encode("ascii")))
        return kept if self.is_open else _varied(kept)

    def _permission(self, origin: bytes) -> list[Field]:
        told = [(b"Access-Control-Allow-Origin", origin)]
        if self.has_credentials:
            told.append((b"Access-Control-Allow-Credentials", b"true"))
        return told


def _varied(fields: list[Field]) -> list[Field]:
    """With Origin among what the response depends on, once."""
    for name, value in fields:
        if name.lower() == b"vary":
            members = {member.strip().lower() for member in value.split(b",")}
            if b"origin" in members or b"*" in members:
                return fields
    return [*fields, (b"Vary", b"Origin")]
