"""Redirection URIs: which may be registered, which fits a registered one, and how an answer is put on one.

RFC 6749 §3.1.2, RFC 8252 §7 and RFC 9700 §4.1. Texts are compared as they are: a lenient parser reads
`https://good.com\\@evil.com` in one way and a browser in another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

ANY_LOOPBACK: Final = "loopback"
"""Stands for http on 127.0.0.1, [::1] or localhost with any port and path, among a client's redirection URIs."""

_CHARACTER = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})"
_TARGET = rf"(?:/{_CHARACTER}*)?(?:\?(?:{_CHARACTER}|\?)*)?"
_LOOPBACK: Final = re.compile(rf"(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::([1-9][0-9]{{0,4}}))?({_TARGET})")
_HTTPS: Final = re.compile(rf"https://(?:[A-Za-z0-9\-.]+|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{{0,4}})?{_TARGET}")
# With a dot, as RFC 8252 §7.1 wants it: so `javascript:` and `data:` are none.
_PRIVATE_USE: Final = re.compile(rf"[a-z][a-z0-9+\-]*(?:\.[a-z0-9+\-]+)+:{_TARGET}")


def mistake_in(uri: str) -> str | None:
    """Why a client may not register this redirection URI, in words that follow the URI; None when it may."""
    if uri == ANY_LOOPBACK or _loopback(uri) or _HTTPS.fullmatch(uri) or _PRIVATE_USE.fullmatch(uri):
        return None
    if "#" in uri:
        return "must not have a fragment (RFC 6749 §3.1.2)"
    if uri.startswith("http://"):
        return "must be https, or http on 127.0.0.1, [::1] or localhost (RFC 9700 §2.6)"
    return "must be an absolute https address, a loopback address, `loopback`, or com.example.app:/path (RFC 8252 §7)"


def fits(registered: str, asked: str) -> bool:
    """Whether a request may name this URI: the registered one to the letter, but for the port of a loopback address.

    RFC 8252 §7.3: an application on the user's machine listens on whatever port it gets.
    """
    found, known = _loopback(asked), _loopback(registered)
    if registered == ANY_LOOPBACK:
        return found is not None
    if registered == asked:
        return True
    return found is not None and known is not None and (found[1], found[3]) == (known[1], known[3])


def is_loopback(uri: str) -> bool:
    """Whether the answer stays on this machine."""
    return _loopback(uri) is not None


def scheme_of(uri: str) -> str:
    """The scheme with its colon, as Content-Security-Policy names it."""
    return f"{uri.partition(':')[0]}:"


def place_of(uri: str) -> str:
    """What to tell a user of it: scheme and host, without path and query."""
    return re.sub(r"^([a-z][a-z0-9+.\-]*:(?://[^/?]*)?).*", r"\1", uri)


def with_parameters(uri: str, parameters: Mapping[str, str], *, in_fragment: bool = False) -> str:
    """The URI with an answer on it; what the client registered stays to the letter (RFC 6749 §3.1.2)."""
    joint = "#" if in_fragment else "&" if "?" in uri else "?"
    return f"{uri}{joint}{urlencode(parameters)}"


def _loopback(uri: str) -> re.Match[str] | None:
    found = _LOOPBACK.fullmatch(uri)
    return found if found is not None and int(found[2] or 1) <= 65535 else None
