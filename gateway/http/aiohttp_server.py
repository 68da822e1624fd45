"""Listens for HTTP/1.1 on aiohttp's low-level server and hands each request to a `Handler` (RFC 9112).

aiohttp reads and frames the messages. What it does that a gateway must not is caught here: its error pages (they quote
what the client sent), `100 Continue` before the decision, decompression, one status for every overflow, and heads that
arrive too slowly. Knows nothing of OAuth.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

from aiohttp import http_parser, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.aiohttp_body import AiohttpBody
from gateway.http.aiohttp_reply import Line, Reply
from gateway.http.aiohttp_switching import SwitchingReply
from gateway.http.framing import HeadLimits, expects_continue
from gateway.http.host import address_of
from gateway.http.message import Field, Fields, Handler, Request, Response
from gateway.http.response_head import CONTINUE, interim_head, response_head
from gateway.http.server_limits import ServerLimits
from gateway.http.switching import SWITCHING_PROTOCOLS, Switching, Tunnel

logger = logging.getLogger(__name__)

# Half of the 256 KiB a request may hold: aiohttp's reader stops at twice its buffer size, so 64 KiB each way.
_READ_BUFFER = 2**15
_WRITE_BUFFER = 2**16
# How long the rest of a refused body is read and dropped, so that the client gets to see the refusal (RFC 9112 §9.6).
_LINGER = 2.0
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class StrictParserMissing(Exception):
    """aiohttp has no compiled parser here, and the one in Python reads some heads more leniently."""


class AiohttpServer(web.Server):
    """Makes a `Connection` for each client. Pass it to `loop.create_server` as the protocol factory.

    `tunnels` takes the WebSockets that open, for others to close.

    Raises `StrictParserMissing` rather than reading requests less strictly than promised.
    """

    def __init__(
        self, handler: Handler, limits: ServerLimits, *, scheme: str = "http", tunnels: set[Tunnel] | None = None
    ) -> None:
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            raise StrictParserMissing("aiohttp was installed without its compiled parser; install its wheel instead")
        super().__init__(_answer, handler_cancellation=True)
        self.handler = handler
        self.limits = limits
        self.scheme = scheme
        self.is_draining = False
        self.background: set[asyncio.Task[None]] = set()
        self.tunnels: set[Tunnel] = set() if tunnels is None else tunnels
        self._sweep: asyncio.TimerHandle | None = None
        self._period = max(0.05, min(1.0, limits.request_head / 4))

    def __call__(self) -> Connection:
        """A connection for a new client; the event loop calls this."""
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._period, self._close_late_ones)
        return Connection(self)

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def drain(self) -> None:
        """Close idle connections and WebSockets; the busy ones close with their current response (RFC 9112 §9.6)."""
        self.is_draining = True
        for connection in self.connections:
            if isinstance(connection, Connection) and connection.is_idle:
                connection.close()
                connection.end()
        for tunnel in list(self.tunnels):
            tunnel.close()

    async def wait_closed(self, timeout: float) -> None:
        """Wait until every connection is gone, at most `timeout` seconds, then cut the rest off."""
        deadline = asyncio.get_running_loop().time() + timeout
        while self._connections and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - aiohttp's own set
            await asyncio.sleep(0.02)
        await self.shutdown(0)
        if self._sweep is not None:
            self._sweep.cancel()

    def _close_late_ones(self) -> None:
        """One sweep over all connections instead of a timer for each request."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in self.connections:
            if isinstance(connection, Connection):
                connection.close_if_late(now)
        self._sweep = loop.call_later(self._period, self._close_late_ones)


