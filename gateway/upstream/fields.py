"""Which header fields pass, in either direction (RFC 9110 §7.6, RFC 9700 §4.13).

Each decision is made once per spelling of a name and route, then looked up: one dictionary access for each field of a
message. The tables are bounded, since clients choose the spellings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.http.headers import HOP_BY_HOP, fold, nominated
from gateway.http.message import Field, Fields
from gateway.http.via import Via

_TABLE_SIZE = 512
_PASSES, _ENDS, _NOMINATES = "passes", "ends here", "nominates others"
# Connection fields that nominate nothing.
_USUAL = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})

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
        # Some upstreams take these for the path, prefix or method they serve: another one than was checked.
        b"x-forwarded-prefix",
        b"x-forwarded-path",
        b"x-forwarded-uri",
        b"x-forwarded-method",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-original-url",
        b"x-original-uri",
        b"x-rewrite-url",
        b"x-envoy-original-path",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
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
        self._verdicts: dict[bytes, str] = {}

    def of(self, fields: Iterable[Field]) -> list[Field]:
        """The fields that pass, in order and as spelled, without those that a Connection field nominates."""
        verdicts = self._verdicts
        kept: list[Field] = []
        nominations: list[bytes] = []
        for field in fields:
            verdict = verdicts.get(field[0])
            if verdict is None:
                verdict = self._decide(field[0])
            if verdict is _PASSES:
                kept.append(field)
            elif verdict is _NOMINATES and field[1] not in _USUAL:
                nominations.append(field[1])
        if not nominations:
            return kept
        gone = nominated(nominations) - self._protected
        return [field for field in kept if field[0].lower() not in gone]

    def _decide(self, name: bytes) -> str:
        folded = fold(name)
        verdict = _NOMINATES if folded == b"connection" else _ENDS if folded in self._dropped else _PASSES
        if len(self._verdicts) < _TABLE_SIZE:
            self._verdicts[name] = verdict
        return verdict


class RequestFields:
    """The client's fields on one route, less what is stripped, with the route's own ones set."""

    def __init__(
        self,
        *,
        vouched: Iterable[str],
        keeps_authorization: bool,
        via: Via,
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
        self._via = via
        self._added = lines((name.encode("ascii"), value.encode("utf-8")) for name, value in added)

    def lines(self, fields: Fields, version: tuple[int, int]) -> bytes:
        """The header lines that go upstream, framing, identity and forwarding fields aside. `version` is the one the
        request was received in.

        Raises `GatewayError` (loop_detected) for a request that has been here before.
        """
        kept: bytes | None = fields.kept.get(self)
        if kept is None:
            self._via.check(fields)
            passing = self._passing.of(fields.raw)
            if len(fields.values(b"cookie")) > 1:
                passing = _with_one_cookie(passing)
            # The same fields are never read with another version: those that are known are all of HTTP/1.1.
            kept = lines(passing) + self._added + self._via.line(version)
            fields.keep(self, kept)
        return kept


def _with_one_cookie(fields: list[Field]) -> list[Field]:
    """Cookie is the one list that is joined with semicolons (RFC 9113 §8.2.3): upstreams that join the lines by
    themselves use commas, as for every other field, and then see other cookies.
    """
    cookies = b"; ".join(value for name, value in fields if name.lower() == b"cookie")
    first = next((index for index, (name, _) in enumerate(fields) if name.lower() == b"cookie"), 0)
    others = [field for field in fields if field[0].lower() != b"cookie"]
    return [*others[:first], (b"Cookie", cookies), *others[first:]] if cookies else others


class ResponseFields:
    """The upstream's fields on one route, less hop-by-hop and framing, with the route's own ones set."""

    def __init__(self, *, removed: Iterable[str] = (), added: Iterable[tuple[str, str]] = ()) -> None:
        self._added: list[Field] = [(name.encode("ascii"), value.encode("utf-8")) for name, value in added]
        dropped = {fold(name.encode("ascii")) for name in removed} | {fold(name) for name, _ in self._added}
        self._passing = PassingFields(dropped | {b"content-length"}, protected=frozenset({b"set-cookie"}))

    def of(self, fields: Sequence[Field]) -> list[Field]:
        """The fields that go to the client."""
        passing = self._passing.of(fields)
        return passing + self._added if self._added else passing


def lines(fields: Iterable[Field]) -> bytes:
    """Header fields as they go over the wire."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])
