"""One client's connection: reads a request, lets the handler answer, writes the response, and reads the next one
(RFC 9112).

What comes behind a request waits unread until that is answered: so requests are answered in order, each decided by its
own fields, and nothing of a refused one's body is ever taken for a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.body import UNREAD, Decoder, RequestBody, begin_body
from gateway.http.ending_connection import EndingConnection
from gateway.http.framing import HeadLimits, expects_continue
from gateway.http.host import address_of
from gateway.http.inline_task import InlineTask
from gateway.http.lingering import Lingering
from gateway.http.message import Field, Fields, Request, Response, Truncated
from gateway.http.persistence import may_persist
from gateway.http.request_parser import RequestParser
from gateway.http.response_head import BODILESS, CONTINUE, interim_head
from gateway.http.response_writer import ResponseWriter
from gateway.http.served_by import Server
from gateway.http.switching import SWITCHING_PROTOCOLS, Switching, hand_over

logger = logging.getLogger(__name__)

# How many requests of one client are answered before others have their turn: thousands fit into one read.
_AT_ONCE: Final = 64


class ServerConnection(EndingConnection):
    """The protocol of one client. `_task` answers the request that was read last; `_body` is its body, until whole."""

    __slots__ = (
        "_cancel",
        "_decoder",
        "_is_reading",
        "_served",
        "_task",
        "_unread",
        "peer",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(server.limits.head, server.known_fields)
        self._task = InlineTask(self._loop, self._answered)
        self._cancel: Callable[[], None] | None = None
        self._is_answering = False
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
        self._task.cancel()
        if self._body is not None:
            self._body.fail(GatewayError(errors.FRAMING_INVALID, "the client closed inside the body"))
        if self._cancel is not None:
            cancel, self._cancel = self._cancel, None
            cancel()
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
            elif self._is_answering or self._writer.paused_since is not None or self._served >= last:
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
            # What follows can't be told apart. Whoever answers closes, and if that is done, nobody else would.
            self._keep_alive = False
            self._decoder = None
            self._is_ending = True
            body.fail(defect)
            if not self._is_answering:
                self.close()
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
        if not self._is_answering:
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
        self._is_answering = True
        if self._server.begin is None:
            self.run(request, self._server.handler(request))
            return
        try:
            self._server.begin(request, self)
        except Exception as error:
            self._answered(error)

    # --- what the handler is given -----------------------------------------------------------------------------

    def respond(self, request: Request, response: Response) -> None:
        """This is the answer: written at once, but for a body that is still arriving."""
        self._cancel = None
        if response.stream is not None:
            self._task.start(self._send(request, response))
            return
        self._begin_response(request, response)
        if response.upon_end is not None:
            response.upon_end(self._writer.sent, True)
        self._answered(None)

    def run(self, request: Request, answer: Awaitable[Response]) -> None:
        """The answer has to be waited for."""
        self._cancel = None
        self._task.start(self._exchange(request, answer))

    def may_end_by(self, cancel: Callable[[], None]) -> None:
        """What to call should the client go away before the answer."""
        self._cancel = cancel

    def _refuse(self, defect: GatewayError) -> None:
        """Answer what is no request, and close."""
        self._head_since = None
        self._keep_alive = False
        self._is_ending = True
        self._answer(Request("", "", Fields(()), peer=self.peer, scheme=self._server.scheme, defect=defect))

    async def _exchange(self, request: Request, answer: Awaitable[Response]) -> None:
        try:
            response = await answer
        except Exception:
            logger.exception("unhandled error in the handler")
            response = Response(errors.INTERNAL.status, closes=True)
        if response.status == SWITCHING_PROTOCOLS:
            self._switch(cast("Switching", response))
        else:
            await self._send(request, response)

    async def _send(self, request: Request, response: Response) -> None:
        is_http10 = request.version == (1, 0)
        is_whole = False
        try:
            has_body = self._begin_response(request, response)
            if response.stream is not None and has_body:
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

    def _begin_response(self, request: Request, response: Response) -> bool:
        """Write the head, and the body if it is there. Whether the response has one."""
        is_http10 = request.version == (1, 0)
        is_bodiless = request.method == "HEAD" or response.status in BODILESS
        self._keep_alive = self._may_go_on(request, response, is_undelimited=is_http10 and not is_bodiless)
        self._writer.send(response, is_bodiless=is_bodiless, is_http10=is_http10, closes=not self._keep_alive)
        if request.fields.section is not None and response.status < 400:
            self._server.known_fields.keep(request.fields)
        return not is_bodiless

    def _switch(self, response: Switching) -> None:
        """Let another protocol have the connection; what came behind the request belongs to it."""
        early, self._unread = self._unread, b""
        self._keep_alive, self._is_reading_paused = True, False  # nothing is left to close or to read from here
        self._server.connections.discard(self)
        is_blocked = self._writer.paused_since is not None
        hand_over(self._server, response, self._transport, early, is_blocked=is_blocked)

    def _may_go_on(self, request: Request, response: Response, *, is_undelimited: bool) -> bool:
        limit = self._server.limits.requests_per_connection
        is_last = self._server.is_draining or (limit > 0 and self._served >= limit)
        if is_last or not self._keep_alive or request.defect is not None:
            return False
        return may_persist(response, self._body, is_undelimited=is_undelimited)

    def _write_interim(self, status: int, fields: Sequence[Field]) -> None:
        self._transport.write(interim_head(status, fields))

    def _answered(self, error: BaseException | None) -> None:
        """The exchange has ended: go on with what was sent meanwhile, or close."""
        self._is_answering = False
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
        if self._is_answering or self._is_ending or self._writer.paused_since is not None:
            return
        if self._transport.is_closing():
            return
        self.read_on()
        if self._unread and not self._is_reading:
            data, self._unread = self._unread, b""
            self._read(data)

    def renew(self, limits: HeadLimits) -> None:
        """Heads may be that large from now on."""
        self._parser.renew(limits)

    # --- ending ------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""
        return not (self._is_answering or self._parser.is_under_way)

    def __repr__(self) -> str:
        return f"<ServerConnection {'idle' if self.is_idle else 'busy'}, {self._served} served>"