class Connection(RequestHandler):
    """One client's connection: times its heads, reads requests one after the other, writes the replies."""

    __slots__ = ("_body_reader", "_head_bytes", "_head_since", "_served", "_server", "peer")

    def __init__(self, server: AiohttpServer) -> None:
        head = server.limits.head
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=server.limits.idle,
            access_log=None,  # type: ignore[arg-type]  # aiohttp tests it for truth: none is right
            auto_decompress=False,
            # One more than allowed: `check_head` refuses the rest with the right status. The two sizes must differ,
            # for they are how a parser's overflow is told apart.
            max_line_size=head.target + 1,
            max_field_size=max(head.head, head.target + 2) + 1,
            max_headers=head.fields + 1,
            lingering_time=_LINGER,
            read_bufsize=_READ_BUFFER,
        )
        self._server = server
        self._served = 0
        self._head_bytes = 0
        self._head_since: float | None = None
        self._body_reader: Any = None
        self.peer = ""

    # --- what the event loop calls -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop: a client is there."""
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self.peer = address_of(self.transport.get_extra_info("peername"))
        self._head_since = self._loop.time()
        if self._server.is_draining:
            # It came through the listener's backlog while that was being closed.
            self._refuse_now(GatewayError(errors.DRAINING, "the gateway is shutting down", retry_after=1))
        elif self._server.open_connections > self._server.limits.connections:
            self._refuse_now(GatewayError(errors.OVERLOADED, "limits.connections is reached", retry_after=1))

    def data_received(self, data: bytes) -> None:
        """Called by the event loop: the client sent something."""
        before = self._request_count
        try:
            super().data_received(data)
        except Exception:  # whatever the parser trips over, it was the client's bytes
            logger.debug("unreadable head", exc_info=False)
            self._refuse_now(GatewayError(errors.FRAMING_INVALID, "the head can't be read"))
            return
        if self._request_count != before:
            self._heads_completed()
        elif data and not self._is_reading_body():
            self._head_continues(len(data))

    def _heads_completed(self) -> None:
        self._head_since = None
        self._head_bytes = 0
        message, payload = self._messages[-1]
        if self._body_reader is not None and not self._body_reader.is_eof() and not hasattr(message, "raw_headers"):
            # The parser gave up inside a body and tells nobody: its reader would wait for ever.
            self._body_reader.set_exception(web.RequestPayloadError("malformed body"))
            self._body_reader.feed_eof()
        self._body_reader = payload

    def _is_reading_body(self) -> bool:
        return self._body_reader is not None and not self._body_reader.is_eof()

    def _head_continues(self, size: int) -> None:
        if self._head_since is None:
            self._head_since = self._loop.time()
        self._head_bytes += size
        limits = self._server.limits.head
        if self._head_bytes > limits.head + limits.target:
            self._refuse_now(GatewayError(errors.HEAD_TOO_LARGE, f"more than {limits.head} bytes"))

    # --- lateness ----------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""
        return not self._request_in_progress and not self._messages

    def close_if_late(self, now: float) -> None:
        """Refuse a head that takes too long (408). Idle connections are ended by aiohttp's own keep-alive timer."""
        limit = self._server.limits.request_head
        if not self.is_idle or self._head_since is None or now - self._head_since <= limit:
            return
        if self._head_bytes:
            self._refuse_now(GatewayError(errors.REQUEST_TIMEOUT, f"no whole head in {limit:g} s"))
        else:
            self.end()

    # --- requests and replies ----------------------------------------------------------------------------------

    def _make_error_handler(self, err_info: Any) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        defect = _defect(err_info.exc, self._server.limits.head)

        async def refuse(base: web.BaseRequest) -> web.StreamResponse:
            return await self.answer(base, defect)

        return refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A fault of our own: aiohttp's page is never shown, nor the request's bytes logged."""
        logger.error("unhandled error in the handler", exc_info=exc)
        reason = errors.INTERNAL
        return Reply(Response(reason.status, closes=True), request, self, keep_alive=False)

    async def answer(self, base: web.BaseRequest, defect: GatewayError | None = None) -> web.StreamResponse:
        """Let the handler answer one request, or one head that turned out to be none."""
        self._served += 1
        request = self._read(base, defect)
        response = await self._server.handler(request)
        if response.status == SWITCHING_PROTOCOLS:
            server = self._server
            return SwitchingReply(cast("Switching", response), base, server.tunnels, server.limits.request_body)
        return Reply(response, base, self, keep_alive=base.keep_alive and self._may_go_on(request))

    def _may_go_on(self, request: Request) -> bool:
        limit = self._server.limits.requests_per_connection
        if self._server.is_draining or (limit and self._served >= limit):
            return False
        # A client that was never asked for its body may send it or not: what follows can't be told apart.
        return request.defect is None and not (isinstance(request.body, AiohttpBody) and request.body.is_withheld)

    def _read(self, base: web.BaseRequest, defect: GatewayError | None) -> Request:
        if defect is not None:
            return Request("", "", Fields(()), peer=self.peer, scheme=self._server.scheme, defect=defect)
        return read_request(base, self, self.peer, self._server.scheme, self._server.limits.request_body)

    # --- writing -----------------------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the client is slower than we are. Raises ConnectionError when it is gone."""
        if self.transport is None:
            raise ConnectionResetError("the client is gone")
        self.transport.write(data)
        if self._paused:
            await self._drained()

    async def _drained(self) -> None:
        """Wait until the client reads on. One that stalls would hold its upstream connection for ever."""
        try:
            async with asyncio.timeout(self._server.limits.request_body):
                await self._drain_helper()
        except TimeoutError:
            self.abort()
            raise ConnectionResetError("the client does not read") from None

    def end(self) -> None:
        """Close after what has been written is sent."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Reset the connection, so that what was sent can't be taken for a whole response."""
        if self.transport is not None:
            # Without this the kernel ends a connection that was sent everything with a FIN, which means "complete".
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            self.transport.abort()

    def write_interim(self, head: bytes) -> None:
        """Send a 1xx response without waiting."""
        if self.transport is not None:
            self.transport.write(head)

    def _refuse_now(self, defect: GatewayError) -> None:
        """Answer outside the order of requests, and close: there is no request that could be answered in order."""
        if self._force_close or not self.is_idle:
            self.close()
            return
        self._force_close = True
        self._head_since = None
        task = self._loop.create_task(self._refuse_and_close(defect))
        self._server.background.add(task)
        task.add_done_callback(self._server.background.discard)

    async def _refuse_and_close(self, defect: GatewayError) -> None:
        request = Request("", "", Fields(()), peer=self.peer, scheme=self._server.scheme, defect=defect)
        response = await self._server.handler(request)
        if self.transport is not None:
            self.transport.write(response_head(response, http10=False, close=True, bodiless=False) + response.body)
        if response.upon_end is not None:
            response.upon_end(len(response.body), self.transport is not None)
        self.force_close()


