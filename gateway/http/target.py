"""The one path: a request target in the single form that is matched, checked, logged and forwarded (RFC 3986 §6.2).

What could be read in two ways is refused, before any route is chosen: every bypass by path in the peers' advisories is
a front end and a back end that disagree about what a path means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway import errors
from gateway.errors import GatewayError

UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

# Nothing to decode and nothing to refuse: every byte unreserved, sub-delim (but `;`), `:`, `@` or `/`.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9\-_~!$&'()*+,=:@][A-Za-z0-9\-._~!$&'()*+,=:@]*)+/?|/")
_VISIBLE = re.compile(r"[!-~]*")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE)
_ILLEGAL = re.compile(r'[\x00-\x20"<>^`{|}\[\]\\\x7f-\uffff]')
_ESCAPE = re.compile(r"%(?:([0-9A-Fa-f]{2})|.{0,2})", re.DOTALL)
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-F]|7F)")
_DOUBLE_ENCODED = re.compile(r"%25[0-9A-Fa-f]{2}")
# Where an upstream may split a segment: at a slash, an encoded slash, and before path parameters (`;`).
_SPLIT = re.compile(r"/|%2F|;|%3B")
_DOTS = frozenset({".", ".."})


@dataclass(slots=True)
class Target:
    """A request target in its one form. `query` is None without a `?`, and untouched otherwise.

    `authority` is that of an absolute-form target (RFC 9112 §3.2.2), which replaces Host.
    """

    path: str
    query: str | None = None
    authority: str | None = None
    has_encoded_slash: bool = False
    has_semicolon: bool = False


def normalise(target: str, method: str) -> Target:
    """The one form of a request target as sent (latin-1 text). Raises `GatewayError` for what has none.

    Asterisk-form is accepted for OPTIONS alone (RFC 9112 §3.2.4); its path is `*`, which no route can have.
    """
    if _PLAIN.fullmatch(target):
        return Target(target)
    if target == "*" and method == "OPTIONS":
        return Target("*")
    authority = None
    if not target.startswith("/"):
        authority, target = _split_absolute(target)
    path, question, query = target.partition("?")
    _check_query(query, path)
    wanted_query = query if question else None
    if _PLAIN.fullmatch(path):
        return Target(path, wanted_query, authority)
    path = normalise_path(path)
    return Target(path, wanted_query, authority, "%2F" in path, ";" in path or "%3B" in path)


def _split_absolute(target: str) -> tuple[str, str]:
    if not _VISIBLE.fullmatch(target):
        raise GatewayError(errors.PATH_AMBIGUOUS, "blanks, control characters or non-ASCII bytes in the target")
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise GatewayError(errors.FRAMING_INVALID, "the target is neither a path nor an absolute URL")
    rest = found[2]
    return found[1], rest if rest.startswith("/") else f"/{rest}"


def _check_query(query: str, path: str) -> None:
    # A `#` is never sent (RFC 9112 §3.2); whoever cuts there sees another target than whoever does not.
    if "#" in path or "#" in query:
        raise GatewayError(errors.PATH_AMBIGUOUS, "`#` in the target")
    if not _VISIBLE.fullmatch(query):
        raise GatewayError(errors.PATH_AMBIGUOUS, "blanks, control characters or non-ASCII bytes in the query")


def normalise_path(path: str) -> str:
    """The one form of a path: unreserved characters decoded, hex digits upper case, nothing else changed."""
    illegal = _ILLEGAL.search(path)
    if illegal is not None:
        raise GatewayError(errors.PATH_AMBIGUOUS, f"character {ord(illegal[0]):#04x} in the path")
    path = _ESCAPE.sub(_canonical_escape, path)
    _check_escapes(path)
    _check_segments(path)
    return path


def _canonical_escape(escape: re.Match[str]) -> str:
    digits = escape[1]
    if digits is None:
        raise GatewayError(errors.PATH_AMBIGUOUS, "a percent sign without two hex digits")
    byte = int(digits, 16)
    return chr(byte) if byte in UNRESERVED else f"%{digits.upper()}"


def _check_escapes(path: str) -> None:
    if _DOUBLE_ENCODED.search(path):
        raise GatewayError(errors.PATH_AMBIGUOUS, "an encoded percent sign before two hex digits")
    if _ENCODED_CONTROL.search(path):
        raise GatewayError(errors.PATH_AMBIGUOUS, "an encoded control character")
    if "%5C" in path:
        raise GatewayError(errors.PATH_AMBIGUOUS, "an encoded backslash")
    try:
        decode(path)
    except UnicodeDecodeError:
        raise GatewayError(errors.PATH_AMBIGUOUS, "encoded bytes that are no UTF-8") from None


def _check_segments(path: str) -> None:
    segments = path[1:].split("/")
    if "" in segments[:-1]:
        raise GatewayError(errors.PATH_AMBIGUOUS, "an empty segment")
    if not _DOTS.isdisjoint(_SPLIT.split(path)):
        raise GatewayError(errors.PATH_AMBIGUOUS, "a `.` or `..` segment")


def decode(text: str) -> str:
    """Percent-decoded, as UTF-8. Raises UnicodeDecodeError."""
    if "%" not in text:
        return text
    parts = text.encode("ascii").split(b"%")
    return b"".join([parts[0], *(bytes([int(part[:2], 16)]) + part[2:] for part in parts[1:])]).decode("utf-8")
