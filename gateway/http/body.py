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

UNREAD: Final = 64 * 1024
"""How many bytes may wait to be read before the client is made to wait too."""

_OVERHEAD: Final = 64 * 1024
_END: Final = b"\r\n\r\n"


class Source(Protocol):
    """Where a body comes from."""

    def read_on(self) -> None:
        """What was waiting to be read has been read."""
        ...


class RequestBody:
    """Implements `message.Body`. `length` is what was announced, None for a chunked body.

    `ask` sends the 100 response (RFC 9110 §10.1.1) and is None when the client does not wait for one.
    """

    __slots__ = (
        "_ask",
        "_failure",
        "_is_discarded",
        "_limit",
        "_pieces",
        "_source",
        "_wakeup",
        "is_whole",
        "length",
        "received",
        "unread",
        "waits_since",
    )

    def __init__(self, source: Source, length: int | None, *, ask: Callable[[], None] | None = None) -> None:
        self._source = source
        self._ask = ask
        self._limit = 0
        self._pieces: list[bytes] = []
        self._wakeup: Wakeup | None = None
        self._failure: GatewayError | None = None
        self._is_discarded = False
        self.length = length
        self.received = 0
        self.unread = 0
        """Bytes that wait to be read."""
        self.is_whole = False
        """Whether the client has sent all of it."""
        self.waits_since: float | None = None
        """Since when the reader waits for the next byte, by the clock of whoever looks after the time."""

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
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self.is_whole:
                raise StopAsyncIteration
            await self._more()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.unread = 0
        self._source.read_on()
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

    def feed(self, piece: bytes) -> None:
        """The next bytes."""
        self._ask = None  # it did not wait for us
        if not self._is_discarded:
            self._pieces.append(piece)
            self.unread += len(piece)
            self._wake()

    def end(self) -> None:
        """That was all."""
        self.is_whole = True
        self._wake()

    def fail(self, failure: GatewayError) -> None:
        """It can't be read any further."""
        self._failure = failure
        self._wake()

    def discard(self) -> None:
        """Nobody reads the rest."""
        self._is_discarded = True
        self._pieces.clear()
        self.unread = 0

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
        self._body.feed(data if size == len(data) else data[:size])
        if self._left == 0:
            self._body.end()
        return size


class ChunkDecoder:
    """A chunked body: chunk extensions and trailers are dropped (RFC 9112 §7.1).

    llhttp reads it, behind a head of ours. It is fed up to one empty line at a time: so it never gets beyond the end of
    the body, where the next request begins.
    """

    __slots__ = ("_body", "_is_body", "_llhttp", "_overhead", "_tail")

    def __init__(self, body: RequestBody) -> None:
        self._body = body
        self._is_body = False
        self._overhead = 0
        self._tail = b""
        self._llhttp = HttpRequestParser(self)
        self._llhttp.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")

    def feed(self, data: bytes) -> int:
        """Take what belongs to the body, and say how many bytes that was. Raises `GatewayError` for broken framing."""
        taken = 0
        while taken < len(data) and not self._body.is_whole:
            window = self._tail + data[taken : taken + UNREAD]
            at = window.find(_END)
            size = (at + 4 if at >= 0 else len(window)) - len(self._tail)
            self._parse(data[taken : taken + size])
            self._tail = window[max(0, len(self._tail) + size - 3) : len(self._tail) + size]
            taken += size
        return taken

    def _parse(self, data: bytes) -> None:
        self._is_body = False
        try:
            self._llhttp.feed_data(data)
        except HttpParserError:
            # `from None`: the parser's message may quote what the client sent.
            raise GatewayError(errors.FRAMING_INVALID, "the body's framing is malformed") from None
        # Neither extensions nor trailers are handed out, so without this bound they could go on for ever.
        self._overhead = 0 if self._is_body else self._overhead + len(data)
        if self._overhead > _OVERHEAD:
            raise GatewayError(errors.FRAMING_INVALID, "a chunk extension or the trailers are too large")

    def on_body(self, piece: bytes) -> None:
        """Called by httptools."""
        self._is_body = True
        self._body.feed(piece)

    def on_message_complete(self) -> None:
        """Called by httptools."""
        self._body.end()
