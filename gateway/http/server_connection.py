"""One client's connection: reads a request, lets the handler answer, writes the response, and reads the next one
(RFC 9112).

What comes behind a request waits unread until that is answered: so requests are answered in order, each decided by its
own fields, and nothing of a refused one's body is ever taken for a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol, cast

from gateway import errors
from gateway.errors import GatewayError
from gateway.http import lingering
from gateway.http.body import UNREAD, Decoder, RequestBody, begin_body
from gateway.http.framing import expects_continue
from gateway.http.hangup import has_hung_up
from gateway.http.host import address_of
from gateway.http.inline_task import InlineTask
from gateway.http.lingering import Lingering
from gateway.http.message import Field, Fields, Handler, Request, Response, Truncated
from gateway.http.request_parser import KnownFields, RequestParser
from gateway.http.response_head import BODILESS, CONTINUE, interim_head
from gateway.http.response_writer import ResponseWriter
from gateway.http.server_limits import ServerLimits
from gateway.http.switching import SWITCHING_PROTOCOLS, Connected, Switching, hand_over

logger = logging.getLogger(__name__)

# How many requests of one client are answered before others have their turn: thousands fit into one read.
_AT_ONCE: Final = 64


class Server(Protocol):
    """What a connection needs to know of its server."""

    handler: Handler
    limits: ServerLimits
    scheme: str
    is_draining: bool
    known_fields: KnownFields
    connections: set[Connected]


class ServerConnection(asyncio.Protocol):
    """The protocol of one client. `_task` answers the request that was read last; `_body` is its body, until whole."""

    __slots__ = (
        "_body",
        "_decoder",
        "_head_since",
        "_idle_since",
        "_is_ending",
        "_is_reading",
        "_is_reading_paused",
        "_keep_alive",
        "_lingering",
        "_loop",
        "_parser",
        "_served",
        "_server",
        "_task",
        "_transport",
        "_unread",
        "_writer",
        "peer",
    )

    _transport: asyncio.Transport
    _writer: ResponseWriter

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(server.limits.head, server.known_fields)
        self._task = InlineTask(self._loop, self._answered)
        self._body: RequestBody | None = None
        self._decoder: Decoder | None = None
        self._unread = b""
        self._is_reading = self._is_reading_paused = False
        self._is_ending = False
        self._keep_alive = True
        self._served = 0
        self._head_since: float | None = None
        self._idle_since = 0.0
        self._lingering = Lingering()
        self.peer = ""

    # --- what the event loop calls -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop: a client is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._writer = ResponseWriter(self._transport)
        self.peer = address_of(transport.get_extra_info("peername"))
        self._head_since = self._loop.time()
        server = self._server
        server.connections.add(self)
        if server.is_draining:
            # It came through the listener's backlog while that was being closed.
            self._refuse(GatewayError(errors.DRAINING, "the gateway is shutting down", retry_after=1))
        elif len(server.connections) > server.limits.connections:
            self._refuse(GatewayError(errors.OVERLOADED, "limits.connections is reached", retry_after=1))

    def data_received(self, data: bytes) -> None:
        """Called by the event loop: the client sent something."""
        if self._is_ending:
            if self._lingering.drop(len(data)):
                self.abort()
            return
        if self._unread:
            data = self._unread + data
            self._unread = b""
        self._read(data)

    def eof_received(self) -> bool:
        """Called by the event loop: the client has ended its side. A request that is not whole never will be."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop: the client is gone, and whoever works for it is told so at once."""
        self._server.connections.discard(self)
        self._is_ending = True
        if self._body is not None:
            self._body.fail(GatewayError(errors.FRAMING_INVALID, "the client closed inside the body"))
        self._task.cancel()
        self._writer.resume()

    def pause_writing(self) -> None:
        """Called by the event loop when the client reads more slowly than we write."""
        self._writer.pause(self._loop.time())

    def resume_writing(self) -> None:
        """Called by the event loop when the client has read on."""
        self._writer.resume()
        # Later, for the loop may call this in the middle of somebody's step.
        self._loop.call_soon(self._go_on)

    # --- reading -----------------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        """Read on, up to the end of what may be read now."""
        self._is_reading = True
        last = self._served + _AT_ONCE
        while data and not self._is_ending:
            if self._decoder is not None:
                data = self._read_body(self._decoder, data)
            elif self._task.is_running or self._writer.paused_since is not None or self._served >= last:
                self._wait_with(data)
                break
            else:
                data = self._read_head(data)
        self._is_reading = False

    def _read_head(self, data: bytes) -> bytes:
        """Read the head of a request and begin to answer it; gives back what stands behind it."""
        parser = self._parser
        if self._head_since is None:
            self._head_since = self._loop.time()
        try:
            taken = parser.feed(data)
        except GatewayError as defect:
            self._refuse(defect)
            return b""
        if not parser.is_complete:
            return b""
        self._head_since = None
        fields, version = parser.fields, parser.version
        has_body = b"content-length" in fields or b"transfer-encoding" in fields
        request = Request(
            parser.method,
            parser.target,
            fields,
            self._begin_body() if has_body else None,
            self.peer,
            self._server.scheme,
            version,
            # RFC 9110 §15.2: no 1xx to an HTTP/1.0 client.
            self._write_interim if version == (1, 1) else None,
        )
        self._keep_alive = parser.keep_alive
        parser.begin()
        self._answer(request)
        return data[taken:]

    def _begin_body(self) -> RequestBody | None:
        """The body that follows the head just read (RFC 9112 §6.3)."""
        fields = self._parser.fields
        ask = self._ask_for_body if expects_continue(fields, self._parser.version) else None
        self._body, self._decoder = begin_body(self, fields, ask)
        return self._body

    def _read_body(self, decoder: Decoder, data: bytes) -> bytes:
        """Read on in a body; gives back what stands behind it."""
        body = cast("RequestBody", self._body)
        try:
            taken = decoder.feed(data)
        except GatewayError as defect:
            body.fail(defect)
            self._keep_alive = False
            self._decoder = None
            self._is_ending = True  # what follows can't be told apart
            return b""
        if body.is_whole:
            self._decoder = self._body = None
            self._lingering.since = None
        elif body.unread > UNREAD:
            self._pause_reading()
        return data[taken:]

    def _wait_with(self, data: bytes) -> None:
        """Until the request before is answered, the client has read its answers, and others have had their turn."""
        self._unread = data
        if len(data) > UNREAD:
            self._pause_reading()
        if not self._task.is_running:
            self._loop.call_soon(self._go_on)

    def _pause_reading(self) -> None:
        if not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Go on reading: what was kept back has been taken."""
        if self._is_reading_paused and not self._transport.is_closing():
            self._is_reading_paused = False
            self._transport.resume_reading()

    def _ask_for_body(self) -> None:
        self._transport.write(CONTINUE)

    # --- answering ---------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        self._served += 1
        self._task.start(self._exchange(request))

    def _refuse(self, defect: GatewayError) -> None:
        """Answer what is no request, and close."""
        self._head_since = None
        self._keep_alive = False
        self._is_ending = True
        self._answer(Request("", "", Fields(()), peer=self.peer, scheme=self._server.scheme, defect=defect))

    async def _exchange(self, request: Request) -> None:
        try:
            response = await self._server.handler(request)
        except Exception:
            logger.exception("unhandled error in the handler")
            response = Response(errors.INTERNAL.status, closes=True)
        if response.status == SWITCHING_PROTOCOLS:
            self._switch(cast("Switching", response))
            return
        is_http10 = request.version == (1, 0)
        is_bodiless = request.method == "HEAD" or response.status in BODILESS
        self._keep_alive = self._may_go_on(request, response, is_undelimited=is_http10 and not is_bodiless)
        is_whole = False
        try:
            self._writer.send(response, is_bodiless=is_bodiless, is_http10=is_http10, closes=not self._keep_alive)
            if response.stream is not None and not is_bodiless:
                is_chunked = response.length is None and not is_http10
                await self._writer.send_stream(response.stream, is_chunked=is_chunked)
            is_whole = True
        except Truncated:
            self._break_off(is_delimited=not is_http10 or response.length is not None)
        finally:
            if response.stream is not None:
                response.stream.close()
            if response.upon_end is not None:
                response.upon_end(self._writer.sent, is_whole)
        if request.fields.section is not None and response.status < 400:
            self._server.known_fields.keep(request.fields)

    def _switch(self, response: Switching) -> None:
        """Let another protocol have the connection; what came behind the request belongs to it."""
        early, self._unread = self._unread, b""
        self._keep_alive, self._is_reading_paused = True, False  # nothing is left to close or to read from here
        self._server.connections.discard(self)
        is_blocked = self._writer.paused_since is not None
        hand_over(self._server, response, self._transport, early, is_blocked=is_blocked)

    def _may_go_on(self, request: Request, response: Response, *, is_undelimited: bool) -> bool:
        """Whether another request may follow on this connection (RFC 9112 §9.3)."""
        limit = self._server.limits.requests_per_connection
        if not self._keep_alive or response.closes or request.defect is not None or self._server.is_draining:
            return False
        if limit and self._served >= limit:
            return False
        if is_undelimited and response.length is None:
            return False
        body = self._body
        if body is None:
            return True
        # A client that was never asked for its body may send it or not: what follows can't be told apart. And a large
        # one is not worth reading when nobody wants it.
        return body.is_whole or not (body.is_withheld or (body.length or 0) > lingering.SIZE)

    def _write_interim(self, status: int, fields: Sequence[Field]) -> None:
        self._transport.write(interim_head(status, fields))

    def _answered(self, error: BaseException | None) -> None:
        """The exchange has ended: go on with what was sent meanwhile, or close."""
        if error is not None:
            if not isinstance(error, asyncio.CancelledError):
                # The handler answers its own faults, so this one is ours.
                logger.error("a connection failed", exc_info=error)
            # Nothing is known of what went out already, and the next answer must not be taken for this one.
            self.abort()
        if not self._keep_alive:
            self.close()
            return
        self._idle_since = self._loop.time()
        if self._body is not None and not self._body.is_whole:
            self._body.discard()
            self._lingering.since = self._idle_since
        self._go_on()

    def _go_on(self) -> None:
        """Read on, first what has been kept back."""
        if self._task.is_running or self._is_ending or self._writer.paused_since is not None:
            return
        if self._transport.is_closing():
            return
        self.read_on()
        if self._unread and not self._is_reading:
            data, self._unread = self._unread, b""
            self._read(data)

    # --- ending ------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""
        return not (self._task.is_running or self._parser.is_under_way)

    def close(self) -> None:
        """Close after what has been written is sent. Who is still sending is read for a while, and not listened to."""
        if self._transport.is_closing():
            return
        is_sending = self._is_ending or (self._body is not None and not self._body.is_whole)
        self._is_ending = True
        self._lingering.since = self._loop.time()
        if is_sending and self._transport.can_write_eof():
            self.read_on()
            self._transport.write_eof()
        else:
            self._transport.close()

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
        elif self._task.is_running:
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

    def __repr__(self) -> str:
        return f"<ServerConnection {'idle' if self.is_idle else 'busy'}, {self._served} served>"
