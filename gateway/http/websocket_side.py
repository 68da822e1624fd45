"""One of the two connections of a WebSocket that is relayed: what is read here goes to the other one, unchanged, never
faster than that reads, and only while it is legal (RFC 6455 §5). Nothing is collected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from gateway.http.websocket_frames import FrameReader, close_frame

_UNSENT: Final = 32 * 1024
"""How many bytes may wait to be sent before the other side is made to wait too; with what is read at once less than
100 KiB in each direction."""


class Ending(Protocol):
    """What becomes of the two is decided by somebody else."""

    def heard_last(self, side: Side) -> None:
        """Nothing more will pass from this side: it sent its close frame, or what is no frame."""
        ...

    def gone(self, side: Side) -> None:
        """A side has ended its connection, with or without a close frame."""
        ...

    def settle(self) -> None:
        """A side has been sent a close frame."""
        ...

    def closed(self, side: Side, exc: Exception | None) -> None:
        """The connection of a side is gone."""
        ...


class Side(asyncio.BufferedProtocol):
    """The connection to one of the two. `frames` follows what comes from it; `random` is there when it is a server, to
    which frames of our own must be masked.
    """

    __slots__ = (
        "_buffer",
        "_due",
        "_has_ended",
        "_is_gone",
        "_random",
        "_relay",
        "_unsent",
        "_unsent_at",
        "frames",
        "is_blocked",
        "is_closed",
        "is_told",
        "other",
        "passed",
        "transport",
    )

    transport: asyncio.Transport
    other: Side

    def __init__(
        self, relay: Ending, buffer: memoryview, reader: FrameReader, random: Callable[[int], bytes] | None
    ) -> None:
        self._relay = relay
        self._buffer = buffer
        self._random = random
        self._due: tuple[bytes, bool] | None = None
        self._has_ended = self._is_gone = False
        self._unsent, self._unsent_at = -1, 0.0
        self.frames = reader
        self.passed = 0
        """Bytes that came from here and were passed on."""
        self.is_blocked = False
        """It reads more slowly than we write."""
        self.is_told = False
        """A close frame went there, or none can any more: nothing else may follow."""
        self.is_closed = False

    @property
    def has_said_goodbye(self) -> bool:
        """Whether its close frame has come."""
        return self.frames.close_code is not None

    @property
    def is_sending(self) -> bool:
        """Whether bytes wait to be sent there."""
        return not self.is_closed and self.transport.get_write_buffer_size() > 0

    def attach(self, transport: asyncio.Transport) -> None:
        """Take a connection over; it is not read until `read_on`."""
        self.transport = transport
        if transport.is_reading():
            transport.pause_reading()  # uvloop looks at a protocol's kind when it begins to read
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=_UNSENT)

    # --- what the event loop calls -----------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the event loop."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the event loop with the number of bytes read."""
        self.take(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        """Called by the event loop when the peer has sent everything. Who sent a close frame still gets the answer."""
        if self._random is None and self.has_said_goodbye and not self.is_told and self.transport.can_write_eof():
            return True
        self._gone()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self.is_closed = True
        self._gone()
        self._relay.closed(self, exc)

    def pause_writing(self) -> None:
        """Called by the event loop when the peer reads more slowly than we write."""
        self.is_blocked = True
        self._unsent = -1
        self.other.wait()

    def resume_writing(self) -> None:
        """Called by the event loop when the peer has read on."""
        self.is_blocked = False
        self.other.read_on()

    # --- what comes from here ----------------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """Pass on what may be passed on."""
        reader, other = self.frames, self.other
        if not data or self._has_ended:
            return
        left = reader.left
        passed = reader.feed(data)
        if other._due is not None:
            passed = passed[:left]  # to the end of the frame that is under way
        if not other.is_told and passed:
            self.passed += len(passed)
            other.transport.write(passed)
        if other._due is not None and len(passed) == left:
            other._say_now(*other._due)
        if reader.has_ended:
            self._has_ended = True
            if reader.close_code is not None:
                other.is_told = True
            self._relay.heard_last(self)

    def wait(self) -> None:
        """Read no more until `read_on`: the other one is too slow. Unless nothing goes there any more."""
        if not self.other.is_told and self.transport.is_reading() and not self.transport.is_closing():
            self.transport.pause_reading()

    def read_on(self) -> None:
        """Read, unless the other one is too slow for what would come."""
        if (self.other.is_blocked and not self.other.is_told) or self.transport.is_closing():
            return
        if not self.transport.is_reading():
            self.transport.resume_reading()

    def _gone(self) -> None:
        if not self._is_gone:
            self._is_gone = self.is_told = True
            self._relay.gone(self)
            self.other.read_on()

    # --- what goes there ---------------------------------------------------------------------------------------

    def say(self, code: int, reason: str = "", *, hangs_up: bool = False) -> None:
        """Send a close frame of our own, as soon as the frame that is under way has ended. `hangs_up`: and end our
        half of the connection, as no answer is worth waiting for.
        """
        if self.is_told:
            return
        frame = close_frame(code, reason, mask=None if self._random is None else self._random(4))
        if self.other.frames.left == 0:
            self._say_now(frame, hangs_up)
        elif self.other._is_gone:
            self.is_told = True
            self.transport.close()  # inside a frame that will never end
        elif self._due is None:
            self._due = (frame, hangs_up)

    def _say_now(self, frame: bytes, hangs_up: bool) -> None:
        self._due = None
        self.is_told = True
        self.transport.write(frame)
        if hangs_up and self.transport.can_write_eof():
            self.transport.write_eof()
        elif hangs_up:
            self.transport.close()
        self.other.read_on()
        self._relay.settle()

    def is_stuck(self, now: float, limit: float) -> bool:
        """Whether it has taken nothing of what waits to be sent for so many seconds."""
        if not self.is_blocked or self.is_closed:
            return False
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._unsent_at = unsent, now
        return now - self._unsent_at > limit
