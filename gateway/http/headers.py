"""Header fields as an intermediary treats them: which end here, how they are spelled, what they hold (RFC 9110 §5)."""

from __future__ import annotations

from collections.abc import Iterable

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that are meant for the next hop alone (RFC 9110 §7.6.1), in lower case."""

_FOLDED = bytes.maketrans(b"_.", b"--")


def fold(name: bytes) -> bytes:
    """One form for every spelling of a field name that some upstream takes for the same.

    WSGI, CGI and PHP turn `X-User`, `x_user` and `X.User` into one variable: stripping only one spelling lets a client
    set the variable by another.
    """
    return name.lower().translate(_FOLDED)


def nominated(values: Iterable[bytes]) -> frozenset[bytes]:
    """The lower-case names that Connection fields declare to be hop-by-hop (RFC 9110 §7.6.1)."""
    return frozenset(name.strip(b" \t").lower() for value in values for name in value.split(b",")) - {b""}


def percent_encode_value(text: str) -> bytes:
    """A field value for any text: what is not 0x20-0x7E, `%` itself and blanks at either end are percent-encoded.

    No claim can then break out of its line, and the upstream gets the text back by percent-decoding.
    """
    if text.isascii() and text.isprintable() and "%" not in text and text.strip(" ") == text:
        return text.encode("ascii")
    data = text.encode("utf-8", "surrogatepass")
    first = len(data) - len(data.lstrip(b" "))
    last = len(data.rstrip(b" "))
    return b"".join(
        b"%%%02X" % byte if byte < 0x20 or byte > 0x7E or byte == 0x25 or not first <= index < last else bytes([byte])
        for index, byte in enumerate(data)
    )
