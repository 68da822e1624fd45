"""Writes one `Response` onto a client's connection, byte for byte as decided (RFC 9112 §4, §6, §7.1).

aiohttp's own response would re-encode header fields, add some of its own and split head and body; a gateway passes on
what the upstream said. Measured beside `aiohttp.web.StreamResponse`: see docs/decisions/0002.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from aiohttp import web

from gateway.http.message import Field, Response, Truncated

_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_BODILESS = frozenset({204, 304})

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Line(Protocol):
    """The client's connection, as far as a reply needs it."""

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the client is slower than we are. Raises ConnectionError when it is gone."""
        ...

    def write_interim(self, head: bytes) -> None:
        """Send a 1xx response without waiting."""
        ...

    def end(self) -> None:
        """Close after what has been written is sent."""
        ...

    def abort(self) -> None:
        """Reset the connection, so that what was sent can't be taken for a whole response."""
        ...


class Reply(web.StreamResponse):
    """A response that aiohttp's connection sends by calling `prepare` and `write_eof`."""

    def __init__(self, response: Response, request: web.BaseRequest, line: Line, *, keep_alive: bool) -> None:
        super().__init__(status=response.status)
        self._response = response
        self._line = line
        self._http10 = request.version < (1, 1)
        self._bodiless = request.method == "HEAD" or response.status in _BODILESS
        self._sent = 0
        self._keep_alive = keep_alive and not response.closes and (not self._http10 or self._is_delimited())

    def _is_delimited(self) -> bool:
        return self._bodiless or self._response.length is not None

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send the whole response; a body that breaks off breaks off for the client too (RFC 9112 §8)."""
        whole = False
        try:
            await self._send()
            whole = True
        except Truncated:
            self._break_off()
        finally:
            if self._response.stream is not None:
                self._response.stream.close()
            if self._response.upon_end is not None:
                self._response.upon_end(self._sent, whole)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write: `prepare` has sent it all."""

    async def _send(self) -> None:
        response = self._response
        head = response_head(response, http10=self._http10, close=not self._keep_alive, bodiless=self._bodiless)
        if self._bodiless:
            await self._line.write(head)
        elif response.stream is None:
            self._sent = len(response.body)
            await self._line.write(head + response.body)
        else:
            await self._line.write(head)
            await self._send_stream()

    async def _send_stream(self) -> None:
        stream = self._response.stream
        assert stream is not None
        chunked = self._response.length is None and not self._http10
        while piece := await stream.read():
            await self._line.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            self._sent += len(piece)
        if chunked:
            await self._line.write(b"0\r\n\r\n")

    def _break_off(self) -> None:
        self._keep_alive = False
        # A close-delimited body ends cleanly with a FIN; only a reset shows that this one did not.
        if self._http10 and not self._is_delimited():
            self._line.abort()
        else:
            self._line.end()


def response_head(response: Response, *, http10: bool, close: bool, bodiless: bool) -> bytes:
    """The status line and the fields of a response, with the framing fields that go with them."""
    status = response.status
    reason = response.reason if response.reason is not None else _PHRASES.get(status, b"")
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    has_date = False
    for name, value in response.fields:
        lines.append(b"%b: %b\r\n" % (name, value))
        has_date = has_date or name.lower() == b"date"
    if not has_date:
        lines.append(_date_line())
    lines.append(_framing_line(response, http10=http10, bodiless=bodiless))
    if close:
        lines.append(b"Connection: close\r\n")
    elif http10:
        lines.append(b"Connection: keep-alive\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def _framing_line(response: Response, *, http10: bool, bodiless: bool) -> bytes:
    if response.status == 204:
        return b""  # RFC 9110 §8.6: no Content-Length in a 204.
    if response.length is not None:
        return b"Content-Length: %d\r\n" % response.length
    return b"" if bodiless or http10 else b"Transfer-Encoding: chunked\r\n"


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
