"""Talks to a server as raw bytes over a real socket, so that a test sees exactly what goes over the wire."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """Everything a server sent: `raw` bytes, and whether it then closed the connection."""

    raw: bytes
    closed: bool

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == wanted:
                return value.strip().decode("latin-1")
        return None


async def talk(
    address: tuple[str, int], *parts: bytes, pause: float = 0.03, silence: float = 0.25, patience: float = 5.0
) -> Answer:
    """Send each part, `pause` seconds apart, and read until the server closes or is silent for `silence` seconds."""
    reader, writer = await asyncio.open_connection(*address)
    raw, closed = b"", False
    try:
        for index, part in enumerate(parts):
            if index:
                await asyncio.sleep(pause)
            writer.write(part)
        while not closed:
            piece = await asyncio.wait_for(reader.read(65536), patience if not raw else silence)
            raw += piece
            closed = not piece
    except (TimeoutError, ConnectionResetError) as end:
        closed = isinstance(end, ConnectionResetError)
    finally:
        writer.close()
    return Answer(raw, closed)


def request(method: str, target: str, *headers: str, host: str | None = "api.example.com", body: bytes = b"") -> bytes:
    """The bytes of an HTTP/1.1 request; `headers` are whole lines."""
    lines = [f"{method} {target} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += headers
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def statuses(raw: bytes) -> Sequence[int]:
    """The status codes of all responses in a byte stream."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", raw)]
