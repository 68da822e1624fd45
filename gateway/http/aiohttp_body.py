"""A request body on aiohttp's reader: counted, limited, timed, and asked for only when it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway import errors
from gateway.errors import GatewayError


class AiohttpBody:
    """Implements `message.Body` over aiohttp's reader.

    `silence` is the longest time in seconds without a byte. `ask` sends the 100 response (RFC 9110 §10.1.1) and is
    None when the client does not wait for one.
    """

    __slots__ = ("_ask", "_content", "_limit", "_silence", "length", "received")

    def __init__(
        self, content: StreamReader, length: int | None, *, silence: float, ask: Callable[[], None] | None = None
    ) -> None:
        self._content = content
        self._silence = silence
        self._ask = ask
        self._limit = 0
        self.length = length
        self.received = 0

    @property
    def is_withheld(self) -> bool:
        """Whether the client still waits for a 100 and has sent nothing."""
        return self._ask is not None

    def limit(self, size: int) -> None:
        """Refuse what is longer than `size` bytes, at once where the length was announced; 0 lifts the limit."""
        self._limit = size
        if size and self.length is not None and self.length > size:
            raise GatewayError(errors.BODY_TOO_LARGE, f"{self.length} bytes announced, at most {size} allowed")

    def __aiter__(self) -> AiohttpBody:
        return self

    async def __anext__(self) -> bytes:
        if self._ask is not None:
            ask, self._ask = self._ask, None
            ask()
        piece = await self._read()
        if not piece:
            raise StopAsyncIteration
        self.received += len(piece)
        if self._limit and self.received > self._limit:
            raise GatewayError(errors.BODY_TOO_LARGE, f"more than {self._limit} bytes")
        return piece

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout(self._silence):
                return await self._content.readany()
        except TimeoutError:
            raise GatewayError(errors.REQUEST_TIMEOUT, f"no byte of the body for {self._silence:g} s") from None
        except (web.RequestPayloadError, HttpProcessingError):
            # `from None`: the parser's message quotes what the client sent.
            raise GatewayError(errors.FRAMING_INVALID, "the body's framing is malformed") from None
