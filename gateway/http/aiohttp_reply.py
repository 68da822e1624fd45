"""Writes one `Response` by way of aiohttp's connection, byte for byte as decided (RFC 9112 §4, §6, §7.1).

aiohttp's own response would re-encode header fields, add some of its own and split head and body; a gateway passes on
what the upstream said.
"""

from __future__ import annotations

from typing import Protocol

from aiohttp import web

from gateway.http.message import Response, Truncated
from gateway.http.response_head import BODILESS, response_head


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
        self._bodiless = request.method == "HEAD" or response.status in BODILESS
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
