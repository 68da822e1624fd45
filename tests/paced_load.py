"""Requests at a steady rate over kept-alive connections, each answer looked at; and an upstream that keeps up with it.

python -m tests.paced_load PORT
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

from tests.services import Service, held_port, is_listening

BODY = b'{"id": "42", "state": "paid"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
_TICK = 0.01


class _Constant(asyncio.Protocol):
    """Answers each request, none of which has a body, in the same way."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(_ANSWER * data.count(b"\r\n\r\n"))


@contextlib.contextmanager
def constant_upstream() -> Iterator[str]:
    """The address of such an upstream, a process of its own."""
    with held_port() as port:
        process = subprocess.Popen([sys.executable, "-m", "tests.paced_load", str(port)])
        try:
            deadline = time.monotonic() + 60
            while not is_listening(Service(port, process)):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


class _Client(asyncio.Protocol):
    """One connection: a request, its answer, the next one. It opens itself anew after `lasts` requests."""

    def __init__(self, load: PacedLoad, lasts: int) -> None:
        self._load = load
        self._lasts = lasts
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._load.idle.append(self)
        self._load.open.add(self)

    def abort(self) -> None:
        self._transport.abort()

    def send(self) -> None:
        self._sent_at = time.monotonic()
        self._load.waiting.add(self)
        self._transport.write(next(self._load.requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or (head.startswith(b"HTTP/1.1 200 ") and len(body) < len(BODY)):
            return
        load = self._load
        load.slowest = max(load.slowest, time.monotonic() - self._sent_at)
        status = head.split(b" ", 2)[1].decode()
        load.outcomes[status if status != "200" or body == BODY else "another body"] += 1
        self._received = b""
        load.waiting.discard(self)
        self._lasts -= 1
        if status != "200" or b"\r\nConnection: close" in head or not self._lasts:
            self._transport.close()
        else:
            load.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._load.waiting:
            self._load.waiting.discard(self)
            self._load.outcomes["lost"] += 1
        self._load.open.discard(self)
        if self in self._load.idle:
            self._load.idle.remove(self)
        self._load.lost()


class PacedLoad:
    """`rate` requests a second, as long as the machine keeps up, until it is left. `outcomes` are statuses, `lost` for
    a connection that ended without an answer, `refused`, and `another body`. `slowest` is in seconds.
    """

    def __init__(self, port: int, heads: Sequence[bytes], *, rate: int, connections: int = 32) -> None:
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self.seconds = 0.0
        self.idle: list[_Client] = []
        self.waiting: set[_Client] = set()
        self.open: set[_Client] = set()
        self.requests = self._in_turn(heads)
        self._port = port
        self._rate = rate
        self._connections = connections
        self._opening: set[asyncio.Task[None]] = set()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> PacedLoad:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Send no more, and wait for the last answers."""
        self._is_over.set()
        self._thread.join(60)

    @property
    def failures(self) -> dict[str, int]:
        """All that is no answer of the upstream."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "200"}

    @staticmethod
    def _in_turn(heads: Sequence[bytes]) -> Iterator[bytes]:
        while True:
            yield from heads

    def lost(self) -> None:
        """A connection has ended: open another."""
        if not self._is_over.is_set():
            self._open(300)

    def _open(self, lasts: int) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(lasts))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, lasts: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Client(self, lasts), "127.0.0.1", self._port)
        except OSError:
            self.outcomes["refused"] += 1
            await asyncio.sleep(0.1)
            self.lost()

    async def _run(self) -> None:
        for number in range(self._connections):
            self._open(100 + 10 * number)
        started, sent = time.monotonic(), 0
        while not self._is_over.is_set():
            due = int((time.monotonic() - started) * self._rate)
            # What the machine could not send in time is not made up for in one burst.
            sent = max(sent, due - self._rate // 10)
            while sent < due and self.idle:
                self.idle.pop(0).send()
                sent += 1
            await asyncio.sleep(_TICK)
        self.seconds = time.monotonic() - started
        deadline = time.monotonic() + 30
        while self.waiting and time.monotonic() < deadline:  # noqa: ASYNC110 - they end by themselves
            await asyncio.sleep(_TICK)
        self.outcomes["silent"] += len(self.waiting)
        self.outcomes += Counter()  # drops what is 0
        self.waiting.clear()
        while self.open or self._opening:
            for client in self.open:
                client.abort()
            await asyncio.sleep(_TICK)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Constant, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
