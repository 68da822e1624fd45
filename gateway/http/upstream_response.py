"""A response of an origin while it arrives: its head, then its body piece by piece (RFC 9110 §6).

It knows the connection it comes from only as something that can be waited for, told to go on, or ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.http.inline_task import Wakeup
from gateway.http.message import Field, Truncated
from gateway.http.response_parser import ResponseParser


class IdleTimeout(Truncated):
    """The origin fell silent in the middle of a body."""


class Source(Protocol):
    """The connection that a response arrives on."""

    def consumed(self) -> None:
        """What was unread has been taken."""
        ...

    def abort(self) -> None:
        """Nobody wants the rest."""
        ...


Told = Callable[["UpstreamResponse", Exception | None], None]
"""Whoever is called, once, when the head of a response has arrived, or with the failure that came instead."""


class UpstreamResponse:
    """A final response whose head has arrived; a `gateway.http.message.Stream`.

    `fields` are as received, hop-by-hop and framing included. `complete` says that everything arrived together with
    the head: then `body` is all of it and nothing needs to be read or closed. Otherwise `body` is empty: `read()`
    until it gives b"", or `close()`.
    """

    __slots__ = (
        "_connection",
        "_failure",
        "_pieces",
        "_told",
        "_upon_cut",
        "_waiter",
        "body",
        "complete",
        "fields",
        "length",
        "reason",
        "status",
    )

    status: int
    """0 until the head has arrived."""
    reason: bytes
    fields: list[Field]
    length: int | None
    """Content-Length, also where no body follows it (HEAD, 304)."""
    body: bytes
    complete: bool

    def __init__(self, connection: Source, told: Told | None = None) -> None:
        self._connection: Source | None = connection
        self._failure: Exception | None = None
        self._pieces: list[bytes] = []
        self._waiter: Wakeup | None = None
        self._told = told
        self.status = 0
        self.body = b""
        self.complete = False
        self._upon_cut: Callable[[Exception], None] | None = None

    async def read(self) -> bytes:
        """The next piece of the body, b"" at its end. Raises `Truncated`, of it `IdleTimeout`, when it breaks off."""
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._connection is None:
                return b""
            await self.progress()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._connection is not None:
            self._connection.consumed()
        return piece

    def close(self) -> None:
        """End the connection, unless the response has already arrived whole."""
        self._upon_cut = None
        if self._connection is not None:
            self._connection.abort()

    def tell_cut(self, upon_cut: Callable[[Exception], None]) -> None:
        """Have somebody called with the failure when the body breaks off, or has already; not for a `close`."""
        self._upon_cut = upon_cut
        if self._failure is not None:
            upon_cut(self._failure)

    def event(self) -> Wakeup:
        """What to await until something happens, by somebody who ends the connection when the wait is cancelled.

        Raises `ResponseTimeout`, `ResponseInvalid` or `Disconnected` when nothing will.
        """
        if self._failure is not None:
            raise self._failure
        self._waiter = waiter = Wakeup()
        return waiter

    async def progress(self) -> None:
        """Wait until something happens; a cancelled wait ends the connection."""
        connection = self._connection
        if connection is None:
            return
        self._waiter = waiter = Wakeup()
        try:
            await waiter
        except BaseException:
            self.close()
            raise

    @property
    def awaited(self) -> bool:
        """A task waits in `progress`."""
        return self._waiter is not None

    def wake(self) -> None:
        """Let the waiting task look again."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.wake()
        elif self._told is not None and (self.status or self._failure is not None):
            told, self._told = self._told, None
            told(self, self._failure if not self.status else None)

    def begin(self, parser: ResponseParser) -> None:
        """The head is there, and perhaps all the rest."""
        self.status = parser.status
        self.reason = parser.reason
        self.fields = parser.fields
        self.length = parser.length
        self._pieces = parser.pieces
        if parser.complete:
            self.complete = True
            self.body = b"".join(parser.pieces)

    def end(self, failure: Exception | None) -> None:
        """Nothing more will arrive; without a failure the response is whole."""
        self._connection = None
        self._failure = failure
        if failure is not None and self._upon_cut is not None:
            self._upon_cut(failure)
        self.wake()

    def __repr__(self) -> str:
        return f"<UpstreamResponse {self.status}>"
