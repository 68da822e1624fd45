"""The channel between the supervisor and one worker: messages as JSON, framed by their length, over a socket pair.

The socket is inherited, so nobody else can be at the other end. Messages arrive in the order in which they were sent.
A message is told, or asked and replied to. Knows nothing of what the messages are about.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

_LENGTH = 4
_LARGEST = 64 * 2**20
"""Bytes of one message; 10,000 routes that are all in use have figures of about 3 MB."""
_UNSENT = 64 * 2**20
"""Bytes that may wait for a side that does not read; then it is given up."""

Handler = Callable[[Any], Any | Awaitable[Any]]
"""Takes the body of a message; what it returns is the reply, if one was asked for.

One that is no coroutine function has run before the next message is looked at.
"""


class Unanswered(Exception):
    """The other side did not reply: it is gone, took too long, or failed."""


class Channel:
    """One end. `handlers` are called by the names of messages."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handlers: Mapping[str, Handler]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handlers = handlers
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._answering: set[asyncio.Task[None]] = set()
        self.is_closed = False
        """Whether nothing can be said any more."""
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, end: socket.socket, handlers: Mapping[str, Handler]) -> Channel:
        """Speak over one end of a socket pair; it is closed with the channel."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end), handlers)

    def tell(self, name: str, body: Any = None) -> None:
        """Send a message; nothing happens when the other side is gone."""
        self._send({"name": name, "body": body})

    async def ask(self, name: str, body: Any = None, *, timeout: float) -> Any:
        """Send a message and wait for its reply, `timeout` seconds at most. Raises `Unanswered`."""
        if self.is_closed:
            raise Unanswered("the other side is gone")
        self._number += 1
        number = self._number
        self._asked[number] = asyncio.get_running_loop().create_future()
        self._send({"name": name, "body": body, "number": number})
        try:
            async with asyncio.timeout(timeout):
                return await self._asked[number]
        except TimeoutError:
            raise Unanswered(f"no reply in {timeout:g} s") from None
        finally:
            self._asked.pop(number, None)

    async def wait_closed(self) -> None:
        """Wait until the other side is gone and everything it sent has been handled."""
        await asyncio.wait([self._task])

    def close(self) -> None:
        """Speak no more; what was sent still arrives."""
        self.is_closed = True
        self._writer.close()
        for task in self._answering:
            task.cancel()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(Unanswered("the other side is gone"))

    def _send(self, message: dict[str, Any]) -> None:
        if self.is_closed:
            return
        data = json.dumps(message, separators=(",", ":")).encode("utf-8")
        if len(data) > _LARGEST or self._writer.transport.get_write_buffer_size() > _UNSENT:
            logger.error("a control channel is given up: %s is too much to send", message.get("name", "a reply"))
            self._writer.transport.abort()
            return
        self._writer.write(len(data).to_bytes(_LENGTH, "big") + data)

    async def _read(self) -> None:
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
                if length > _LARGEST:
                    raise ValueError("too long")
                self._handle(json.loads(await self._reader.readexactly(length)))
        except (EOFError, OSError):
            pass  # the other side is gone
        except Exception:
            # Nonsense, or a defect of ours: nothing that follows can be trusted.
            logger.exception("a control channel is given up")
        finally:
            self.close()

    def _handle(self, message: dict[str, Any]) -> None:
        if "reply" in message:
            self._take_reply(message)
            return
        result = self._handlers[message["name"]](message["body"])
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(self._reply_later(message, result))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        else:
            self._reply(message, body=result)

    def _take_reply(self, message: dict[str, Any]) -> None:
        future = self._asked.get(message["reply"])
        if future is None or future.done():
            return  # nobody waits any more
        if "failed" in message:
            future.set_exception(Unanswered(str(message["failed"])))
        else:
            future.set_result(message["body"])

    async def _reply_later(self, message: dict[str, Any], result: Awaitable[Any]) -> None:
        try:
            self._reply(message, body=await result)
        except Exception as problem:
            logger.exception("%s failed", message["name"])
            self._reply(message, failed=type(problem).__name__)

    def _reply(self, message: dict[str, Any], **content: Any) -> None:
        if "number" in message:
            self._send({"reply": message["number"], **content})
