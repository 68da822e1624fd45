"""Relays an open WebSocket between a client and an origin, frame by frame as they come (RFC 6455 §5-§7).

`websocket_side` passes the bytes on. Here is how it ends: by the close frames of the two, by the loss of one, by what
is no frame, by silence, or by whoever opened it. It knows nothing of tokens.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, Protocol

from gateway.http import websocket_frames as frames
from gateway.http.switching import Handover
from gateway.http.websocket_frames import FrameReader
from gateway.http.websocket_side import Side

_GOODBYE: Final = 10.0
"""Seconds for the answer to a close frame that was passed on."""

_CUT: Final = 2.0
"""Seconds that are left to a side after the other one is gone, or after the gateway said that it is over."""


class SwitchedConnection(Protocol):
    """A connection to an origin that speaks another protocol now."""

    @property
    def buffer(self) -> memoryview:
        """What is read into; whoever reads empties it before the next one does."""
        ...

    @property
    def idle_timeout(self) -> float:
        """Seconds of silence after which it ends."""
        ...

    def detach(self) -> asyncio.Transport:
        """Give the transport away; it is not being read."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport that was given away is gone."""
        ...


class Relay:
    """One WebSocket; a `switching.Tunnel`. `compressed` says whether permessage-deflate was agreed on, `early` is what
    the origin sent right behind its handshake, `random` makes the masks of frames of our own (RFC 6455 §5.3).
    """

    __slots__ = (
        "_client",
        "_deadline",
        "_early",
        "_handover",
        "_is_forced",
        "_loop",
        "_moved",
        "_moved_at",
        "_origin",
        "_upstream",
    )

    def __init__(
        self,
        origin: SwitchedConnection,
        early: bytes,
        *,
        compressed: bool,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._origin = origin
        self._early = early
        client_frames = FrameReader(masked=True, compressed=compressed)
        self._client = Side(self, origin.buffer, client_frames, None)
        self._upstream = Side(self, origin.buffer, FrameReader(masked=False, compressed=compressed), random)
        self._client.other, self._upstream.other = self._upstream, self._client
        self._loop = asyncio.get_running_loop()
        self._deadline: float | None = None
        self._is_forced = False
        self._moved, self._moved_at = 0, 0.0
        self._handover: Handover | None = None
        """None until it has begun."""

    @property
    def is_idle(self) -> bool:
        """Always: nothing is under way that would end by itself."""
        return True

    @property
    def received(self) -> int:
        """Bytes that went from the client to the origin."""
        return self._client.passed

    @property
    def sent(self) -> int:
        """Bytes that went from the origin to the client."""
        return self._upstream.passed

    def begin(self, client: Handover) -> None:
        """Take the client's connection over."""
        self._handover = client
        self._moved_at = self._loop.time()
        self._upstream.attach(self._origin.detach())
        self._client.attach(client.transport)
        self._client.is_blocked |= client.is_blocked
        self._upstream.take(self._early)
        self._client.take(client.early)
        self._early = b""
        self._client.read_on()
        self._upstream.read_on()

    def end(self, code: int, reason: str = "") -> None:
        """Close it: the client is told the code and the reason, the origin that the client goes away."""
        self._limit(_CUT, is_forced=True)
        self._client.say(code, reason)
        self._upstream.say(frames.GOING_AWAY, hangs_up=True)

    def close(self) -> None:
        """The gateway shuts down (RFC 6455 §7.4.1)."""
        self.end(frames.GOING_AWAY)

    def abort(self) -> None:
        """Cut both connections off."""
        if self._handover is None:
            self._origin.detach().abort()
            return
        self._client.transport.abort()
        self._upstream.transport.abort()

    def end_if_late(self, now: float) -> None:
        """Called by the server's sweep: end what hangs, and what has been silent for too long."""
        if (moved := self.received + self.sent) != self._moved:
            self._moved, self._moved_at = moved, now
        if self._is_overdue(now) or self._is_stuck(now):
            self.abort()
        elif self._deadline is None and now - self._moved_at > self._origin.idle_timeout:
            self.end(frames.GOING_AWAY)

    def _is_overdue(self, now: float) -> bool:
        if self._deadline is None or now <= self._deadline:
            return False
        return self._is_forced or not any(side.is_sending for side in (self._client, self._upstream))

    def _is_stuck(self, now: float) -> bool:
        assert self._handover is not None
        by_client, by_upstream = self._handover.patience, self._origin.idle_timeout
        return self._client.is_stuck(now, by_client) or self._upstream.is_stuck(now, by_upstream)

    def _limit(self, seconds: float, *, is_forced: bool = False) -> None:
        """It ends by itself from here on, or is ended then; when not forced, only once everything has been sent."""
        deadline = self._loop.time() + seconds
        self._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        self._is_forced = self._is_forced or is_forced

    # --- what the sides tell -----------------------------------------------------------------------------------

    def heard_last(self, side: Side) -> None:
        """Nothing more will pass from this side: it sent its close frame, or what is no frame."""
        violation = side.frames.violation
        if violation is None:
            self._limit(_GOODBYE)
        else:
            self._limit(_CUT)
            side.say(violation.code, hangs_up=True)
            side.other.say(self._loss_of(side), hangs_up=side is self._client)
        self.settle()

    def gone(self, side: Side) -> None:
        """A side has ended its connection, with or without a close frame."""
        self._limit(_CUT)
        side.other.say(self._loss_of(side), hangs_up=side is self._client)

    def settle(self) -> None:
        """Close what has said goodbye both ways. The server closes first (RFC 6455 §7.1.1): that is us to the client,
        and the origin to us.
        """
        if self._client.is_told and self._client.has_said_goodbye:
            self._client.transport.close()
        if self._upstream.is_told and self._upstream.has_said_goodbye:
            self._limit(_CUT)

    def closed(self, side: Side, exc: Exception | None) -> None:
        """The connection of a side is gone."""
        if side is self._upstream:
            self._origin.connection_lost(exc)
        if self._client.is_closed and self._upstream.is_closed:
            assert self._handover is not None
            self._handover.upon_end()

    def _loss_of(self, side: Side) -> int:
        """What the other one is told (RFC 6455 §7.4.1)."""
        return frames.GOING_AWAY if side is self._client else frames.INTERNAL_ERROR

    def __repr__(self) -> str:
        return f"<Relay {self.received} bytes there, {self.sent} back>"
