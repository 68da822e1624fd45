"""A request body as it arrives from the client: decoded, counted, limited, asked for only when it is wanted, and never
more of it in memory than a reader keeps up with (RFC 9112 §6, §7). It does no input or output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from httptools import HttpParserError, HttpRequestParser

from gateway import errors
from gateway.errors import GatewayError
from gateway.http.inline_task import Wakeup
from gateway.http.message import Fields

UNREAD: Final = 4 * 1024
"""How many bytes may wait to be read before the client is made to wait too.

Little, for the event loop reads up to 256 KB at once: with these, that is all a body ever takes.
"""

_OVERHEAD: Final = 64 * 1024
_END: Final = b"\r\n\r\n"


class Source(Protocol):
    """Where a body comes from."""

    def read_on(self) -> None:
        """All that has arrived has been read, and more is wanted."""
        ...


class RequestBody:
    """Implements `message.Body`. `length` is what was announced, None for a chunked body.

    `ask` sends the 100 response (RFC 9110 §10.1.1) and is None when the client does not wait for one.
    """

    __slots__ = (
        "_arrived",
        "_ask",
        "_failure",
        "_is_discarded",
        "_limit",
        "_pieces",
        "_source",
        "_taken",
        "_wakeup",
        "is_whole",
        "length",
        "received",
        "unread",
        "waits_since",
    )

    def __init__(self, source: Source, length: int | None, *, ask: Callable[[], None] | None = None) -> None:
        self._source = source
        self._arrived = 0
        self._ask = ask
        self._limit = 0
        self._taken = 0
        self._pieces: list[bytes] = []
        self._wakeup: Wakeup | None = None
        self._failure: GatewayError | None = None
        self._is_discarded = False
        self.length = length
        self.received = 0
        self.unread = 0
        """Bytes that wait to be read, and those of the last piece, until its reader comes for the next one."""
        self.is_whole = False
        """Whether the client has sent all of it."""
        self.waits_since: float | None = None
        """Since when the reader waits for the next byte, by the clock of whoever looks after the time."""

    @property
    def left(self) -> int:
        """How many of the bytes that were announced are still to come; 0 where none were."""
        return self.length - self._arrived if self.length is not None else 0

    @property
    def is_withheld(self) -> bool:
        """Whether the client still waits for a 100 and has sent nothing."""
        return self._ask is not None

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for its next piece."""
        return self._wakeup is not None

    # --- reading -----------------------------------------------------------------------------------------------

    def limit(self, size: int) -> None:
        """Refuse what is longer than `size` bytes, at once where the length was announced; 0 lifts the limit."""
        self._limit = size
        if size and self.length is not None and self.length > size:
            raise GatewayError(errors.BODY_TOO_LARGE, f"{self.length} bytes announced, at most {size} allowed")

    def __aiter__(self) -> RequestBody:
        return self

    async def __anext__(self) -> bytes:
        if self._ask is not None:
            ask, self._ask = self._ask, None
            ask()
        self.unread -= self._taken
        self._taken = 0
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self.is_whole:
                raise StopAsyncIteration
            self._source.read_on()
            await self._more()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._taken = len(piece)
        self.received += len(piece)
        if self._limit and self.received > self._limit:
            raise GatewayError(errors.BODY_TOO_LARGE, f"more than {self._limit} bytes")
        return piece

    async def _more(self) -> None:
        self._wakeup = wakeup = Wakeup()
        try:
            await wakeup
        finally:
            self._wakeup = None
            self.waits_since = None

    # --- arriving ----------------------------------------------------------------------------------------------

    def feed(self, piece: bytes, *, is_last: bool = False) -> None:
        """The next bytes; `is_last` says that there are no more."""
        self._ask = None  # it did not wait for us
        self._arrived += len(piece)
        self.is_whole = is_last
        if piece and not self._is_discarded:
            self._pieces.append(piece)
            self.unread += len(piece)
        self._wake()

    def fail(self, failure: GatewayError) -> None:
        """It can't be read any further."""
        self._failure = failure
        self._wake()

    def fail_if_silent(self, now: float, limit: float) -> None:
        """Give it up when its reader has waited for more than `limit` seconds; call it every now and then."""
        if self.waits_since is None:
            self.waits_since = now
        elif now - self.waits_since > limit:
            self.fail(GatewayError(errors.REQUEST_TIMEOUT, f"no byte of the body for {limit:g} s"))

    def discard(self) -> None:
        """Nobody reads the rest."""
        self._is_discarded = True
        self._pieces.clear()
        self.unread = self._taken = 0

    def _wake(self) -> None:
        if self._wakeup is not None:
            self._wakeup.wake()

    def __repr__(self) -> str:
        return f"<RequestBody {self.received} bytes read{', whole' if self.is_whole else ''}>"


