"""How the connection of a client ends: in order, cut off, or because something takes too long (RFC 9112 §9.6).

`server_connection` is what reads and answers on it.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.body import RequestBody
from gateway.http.hangup import has_hung_up
from gateway.http.lingering import Lingering
from gateway.http.request_parser import RequestParser
from gateway.http.response_writer import ResponseWriter
from gateway.http.served_by import Server


class EndingConnection(asyncio.Protocol):
    """The half of a `ServerConnection` that knows when it is over."""

    __slots__ = (
        "_body",
        "_head_since",
        "_idle_since",
        "_is_answering",
        "_is_ending",
        "_is_reading_paused",
        "_keep_alive",
        "_lingering",
        "_loop",
        "_parser",
        "_server",
        "_transport",
        "_writer",
    )

    _body: RequestBody | None
    _head_since: float | None
    _idle_since: float
    _is_answering: bool
    _is_ending: bool
    _is_reading_paused: bool
    _keep_alive: bool
    _lingering: Lingering
    _loop: asyncio.AbstractEventLoop
    _parser: RequestParser
    _server: Server
    _transport: asyncio.Transport
    _writer: ResponseWriter

    def close(self) -> None:
        """Close after what has been written is sent. Who is still sending is read for a while, and not listened to."""
        if self._transport.is_closing():
            return
        is_sending = self._is_ending or (self._body is not None and not self._body.is_whole)
        self._is_ending = True
        self._lingering.since = self._loop.time()
        if not is_sending:
            self._transport.close()
            return
        self.read_on()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        # TLS can't end one side alone: data that comes after our close_notify would reset the connection, and the
        # response with it. So it stays open until the client closes, or for as long as it may linger.

    def abort(self) -> None:
        """Cut the connection off, whatever is still to be sent."""
        self._is_ending = True
        self._transport.abort()

    def _break_off(self, *, is_delimited: bool) -> None:
        """End a response that was not sent whole, so that nobody can take it for whole (RFC 9112 §8)."""
        self._keep_alive = False
        self._is_ending = True
        if is_delimited:
            self._transport.close()
        else:
            self._writer.reset()

    def end_if_late(self, now: float) -> None:
        """Called by the server's sweep: end what takes longer than its limit. Times are those of the event loop."""
        limits = self._server.limits
        if self._is_reading_paused and has_hung_up(self._transport):
            self.abort()
        elif self._writer.paused_since is not None and now - self._writer.paused_since > limits.request_body:
            # Who stops reading would hold an upstream connection for ever.
            self.abort()
        elif self._lingering.since is not None:
            is_sent = self._transport.get_write_buffer_size() == 0
            if self._lingering.is_too_long(now, is_sent=is_sent, patience=limits.request_body):
                self.abort()
        elif self._body is not None and self._body.is_waited_for:
            self._body.fail_if_silent(now, limits.request_body)
        elif self._is_answering:
            pass  # its limits are those of whoever works for it
        elif self._head_since is None:
            if now - self._idle_since > limits.idle:
                self.close()
        elif now - self._head_since > limits.request_head:
            self._end_late_head(limits.request_head)

    def _end_late_head(self, limit: float) -> None:
        if self._parser.is_under_way:
            self._refuse(GatewayError(errors.REQUEST_TIMEOUT, f"no whole head in {limit:g} s"))
        else:
            self.close()

    @abstractmethod
    def _refuse(self, defect: GatewayError) -> None:
        """Answer what is no request, and close."""

    @abstractmethod
    def read_on(self) -> None:
        """Go on reading."""
