"""Clients that ask at a steady pace, whatever the answers take, and know which answer is right at each moment."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from benchmarks.requests import Request

PATIENCE = 10.0

Answer = tuple[int, str]
"""The status of a response, and the reason where it is a refusal. Status 0: there was no response."""

OK: Answer = (200, "")
LOST: Answer = (0, "")


@dataclass(frozen=True)
class Kind:
    """Requests of one kind. `wanted` gives the right answers by when a request went out and when its answer came."""

    name: str
    port: int
    token: Callable[[], str]
    wanted: Callable[[float, float], Collection[Answer]]
    per_second: int
    connections: int = 4


@dataclass(frozen=True)
class Observation:
    """One request: when it was due, what it took from then on, and what came of it. Times are in seconds."""

    kind: str
    due: float
    seconds: float
    answer: Answer
    is_right: bool

    @property
    def is_lost(self) -> bool:
        """No answer, or one that says the server could not."""
        return self.answer[0] == 0 or self.answer[0] >= 500

    @property
    def is_wrong(self) -> bool:
        """A decision that was made, and made wrongly."""
        return not self.is_right and not self.is_lost


async def ask_steadily(kinds: Sequence[Kind], seconds: float, start: float) -> list[Observation]:
    """Everything that was observed. `start` is a moment of `time.monotonic`; moments count from there."""
    observations: list[Observation] = []
    async with asyncio.TaskGroup() as group:
        for kind in kinds:
            for number in range(kind.connections):
                group.create_task(_client(kind, number, seconds, start, observations))
    return sorted(observations, key=lambda observation: observation.due)


async def _client(kind: Kind, number: int, seconds: float, start: float, observations: list[Observation]) -> None:
    """One connection's share. A late answer makes the requests after it late too, and their delay counts."""
    async with contextlib.AsyncExitStack() as stack:
        connection = Connection(kind.port)
        stack.push_async_callback(connection.close)
        for turn in itertools.count(number, kind.connections):
            if (due := turn / kind.per_second) >= seconds:
                break
            await asyncio.sleep(max(0.0, start + due - time.monotonic()))
            sent = time.monotonic() - start
            answer = await connection.ask(Request(token=kind.token()))
            came = time.monotonic() - start
            observations.append(Observation(kind.name, due, came - due, answer, answer in kind.wanted(sent, came)))


class Connection:
    """One kept-alive connection; when it breaks, the request on it is lost, and the next one gets another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Request) -> Answer:
        """The answer to one request: never sent again, as a client library would do without a word."""
        try:
            async with asyncio.timeout(PATIENCE):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                writer.write(request.encoded())
                return await _answer(reader)
        except (OSError, EOFError, ValueError, LookupError):
            await self.close()
            return LOST

    async def close(self) -> None:
        """Give it up."""
        if self._streams is not None:
            streams, self._streams = self._streams, None
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    """Raises ValueError, LookupError, EOFError for what is no response with a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", head)
    if length is None:
        raise ValueError("a response without a length")
    body = await reader.readexactly(int(length[1]))
    return status, "" if status < 400 else str(json.loads(body).get("reason", ""))