class LengthDecoder:
    """A body whose length was announced (RFC 9112 §6.2)."""

    __slots__ = ("_body", "_left")

    def __init__(self, body: RequestBody, length: int) -> None:
        self._body = body
        self._left = length

    def feed(self, data: bytes) -> int:
        """Take what belongs to the body, and say how many bytes that was."""
        size = min(len(data), self._left)
        self._left -= size
        self._body.feed(data if size == len(data) else data[:size], is_last=self._left == 0)
        return size


class ChunkDecoder:
    """A chunked body: chunk extensions and trailers are dropped (RFC 9112 §7.1).

    llhttp reads it, behind a head of ours. It is fed up to one empty line at a time: so it never gets beyond the end of
    the body, where the next request begins.
    """

    __slots__ = ("_body", "_is_complete", "_llhttp", "_overhead", "_pieces", "_tail")

    def __init__(self, body: RequestBody) -> None:
        self._body = body
        self._pieces: list[bytes] = []
        self._is_complete = False
        self._overhead = 0
        self._tail = b""
        self._llhttp = HttpRequestParser(self)
        self._llhttp.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")

    def feed(self, data: bytes) -> int:
        """Take what belongs to the body, and say how many bytes that was. Raises `GatewayError` for broken framing."""
        taken = 0
        while taken < len(data) and not self._is_complete:
            end = self._next_end(data, taken)
            self._parse(data[taken:end])
            self._tail = (self._tail + data[max(taken, end - 3) : end])[-3:]
            taken = end
        pieces, self._pieces = self._pieces, []
        if pieces or self._is_complete:
            # Together: a reader that is woken for each chunk of one byte would cost a hundred times as much.
            self._body.feed(b"".join(pieces), is_last=self._is_complete)
        return taken

    def _next_end(self, data: bytes, start: int) -> int:
        """Where the next empty line ends, which may have begun in what came before; else where the data ends."""
        at = (self._tail + data[start : start + 3]).find(_END)
        if at >= 0:
            return start + at + 4 - len(self._tail)
        at = data.find(_END, start)
        return at + 4 if at >= 0 else len(data)

    def _parse(self, data: bytes) -> None:
        pieces = len(self._pieces)
        is_malformed = False
        try:
            self._llhttp.feed_data(data)
        except HttpParserError:
            is_malformed = True
        if is_malformed:
            # Out here the parser's complaint, which may quote what the client sent, does not come along.
            raise GatewayError(errors.FRAMING_INVALID, "the body's framing is malformed")
        # Neither extensions nor trailers are handed out, so without this bound they could go on for ever.
        self._overhead = self._overhead + len(data) if len(self._pieces) == pieces else 0
        if self._overhead > _OVERHEAD:
            raise GatewayError(errors.FRAMING_INVALID, "a chunk extension or the trailers are too large")

    def on_body(self, piece: bytes) -> None:
        """Called by httptools."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Called by httptools."""
        self._is_complete = True


Decoder = LengthDecoder | ChunkDecoder


def begin_body(
    source: Source, fields: Fields, ask: Callable[[], None] | None
) -> tuple[RequestBody | None, Decoder | None]:
    """The body that these fields announce, and what takes it off the wire; neither where it is empty."""
    if b"transfer-encoding" in fields:
        body = RequestBody(source, None, ask=ask)
        return body, ChunkDecoder(body)
    length = int(fields.values(b"content-length")[0])
    if length == 0:
        return None, None
    body = RequestBody(source, length, ask=ask)
    return body, LengthDecoder(body, length)
