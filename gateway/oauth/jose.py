"""The encodings below JWTs, read strictly: base64url (RFC 7515 §2) and one JSON object (RFC 8259, RFC 7515 §4).

The standard library is lenient where a gateway must not be: it drops foreign characters and spare bits of base64, takes
`NaN` and duplicate names in JSON, and fails with three kinds of exceptions. Two texts for one token would defeat
caches and deny lists; two readings of one header would defeat the checks.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any, NoReturn

_ALPHABET = re.compile(rb"[A-Za-z0-9_-]*")
_PADDING = (b"", b"", b"==", b"=")
# The last character of a text of that length modulo 4 has spare bits; these are the ones in which they are zero.
_LAST = {2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}
# More than any number a token needs, and few enough for a float.
_MAX_DIGITS = 100


class Malformed(ValueError):
    """Bytes that are not what they must be. The message says what was wrong and quotes nothing."""


class OutOfRange(Malformed):
    """JSON by its grammar, with a number that no claim and no setting can mean (RFC 8259 §6 leaves the range to us)."""


def b64url_decode(data: bytes) -> bytes:
    """Decode base64url without padding, accepting exactly one text for each value. Raises `Malformed`."""
    remainder = len(data) % 4
    if remainder == 1 or not _ALPHABET.fullmatch(data):
        raise Malformed("not base64url")
    if remainder and data[-1] not in _LAST[remainder]:
        raise Malformed("base64url with spare bits that are not zero")
    return binascii.a2b_base64(data.translate(_URL_TO_STANDARD) + _PADDING[remainder])


def b64url_encode(data: bytes) -> str:
    """Base64url without padding: the one text that `b64url_decode` takes for these bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


_URL_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def strict_json(data: bytes) -> dict[str, Any]:
    """Read one JSON object in UTF-8: unique names, finite numbers, no lone surrogates.

    Raises `Malformed`, for a number beyond all measure `OutOfRange`.
    """
    try:
        text = data.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:
            # An escape may make a lone surrogate, which fails only when somebody encodes it.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("JSON with a duplicate name")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise Malformed("JSON with a number that is not finite")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise OutOfRange("JSON with a number that is not finite")
    return number


def _bounded(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise OutOfRange("JSON with a number of too many digits")
    return int(text)


# Made once: `json.loads` would make one for each text, which takes as long as reading a short one.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_bounded
)
