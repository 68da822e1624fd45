"""Requests and responses as the gateway handles them: raw bytes, order and spelling kept (RFC 9110 §5, §6)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, Protocol

from gateway.errors import GatewayError

Field = tuple[bytes, bytes]

_MAX_KEPT: Final = 16


class Fields:
    """The header fields of one message: as sent in `raw`, and looked up by lower-case name.

    The same fields often come again, and a parser may then give the same object. So `kept` is a place for what follows
    from these fields alone, by the name of whoever keeps it there (`keep`), and `section` are their bytes, while a
    parser may want to know them by these.
    """

    __slots__ = ("by_name", "checked_for", "kept", "raw", "section", "size")

    def __init__(self, raw: Iterable[Field]) -> None:
        self.raw: tuple[Field, ...] = tuple(raw)
        values: dict[bytes, list[bytes]] = {}
        size = 0
        for name, value in self.raw:
            size += len(name) + len(value) + 4
            lower = name.lower()
            if lower in values:
                values[lower].append(value)
            else:
                values[lower] = [value]
        self.by_name = values
        """All values of a field, in order, by its lower-case name."""
        self.kept: dict[object, Any] = {}
        self.section: bytes | None = None
        self.checked_for: object = None
        """The limits that these fields have passed all checks for; see `framing.check_head`."""
        self.size = size
        """Bytes of all field lines as they usually stand on the wire: with a colon, a blank and a line end each."""

    def values(self, name: bytes) -> Sequence[bytes]:
        """All field lines with this lower-case name, in order; empty when there is none."""
        return self.by_name.get(name, ())

    def keep(self, name: object, value: Any) -> None:
        """Keep what follows from these fields alone. Few things have room: the last ones."""
        if len(self.kept) >= _MAX_KEPT:
            self.kept.clear()
        self.kept[name] = value

    def __contains__(self, name: bytes) -> bool:
        return name in self.by_name

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        # Names only: a value can be a credential.
        return f"<Fields {b', '.join(name for name, _ in self.raw).decode('latin-1')}>"


class Body(Protocol):
    """A request body that is still on the wire.

    Iterating reads it, piece by piece and once; the first step answers `Expect: 100-continue` (RFC 9110 §10.1.1), so
    nothing is asked of the client before the request is allowed. A body that breaks off or exceeds a limit raises
    `GatewayError`.
    """

    length: int | None
    """Content-Length in bytes, or None when the body is chunked."""
    received: int
    """Bytes read so far."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces as they arrive."""
        ...

    def limit(self, size: int) -> None:
        """Refuse with `body_too_large` what is longer than `size` bytes; 0 lifts the limit."""
        ...


class Request:
    """One request whose head has been read. `target` is the request target exactly as sent (RFC 9112 §3.2)."""

    __slots__ = ("body", "defect", "fields", "interim", "method", "peer", "scheme", "target", "version")

    def __init__(
        self,
        method: str,
        target: str,
        fields: Fields,
        body: Body | None = None,
        peer: str = "",
        scheme: str = "http",
        version: tuple[int, int] = (1, 1),
        interim: Callable[[int, Sequence[Field]], None] | None = None,
        defect: GatewayError | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body
        self.peer = peer
        self.scheme = scheme
        self.version = version
        self.interim = interim
        """Sends a 1xx response to the client, ahead of the final one (RFC 9110 §15.2)."""
        self.defect = defect
        """Why this is no request at all: what the parser or a limit found before the head was complete."""

    def __repr__(self) -> str:
        return f"<Request {self.method} from {self.peer or 'nobody'}>"


class Stream(Protocol):
    """A response body that is still arriving."""

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Raises `Truncated` when it breaks off."""
        ...

    def close(self) -> None:
        """Give the connection behind it back, or end it when the body was not read to its end."""
        ...


class Truncated(Exception):
    """A body that ended before its end (RFC 9112 §8): it must never look complete to the next reader."""


class Response:
    """One final response. `fields` hold no framing and no hop-by-hop field: the server writes those.

    `length` is the number of body bytes where it is known, None for a body without an announced length.
    """

    __slots__ = ("body", "closes", "fields", "length", "reason", "status", "stream", "upon_end")

    def __init__(
        self,
        status: int,
        fields: Sequence[Field] = (),
        body: bytes = b"",
        reason: bytes | None = None,
        stream: Stream | None = None,
        length: int | None = None,
        closes: bool = False,
        upon_end: Callable[[int, bool], None] | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = body
        self.stream = stream
        self.length = len(body) if stream is None and length is None else length
        self.closes = closes
        self.upon_end = upon_end
        """Called once, with the body bytes sent and whether the response was sent whole."""

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


Handler = Callable[[Request], Awaitable[Response]]


class Answering(Protocol):
    """The server's side of one request."""

    def respond(self, request: Request, response: Response) -> None:
        """This is the answer."""
        ...

    def run(self, request: Request, answer: Coroutine[Any, Any, Response]) -> None:
        """The answer has to be waited for."""
        ...

    def may_end_by(self, cancel: Callable[[], None]) -> None:
        """What to call should the client go away before the answer."""
        ...


Begin = Callable[[Request, Answering], None]
"""The other way to answer: at once where that is possible, else by a coroutine. For a server that has it, it is cheaper
than a `Handler`: most requests wait for their upstream alone, and need no coroutine for that."""
