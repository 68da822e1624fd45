"""The heads of responses, byte for byte as decided (RFC 9110 §15, RFC 9112 §4, §6)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from gateway.http.message import Field, Response

_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
BODILESS: Final = frozenset({204, 304})
"""Statuses of responses that never have a body (RFC 9112 §6.3)."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def response_head(response: Response, *, http10: bool, close: bool, bodiless: bool) -> bytes:
    """The status line and the fields of a response, with the framing fields that go with them."""
    status = response.status
    reason = response.reason if response.reason is not None else _PHRASES.get(status, b"")
    parts = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    has_date = False
    for name, value in response.fields:
        parts += (name, b": ", value, b"\r\n")
        if len(name) == 4 and name.lower() == b"date":
            has_date = True
    if not has_date:
        parts.append(_date_line())
    if response.length is not None and status != 204:  # RFC 9110 §8.6: no Content-Length in a 204
        parts.append(b"Content-Length: %d\r\n" % response.length)
    elif not (bodiless or http10):
        parts.append(b"Transfer-Encoding: chunked\r\n")
    if close:
        parts.append(b"Connection: close\r\n")
    elif http10:
        parts.append(b"Connection: keep-alive\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


def interim_head(status: int, fields: Sequence[Field]) -> bytes:
    """A 1xx response (RFC 9110 §15.2)."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES.get(status, b""))]
    lines += [b"%b: %b\r\n" % field for field in fields]
    return b"".join(lines) + b"\r\n"


class _Clock:
    """The Date line (RFC 9110 §6.6.1), formatted once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._line = b"Date: %b\r\n" % formatdate(now, usegmt=True).encode("ascii")
        return self._line


_date_line = _Clock().line
