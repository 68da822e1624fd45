"""Writes responses to one client, never faster than it reads (RFC 9112 §6, §7.1, §8). Knows nothing of requests."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

from gateway.http.inline_task import Wakeup
from gateway.http.message import Response, Stream, Truncated
from gateway.http.response_head import response_head

_UNSENT: Final = 64 * 1024
"""How many bytes may wait to be sent before the upstream is made to wait too."""
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)


class ResponseWriter:
    """One client's side of a connection that is written to.

    `sent` counts the body bytes of the response that was begun last. `paused_since` is the moment, by the clock of the
    event loop, since which the client has been reading too slowly; None while it keeps up.
    """

    __slots__ = ("_transport", "_wakeup", "paused_since", "sent")

    def __init__(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=_UNSENT)
        self._transport = transport
        self._wakeup: Wakeup | None = None
        self.paused_since: float | None = None
        self.sent = 0

    def send(self, response: Response, *, is_bodiless: bool, is_http10: bool, closes: bool) -> None:
        """Send the response, but for a body that is still arriving: `send_stream`."""
        head = response_head(response, http10=is_http10, close=closes, bodiless=is_bodiless)
        body = b"" if is_bodiless else response.body
        # One write: a small response goes out in one packet.
        self._transport.write(head + body)
        self.sent = len(body)

    async def send_stream(self, stream: Stream, *, is_chunked: bool) -> None:
        """Send a body as it arrives. Raises `Truncated` when it breaks off."""
        write = self._transport.write
        while piece := await stream.read():
            write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            self.sent += len(piece)
            if self.paused_since is not None:
                await self._drained()
        if is_chunked:
            write(b"0\r\n\r\n")

    async def _drained(self) -> None:
        while self.paused_since is not None:
            self._wakeup = Wakeup()
            await self._wakeup
        if self._transport.is_closing():
            raise Truncated("the client is gone")

    def pause(self, now: float) -> None:
        """The client reads more slowly than we write."""
        self.paused_since = now

    def resume(self) -> None:
        """The client has read on, or is gone."""
        self.paused_since = None
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None:
            wakeup.wake()

    def reset(self) -> None:
        """Break off so that what was sent can't be taken for a whole response: with a reset (RFC 9112 §8).

        A body that ends with the connection ends cleanly with a FIN, and the kernel sends one when all is written.
        """
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._transport.abort()
