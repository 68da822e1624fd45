"""One connection to an origin: one request and its response at a time (RFC 9112 §9), within time limits.

It knows no pool: whoever owns it is told when it is free again and when it is lost. Back-pressure holds both ways. A
waiting task costs one future and nothing else; the limits share one timer, armed again only when it fires too early.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterable, Callable
from math import inf
from typing import Final, Protocol, cast

from gateway.http.message import Truncated
from gateway.http.response_parser import Interim, ResponseInvalid, ResponseParser
from gateway.http.switching import SWITCHING_PROTOCOLS
from gateway.http.upstream_response import IdleTimeout, Told, UpstreamResponse

BUFFER_SIZE: Final = 64 * 1024
"""Bytes read at once, kept unread for one response, and kept unsent for one request: about 192 KiB in all."""


class ResponseTimeout(Exception):
    """The origin took no more of the request, or began no response, in time."""


class Disconnected(Exception):
    """The origin closed the connection before any byte of a final response."""


class Owner(Protocol):
    """Whoever keeps a connection."""

    def released(self, connection: Connection) -> None:
        """The response has arrived whole, and the connection can carry another request."""
        ...

    def lost(self, connection: Connection) -> None:
        """The connection has ended. Called once, and only after it was opened."""
        ...


class Connection(asyncio.BufferedProtocol):
    """An open connection, either resting or busy with one response.

    `buffer` is what is read into; connections of one loop may share it, as each empties it before it returns.
    """

    __slots__ = (
        "_armed",
        "_buffer",
        "_clock",
        "_deadline",
        "_idle_timeout",
        "_interrupted",
        "_owner",
        "_parser",
        "_reading_paused",
        "_received",
        "_response",
        "_response_deadline",
        "_sender",
        "_timer",
        "_transport",
        "_unread",
        "_unsent",
        "_writing_paused",
        "closed",
        "loop",
        "used",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        idle_timeout: float,
        buffer: bytearray | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.loop = loop
        self.closed = False
        self.used = False
        """It has carried a request before, so the origin may be about to close it."""
        self._owner: Owner | None = None
        self._idle_timeout = idle_timeout
        self._buffer = memoryview(bytearray(BUFFER_SIZE) if buffer is None else buffer)
        self._clock = clock
        self._parser = ResponseParser()
        self._transport: asyncio.Transport
        self._response: UpstreamResponse | None = None
        self._received = False
        self._unread = 0
        self._reading_paused = self._writing_paused = False
        self._sender: asyncio.Task[object] | None = None
        self._unsent = self._interrupted = False
        self._deadline = self._response_deadline = self._armed = inf
        self._timer: asyncio.TimerHandle | None = None

    def belong(self, owner: Owner) -> None:
        """From now on the owner is told what happens."""
        self._owner = owner

    @property
    def replaceable(self) -> bool:
        """No byte of a response came, and an earlier request went well: the origin closed just as we sent."""
        return self.used and not self._received

    # One exchange

    async def exchange(
        self,
        head: bytes,
        method: str,
        body: AsyncIterable[bytes] | None,
        chunked: bool,
        response_timeout: float,
        interim: Interim | None,
    ) -> UpstreamResponse:
        """Send a request and wait for the head of its response; see `Pool.send`."""
        self._parser.expect(method, interim)
        self._received = False
        self._unread = 0
        self._response = response = UpstreamResponse(self)
        try:
            self._transport.write(head)
            if body is not None:
                await self._send(response, body, chunked)
            if response.status == 0:
                self._response_deadline = self._clock() + response_timeout
                self._limit(self._response_deadline)
                while response.status == 0:
                    await response.event()
        except BaseException:
            self.abort()
            raise
        return response

    def begin(self, head: bytes, method: str, response_timeout: float, interim: Interim | None, told: Told) -> None:
        """Send a request without a body; `told` is called when the head of its response has arrived, or can't."""
        self._parser.expect(method, interim)
        self._received = False
        self._unread = 0
        self._response = UpstreamResponse(self, told)
        self._transport.write(head)
        self._response_deadline = self._clock() + response_timeout
        self._limit(self._response_deadline)

    async def _send(self, response: UpstreamResponse, body: AsyncIterable[bytes], chunked: bool) -> None:
        """Write the body until its end or until a response is there, whichever comes first (RFC 9112 §9.5).

        The body is read in the caller's task. The response interrupts it by cancelling that task, and the
        cancellation is taken back here, as `asyncio.timeout` does: no second task.
        """
        self._sender = sender = cast("asyncio.Task[object]", asyncio.current_task())
        self._unsent = True
        self._interrupted = False
        self._response_deadline = inf
        self._limit(inf)  # how long the client may take is not ours to say
        cancelling = sender.cancelling()
        try:
            async for piece in body:
                await self._write(response, piece, chunked)
                if self._response is not response or response.status:
                    return
            if chunked:
                self._transport.write(b"0\r\n\r\n")
            self._unsent = False
        except asyncio.CancelledError:
            if not self._interrupted or sender.cancelling() > cancelling + 1:
                raise
        finally:
            self._sender = None
            if self._interrupted:
                sender.uncancel()

    async def _write(self, response: UpstreamResponse, piece: bytes, chunked: bool) -> None:
        if chunked and piece:  # an empty chunk would end the body
            self._transport.writelines((b"%x\r\n" % len(piece), piece, b"\r\n"))
        else:
            self._transport.write(piece)
        while self._writing_paused and self._response is response and not response.status:
            self._limit(self._clock() + self._idle_timeout)
            await response.progress()
            self._limit(inf)

    async def switch(self, head: bytes, response_timeout: float, interim: Interim | None) -> UpstreamResponse:
        """As `exchange`, with a GET that asks for another protocol: after a 101, `detach` gives the transport."""
        self._parser.may_switch = True
        try:
            return await self.exchange(head, "GET", None, False, response_timeout, interim)
        except BaseException:
            self._transport.abort()  # also when it was detached in the moment before
            raise

    @property
    def has_switched(self) -> bool:
        """Whether the last response was a 101 that was asked for."""
        return self._parser.may_switch and self._parser.status == SWITCHING_PROTOCOLS and self._parser.complete

    def detach(self) -> asyncio.Transport:
        """Give the transport away, without reading on. Its next protocol has to call `connection_lost` here too."""
        if not self.closed:
            self.closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._armed = -inf  # no timer from here on
            self._transport.pause_reading()
        return self._transport

    @property
    def buffer(self) -> memoryview:
        """What is read into, for whoever takes the transport."""
        return self._buffer

    @property
    def idle_timeout(self) -> float:
        """Seconds of silence that are too many."""
        return self._idle_timeout

    def consumed(self) -> None:
        """The unread part of the response has been taken: read on."""
        self._unread = 0
        if self._reading_paused and not self.closed:
            self._reading_paused = False
            self._limit(self._clock() + self._idle_timeout)
            self._transport.resume_reading()

    def rest(self, seconds: float) -> None:
        """Nothing to do: close after so many seconds, or at the first byte nobody asked for."""
        self._limit(self._clock() + seconds)

    def is_fresh(self) -> bool:
        """Whether a resting connection may still be used."""
        return not self.closed and self._clock() < self._deadline

    @property
    def keep_alive(self) -> int | None:
        """Seconds the origin said it keeps the connection, None when it said nothing."""
        return self._parser.keep_alive

    def abort(self) -> None:
        """End the connection at once; what was not sent is dropped. May be called again."""
        self._end(Truncated("closed here"))

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=BUFFER_SIZE)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the event loop."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the event loop with the number of bytes read."""
        response = self._response
        if response is None:
            self.abort()  # nothing was asked: what was sent must not answer the next request
            return
        self._received = True
        parser = self._parser
        try:
            parser.feed(self._buffer[:nbytes])
        except ResponseInvalid as error:
            self._end(error)
            return
        if parser.head_complete and not response.status:
            response.begin(parser)
            self._interrupt(response)
        if parser.complete:
            self._finish()
            return
        self._limit(self._clock() + self._idle_timeout if parser.begun else self._response_deadline)
        if parser.pieces:
            self._hold_back(nbytes)
        if response.status:
            response.wake()

    def eof_received(self) -> bool:
        """Called by the event loop when the origin closes without a reset."""
        if self._response is not None and self._is_closed_on_purpose() and self._parser.end():
            self._finish()
        self._end(self._broken_off())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._end(self._broken_off())
        if self._owner is not None:
            self._owner.lost(self)

    def pause_writing(self) -> None:
        """Called by the event loop when more than `BUFFER_SIZE` waits to be sent."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self._writing_paused = False
        if self._response is not None:
            self._response.wake()

    # Ends and limits

    def _finish(self) -> None:
        """The response is whole."""
        response = cast("UpstreamResponse", self._response)
        self._response = None
        response.end(None)
        self.used = True
        in_step = self._parser.persistent and not (self._unsent or self._reading_paused or self.closed)
        if in_step and self._owner is not None:
            self._owner.released(self)
        else:
            self.abort()

    def _is_closed_on_purpose(self) -> bool:
        """Anybody on the way can send a TCP FIN; over TLS only a close_notify ends a body (RFC 9112 §9.8)."""
        tls: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return tls.read(1) == b""
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False  # more was to come

    def _broken_off(self) -> Exception:
        if self._parser.head_complete:
            return Truncated("the origin closed the connection inside the body")
        if self._parser.begun:
            return ResponseInvalid("the origin closed the connection inside the head")
        return Disconnected("the origin closed the connection before a response")

    def _end(self, failure: Exception) -> None:
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._armed = -inf  # no timer from here on
        self._transport.abort()
        response = self._response
        if response is None:
            return
        self._response = None
        if response.status and not isinstance(failure, Truncated):
            failure = Truncated(str(failure))
        response.end(failure)
        self._interrupt(response)

    def _interrupt(self, response: UpstreamResponse) -> None:
        """Stop the task that reads the request's body, unless it waits for us: then it will look by itself."""
        if self._sender is not None and not self._interrupted and not response.awaited:
            self._interrupted = True
            self._sender.cancel()

    def _hold_back(self, received: int) -> None:
        self._unread += received
        if self._unread > BUFFER_SIZE and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
            self._limit(inf)  # a slow client is not a silent origin

    def _limit(self, deadline: float) -> None:
        self._deadline = deadline
        if deadline < self._armed:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = self._deadline
        # Never 0: uvloop's timers are whole milliseconds, and may fire a little early.
        self._timer = self.loop.call_later(max(self._deadline - self._clock(), 0.001), self._expire)

    def _expire(self) -> None:
        self._timer, self._armed = None, inf
        if self._clock() < self._deadline:
            if self._deadline < inf:
                self._arm()
        elif self._parser.head_complete:
            self._end(IdleTimeout("the origin fell silent inside the body"))
        else:
            self._end(ResponseTimeout("the origin did not answer in time"))
