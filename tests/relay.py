"""A relay on loopback between a client and a server: it makes the way between them slow, holds it up, or cuts it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from types import TracebackType


class Relay:
    """For `async with`. Where it leads to is a port on loopback."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay = 0.0
        """Seconds before each piece of a reply goes on."""
        self.sent = bytearray()
        """What clients have sent so far."""
        self.is_cut = False
        """No connection leads through."""
        self.is_open = asyncio.Event()
        """Replies wait for it."""
        self.is_open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break off what leads through, and let no new connection through."""
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if not self.is_cut:
                await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either side has gone away, or the relay is closing
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        ways = [
            asyncio.create_task(self._there(reader, to_server)),
            asyncio.create_task(self._back(from_server, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_server.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            self.sent += piece
            writer.write(piece)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            await self.is_open.wait()
            await asyncio.sleep(self.delay)
            writer.write(piece)


class RelayThread:
    """A relay for tests that have no event loop of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, relay: Relay) -> None:
        self._loop = loop
        self._relay = relay
        self.port = relay.port

    def slow_down(self, seconds: float) -> None:
        """Each reply takes that much longer from now on."""
        self._loop.call_soon_threadsafe(setattr, self._relay, "delay", seconds)

    def cut(self) -> None:
        """Nothing leads through any more."""
        self._loop.call_soon_threadsafe(self._relay.cut)

    def mend(self) -> None:
        """New connections lead through again."""
        self._loop.call_soon_threadsafe(setattr, self._relay, "is_cut", False)


@contextlib.contextmanager
def relay_thread(target: int) -> Iterator[RelayThread]:
    """A relay in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        relay = Relay(target)
        asyncio.run_coroutine_threadsafe(relay.__aenter__(), loop).result(10)
        try:
            yield RelayThread(loop, relay)
        finally:
            asyncio.run_coroutine_threadsafe(relay.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
