"""What is in a token, for people: header, claims, times in words, and what is odd about it. Nothing of it is proven.

Knows no issuer and asks nobody.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.cli.token.terminal import harmless, in_words
from gateway.errors import GatewayError
from gateway.oauth import jwt
from gateway.oauth.jose import Malformed, b64url_decode, strict_json

_TIMES: Final = frozenset({"exp", "nbf", "iat", "auth_time", "updated_at"})
_MEANINGS: Final[Mapping[str, str]] = {
    "alg": "how it is signed",
    "kid": "with which of the issuer's keys",
    "typ": "what it is",
    "iss": "who issued it",
    "sub": "about whom",
    "aud": "for whom",
    "client_id": "to which client",
    "azp": "to which client",
    "scope": "what it allows",
    "scp": "what it allows",
    "jti": "its number",
    "sid": "the session",
    "acr": "how strongly the user signed in",
    "amr": "by which means",
    "auth_time": "the user signed in",
    "cnf": "bound to this key: a thief can't use it",
    "active": "what the issuer says of it",
}
_LONG_LIFE: Final = 86_400.0
_LATEST: Final = 253_402_300_799  # the year 9999


@dataclass(frozen=True, slots=True)
class Content:
    """What could be read. `kind` is `jwt`, `jwe` (encrypted) or `opaque`; `problem` says what is wrong with a JWT."""

    kind: str
    header: Mapping[str, Any] = field(default_factory=dict, repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    problem: str = ""


def read(token: str) -> Content:
    """What is in a token, as far as it can be read; never raises."""
    parts = token.split(".") if token.count(".") <= 4 else []
    header = _object(parts[0]) if parts else None
    if header is None or len(parts) not in (3, 5):
        return Content("opaque")
    if len(parts) == 5:
        return Content("jwe", header)
    claims = _object(parts[1])
    try:
        jwt.parse(token.encode("ascii"))
    except (GatewayError, UnicodeEncodeError) as error:
        problem = error.evidence if isinstance(error, GatewayError) else "characters beyond ASCII"
        return Content("jwt", header, claims or {}, problem)
    return Content("jwt", header, claims or {})


def _object(part: str) -> dict[str, Any] | None:
    try:
        return strict_json(b64url_decode(part.encode("ascii")))
    except (Malformed, UnicodeEncodeError):
        return None


def lines(content: Content, now: float) -> Iterator[str]:
    """The content for a terminal."""
    if content.kind == "opaque":
        yield "an opaque token: it says nothing to anybody but its issuer (RFC 6749 §1.4)"
        return
    if content.kind == "jwe":
        yield "an encrypted token (JWE, RFC 7516): only whom it is for can read its claims"
    elif content.problem:
        yield f"a JSON Web Token that no gateway takes: {content.problem}"
    else:
        yield "a JSON Web Token (RFC 7519)"
    yield from members("header", content.header, now)
    if content.claims:
        yield from members("claims", content.claims, now)


def members(title: str, values: Mapping[str, Any], now: float) -> Iterator[str]:
    """A block of members, one a line, with what each means."""
    yield ""
    yield title
    width = min(24, max(map(len, values), default=0))
    for name, value in values.items():
        told = _told(name, value, now)
        text = harmless(json.dumps(value, ensure_ascii=False))
        yield f"  {harmless(name):<{width}}  {text}{f'  ({told})' if told else ''}"


def _told(name: str, value: Any, now: float) -> str:
    moment = _moment(value, now) if name in _TIMES else ""
    return ", ".join(filter(None, (_MEANINGS.get(name, ""), moment)))


def _moment(value: Any, now: float) -> str:
    """A NumericDate in words (RFC 7519 §2)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        return "no date"
    date = datetime.datetime.fromtimestamp(math.floor(value), datetime.UTC)
    distance = value - now
    relative = f"in {in_words(distance)}" if distance >= 0 else f"{in_words(distance)} ago"
    return f"{date:%Y-%m-%d %H:%M:%S} UTC, {relative}"


def oddities(content: Content, now: float) -> Iterator[str]:
    """What whoever made this token, or got it, may want to know."""
    if content.kind != "jwt":
        return
    algorithm, claims = content.header.get("alg"), content.claims
    if isinstance(algorithm, str) and algorithm.lower() == "none":
        yield "alg is none: anybody can make such a token, and nobody should take it"
    elif isinstance(algorithm, str) and algorithm.startswith("HS"):
        yield f"alg is {harmless(algorithm)}: everybody who can check it can also make one (a shared secret)"
    yield from _odd_times(claims, now)
    if "aud" not in claims:
        yield "aud is missing: it is not said for which API it is (RFC 9068 §2.2)"
    if _is_id_token(content):
        yield "it looks like an ID token: that is for the client, and an API wants the access token beside it"


def _odd_times(claims: Mapping[str, Any], now: float) -> Iterator[str]:
    expires, issued, begins = (_number(claims.get(name)) for name in ("exp", "iat", "nbf"))
    if expires is None:
        yield "exp is missing or no number: it never ends, and a stolen one is good for ever"
    elif expires <= now:
        yield f"it expired {in_words(now - expires)} ago"
    elif issued is not None and expires - issued > _LONG_LIFE:
        yield f"it lives {in_words(expires - issued)}: so long a stolen one is good"
    if begins is not None and begins > now:
        yield f"it is not valid yet: nbf is in {in_words(begins - now)}"
    if issued is not None and issued > now:
        yield f"iat is in the future by {in_words(issued - now)}: compare the clocks"


def _is_id_token(content: Content) -> bool:
    kind = content.header.get("typ")
    is_marked = isinstance(kind, str) and kind.lower().removeprefix("application/") == "at+jwt"
    claims = content.claims
    return "at_hash" in claims or "c_hash" in claims or ("nonce" in claims and not is_marked)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