def read_request(base: web.BaseRequest, line: Line, peer: str, scheme: str, silence: float) -> Request:
    """A `Request` from aiohttp's; its body stays on the wire. `silence` is the body's longest pause in seconds."""
    version = (base.version.major, base.version.minor)
    fields = Fields(base.raw_headers)
    target = base.raw_path
    if not target.isascii():
        target = target.encode("utf-8", "surrogateescape").decode("latin-1")
    body = None
    if base.can_read_body:
        lengths = fields.values(b"content-length")
        ask = partial(line.write_interim, CONTINUE) if expects_continue(fields, version) else None
        body = AiohttpBody(base.content, int(lengths[0]) if lengths else None, silence=silence, ask=ask)
    return Request(
        base.method,
        target,
        fields,
        body=body,
        peer=peer,
        scheme=scheme,
        version=version,
        # RFC 9110 §15.2: no 1xx to an HTTP/1.0 client.
        interim=partial(_pass_interim, line) if version == (1, 1) else None,
    )


def _pass_interim(line: Line, status: int, fields: Sequence[Field]) -> None:
    line.write_interim(interim_head(status, fields))


async def _answer(base: web.BaseRequest) -> web.StreamResponse:
    connection = base.protocol
    assert isinstance(connection, Connection)
    return await connection.answer(base)


def _defect(problem: BaseException, limits: HeadLimits) -> GatewayError:
    """What a parser's complaint means to the client. Its text quotes the request and goes nowhere."""
    if isinstance(problem, LineTooLong):
        if problem.args[1] == limits.target + 1:
            return GatewayError(errors.TARGET_TOO_LONG, f"more than {limits.target} bytes")
        return GatewayError(errors.HEAD_TOO_LARGE, f"more than {limits.head} bytes")
    if not isinstance(problem, HttpProcessingError):
        return GatewayError(errors.FRAMING_INVALID, "the head can't be read")
    complaint = problem.message.split(":", 1)[0]
    if complaint == "Too many headers received":
        return GatewayError(errors.HEAD_TOO_LARGE, f"more than {limits.fields} fields")
    if complaint.startswith("Missing 'Host'") or complaint == "Duplicate 'Host' header found.":
        return GatewayError(errors.HOST_INVALID, "not exactly one Host")
    if complaint == "Bad status line" and problem.message.startswith("Bad status line:\n  Invalid HTTP version"):
        return GatewayError(errors.VERSION_UNSUPPORTED, "not HTTP/1.0 or HTTP/1.1")
    if complaint == "Request has invalid `Transfer-Encoding`":
        return GatewayError(errors.NOT_IMPLEMENTED, "a transfer coding other than exactly `chunked`")
    return GatewayError(errors.FRAMING_INVALID, complaint)
