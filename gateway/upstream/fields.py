"""Which header fields pass, in either direction (RFC 9110 §7.6, RFC 9700 §4.13).

Each decision is made once per spelling of a name and route, then looked up: one dictionary access for each field of a
message. The tables are bounded, since clients choose the spellings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.http.headers import HOP_BY_HOP, fold, nominated
from gateway.http.message import Field, Fields

_TABLE_SIZE = 512

# Consumed or rewritten by the gateway itself; in every spelling, for a WSGI upstream folds `X_Forwarded_For` and
# `X-Forwarded-For` (and `Content_Length`!) into one variable.
REWRITTEN = frozenset(
    {
        b"host",
        b"content-length",
        b"expect",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-real-ip",
        b"x-request-id",
    }
)
# What a nomination in Connection can't take away: the gateway sets these or decides on them (RFC 9110 §7.6.1).
PROTECTED = frozenset({b"authorization", b"cookie", b"via", b"traceparent", b"tracestate", b"content-type"}) | REWRITTEN


class PassingFields:
    """Decides by name which fields of a message pass. `dropped` are folded names."""

    def __init__(self, dropped: Iterable[bytes], *, protected: frozenset[bytes] = PROTECTED) -> None:
        self._dropped = frozenset(dropped) | HOP_BY_HOP
        self._protected = protected
        self._passes: dict[bytes, bool] = {}

    def of(self, fields: Iterable[Field], connection: Sequence[bytes]) -> list[Field]:
        """The fields that pass, in order and as spelled. `connection` are the values of the Connection fields."""
        passes = self._passes
        kept = [field for field in fields if (passes[field[0]] if field[0] in passes else self._decide(field[0]))]
        gone = nominated(connection) - self._protected if connection else ()
        return [field for field in kept if field[0].lower() not in gone] if gone else kept

    def _decide(self, name: bytes) -> bool:
        verdict = fold(name) not in self._dropped
        if len(self._passes) < _TABLE_SIZE:
            self._passes[name] = verdict
        return verdict


class RequestFields:
    """The client's fields on one route, less what is stripped, with the route's own ones set."""

    def __init__(
        self,
        *,
        vouched: Iterable[str],
        keeps_authorization: bool,
        removed: Iterable[str] = (),
        added: Iterable[tuple[str, str]] = (),
    ) -> None:
        added = tuple(added)
        dropped = {fold(name.encode("ascii")) for name in (*vouched, *removed, *(name for name, _ in added))}
        dropped |= REWRITTEN
        if not keeps_authorization:
            # The proof goes with its token: alone it would only tell the upstream of a key.
            dropped |= {b"authorization", b"dpop"}
        self._passing = PassingFields(dropped)
        self._added = lines((name.encode("ascii"), value.encode("utf-8")) for name, value in added)

    def lines(self, fields: Fields) -> bytes:
        """The header lines that go upstream, framing, identity and forwarding fields aside."""
        return lines(self._passing.of(fields.raw, fields.values(b"connection"))) + self._added


class ResponseFields:
    """The upstream's fields on one route, less hop-by-hop and framing, with the route's own ones set."""

    def __init__(self, *, removed: Iterable[str] = (), added: Iterable[tuple[str, str]] = ()) -> None:
        self._added: list[Field] = [(name.encode("ascii"), value.encode("utf-8")) for name, value in added]
        dropped = {fold(name.encode("ascii")) for name in removed} | {fold(name) for name, _ in self._added}
        self._passing = PassingFields(dropped | {b"content-length"}, protected=frozenset({b"set-cookie"}))

    def of(self, fields: Sequence[Field]) -> list[Field]:
        """The fields that go to the client."""
        connection = [value for name, value in fields if name.lower() == b"connection"]
        return self._passing.of(fields, connection) + self._added


def lines(fields: Iterable[Field]) -> bytes:
    """Header fields as they go over the wire."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])
