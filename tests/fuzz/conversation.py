"""One client's conversation with a whole gateway, without sockets: bytes in, and what came of them.

The client's connection and the upstream's are transports that keep what is written; everything between is the gateway
as it runs. A conversation takes well under a millisecond, so that many can be held.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway import build
from gateway.app import Gateway
from gateway.http.client import Origin, Pool
from gateway.http.connection import Connection
from gateway.http.message import Fields
from gateway.http.request_parser import KnownFields
from gateway.http.server import HttpServer
from gateway.upstream.forward import Forward
from tests.world import configuration, mint

TOKEN = mint(scope="s", sub="u1", exp=4_000_000_000).encode()
LIMITS = {"request_head": "2KiB", "request_target": "200B", "headers": 24, "request_body": "64B"}
ROUTES: Sequence[dict[str, Any]] = (
    {"name": "open", "path": "/open/**", "public": True},
    {"name": "own", "path": "/own/**", "require": {"scopes": ["s"]}},
    {"name": "small", "path": "/small/**", "public": True, "max_body": 3},
    {"name": "fixed", "path": "/fixed", "public": True, "respond": {"status": 200, "body": "fixed"}},
)

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")
_REQUEST = re.compile(rb"([A-Z\-]+) ([!-~]+) HTTP/1\.1\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [^\r\n\0]*\r\n)+)\r\n")


class Broken(AssertionError):
    """Something that must never happen has happened."""


class Wire(asyncio.Transport):
    """One end of a connection to `protocol`; `sent` is what that wrote."""

    def __init__(self, protocol: Any, peer: object) -> None:
        super().__init__({"peername": peer, "socket": _NO_SOCKET})
        self.protocol = protocol
        self.sent = bytearray()
        self.is_closed = self.is_reading_paused = self.has_ended = self.was_reset = False

    def write(self, data: Any) -> None:
        if self.is_closed or self.has_ended:
            raise Broken("written after the end")
        self.sent += data

    def writelines(self, parts: Any) -> None:
        for part in parts:
            self.write(part)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Everything is taken at once."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended = True

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.was_reset = True
        self.close()


_NO_SOCKET = socket.socket()


class Upstream(Wire):
    """Answers each whole request, and finds fault with what is no canonical one. `requests` are head and body of each;
    `answer` is what it says, with the number of the request for `%d`, or by default that number alone.
    """

    def __init__(self, protocol: Connection, requests: list[tuple[bytes, bytes]], answer: bytes | None) -> None:
        super().__init__(protocol, ("127.0.0.1", 9))
        self.requests = requests
        self.answer = answer
        self._is_due = False

    def write(self, data: Any) -> None:
        super().write(data)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._is_due = False
        while (size := self._whole()) and not self.is_closed:
            del self.sent[:size]
            body = b"%d" % len(self.requests)
            answer = self.answer or b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            self._say(answer)

    def _say(self, data: bytes) -> None:
        for start in range(0, len(data), 1000):
            if self.is_closed:
                return
            piece = data[start : start + 1000]
            self.protocol.get_buffer(-1)[: len(piece)] = piece
            self.protocol.buffer_updated(len(piece))

    def _whole(self) -> int:
        """How many bytes the first request has, once it is whole; it is kept then."""
        data = bytes(self.sent)
        if b"\r\n\r\n" not in data:
            return 0
        found = _REQUEST.match(data)
        if found is None:
            raise Broken(f"no canonical request: {data!r}")
        fields = Fields(
            tuple(line.split(b": ", 1))  # type: ignore[misc]
            for line in found[3].split(b"\r\n")[:-1]
        )
        for name in (b"host", b"x-request-id", b"via", b"x-forwarded-for", b"forwarded"):
            if not fields.values(name) or (name != b"via" and len(fields.values(name)) > 1):
                raise Broken(f"{name!r} is missing or there twice: {data!r}")
        length, body = self._body(data[found.end() :], fields)
        if length < 0:
            return 0
        self.requests.append((found[0], body))
        return found.end() + length

    def _body(self, data: bytes, fields: Fields) -> tuple[int, bytes]:
        lengths, codings = fields.values(b"content-length"), fields.values(b"transfer-encoding")
        if len(lengths) + len(codings) > 1 or any(coding != b"chunked" for coding in codings):
            raise Broken(f"ambiguous framing: {fields.raw!r}")
        if lengths:
            size = int(lengths[0])
            return (size, data[:size]) if len(data) >= size else (-1, b"")
        return _chunks(data) if codings else (0, b"")


def _chunks(data: bytes) -> tuple[int, bytes]:
    at, body = 0, b""
    while True:
        found = re.compile(rb"([0-9a-f]+)\r\n").match(data, at)
        if found is None:
            return -1, b""
        size = int(found[1], 16)
        start = found.end()
        end = start + size
        if len(data) < end + 2:
            return -1, b""
        if data[end : end + 2] != b"\r\n":
            raise Broken(f"no end of a chunk: {data!r}")
        if size == 0:
            return end + 2, body
        body += data[start:end]
        at = end + 2


class MemoryLoop(asyncio.SelectorEventLoop):
    """A loop whose connections lead to an `Upstream` each, whatever their address."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[bytes, bytes]] = []
        self.answer: bytes | None = None
        self.wires: list[Upstream] = []

    def begin(self, answer: bytes | None) -> None:
        """Forget the last conversation; `answer` is what upstreams say in the next one."""
        self.requests, self.answer, self.wires = [], answer, []

    async def create_connection(self, protocol_factory: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """As that of asyncio."""
        connection = protocol_factory()
        wire = Upstream(connection, self.requests, self.answer)
        connection.connection_made(wire)
        self.wires.append(wire)
        return wire, connection


def pool() -> Pool:
    """Connections of a loop to its upstream."""
    return Pool(
        Origin("127.0.0.1", 9),
        connect_timeout=5,
        response_timeout=5,
        idle_timeout=5,
        keep_alive=30,
        max_connections=8,
    )


@dataclass
class Outcome:
    """What came of one conversation: the final responses, the whole requests upstream, how the connection ended."""

    statuses: list[int] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    upstream: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_closed: bool = False
    raw: bytes = b""


class Faults(logging.Handler):
    """Collects what is logged as an error, and what a loop can't handle."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"{record.getMessage()} {record.exc_info!r}")

    def unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception handler of an event loop."""
        self.found.append(f"{context.get('message')} {context.get('exception')!r}")


class House:
    """A gateway and its event loop, for many conversations. For `with`."""

    def __init__(self) -> None:
        self._loop = MemoryLoop()
        self._runner = asyncio.Runner(loop_factory=lambda: self._loop)
        self._faults = Faults()
        config = configuration(9, *ROUTES, limits=LIMITS, log={"level": "error"})
        self.gateway: Gateway = build.build(config)
        self._limits = build.server_limits(config)
        self._routes = [route.action for route in self.gateway.routes.values() if isinstance(route.action, Forward)]

    def __enter__(self) -> House:
        logging.getLogger().addHandler(self._faults)
        self._runner.get_loop().set_exception_handler(self._faults.unhandled)
        self._runner.run(self.gateway.start())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self.gateway.close())
        self._runner.close()
        logging.getLogger().removeHandler(self._faults)

    def hold(
        self,
        parts: Sequence[bytes],
        known: KnownFields | None = None,
        answer: bytes | None = None,
        *,
        begins: bool = True,
    ) -> Outcome:
        """One conversation: the parts arrive one after the other, then the client ends it. Raises `Broken`.

        Without `begins` every request takes the long way, as an awaited call.
        """
        outcome = self._runner.run(self._hold(parts, known, answer, begins=begins))
        if self._faults.found:
            found, self._faults.found = self._faults.found, []
            raise Broken(found[0])
        return outcome

    async def _hold(
        self, parts: Sequence[bytes], known: KnownFields | None, answer: bytes | None, *, begins: bool
    ) -> Outcome:
        self._loop.begin(answer)
        upstream = pool()
        for action in self._routes:
            action.upstream.direct = upstream
        server = HttpServer(self.gateway.handle, self._limits, begin=self.gateway.begin if begins else None)
        server.known_fields = known if known is not None else KnownFields()
        connection = server()
        wire = Wire(connection, ("192.0.2.1", 1))
        connection.connection_made(wire)
        for part in parts:
            await self._settle(wire)
            if wire.is_closed:
                break
            # As a loop calls it, outside of any task: what is answered in place would be put off in the midst of one.
            asyncio.get_running_loop().call_soon(connection.data_received, part)
            await asyncio.sleep(0)
        await self._settle(wire, turns=12)
        outcome = read_responses(bytes(wire.sent), is_over=wire.is_closed or wire.has_ended or answer is not None)
        outcome.is_closed = wire.is_closed or wire.has_ended
        outcome.upstream = [(_without_id(head), body) for head, body in self._loop.requests]
        await self._end(server, wire, upstream)
        return outcome

    async def _settle(self, wire: Wire, turns: int = 2) -> None:
        while turns:
            turns = turns if wire.is_reading_paused else turns - 1
            await asyncio.sleep(0)
            if wire.is_closed:
                return

    async def _end(self, server: HttpServer, wire: Wire, pool: Pool) -> None:
        if not wire.is_closed and not wire.protocol.eof_received():
            wire.close()
        for _ in range(8):
            await asyncio.sleep(0)
        if server.connections or self.gateway.in_flight:
            raise Broken(f"left over: {server.connections}, {self.gateway.in_flight} in flight")
        pool.close()
        for upstream in self._loop.wires:
            upstream.close()
        for _ in range(3):
            await asyncio.sleep(0)
        if pool.open:
            raise Broken(f"{pool!r} after the end")
        if server._sweep is not None:
            server._sweep.cancel()


def _without_id(head: bytes) -> bytes:
    return re.sub(rb"X-Request-Id: \w+\r\n", b"", head)


def read_responses(raw: bytes, *, is_over: bool) -> Outcome:
    """What a client understands; `Broken` for what no client could. The last response may lack its end if `is_over`."""
    outcome = Outcome(raw=raw)
    rest = raw
    while rest:
        found = _STATUS.match(rest)
        end = rest.find(b"\r\n\r\n")
        if found is None or end < 0:
            raise Broken(f"no response: {rest!r}")
        status, head, rest = int(found[1]), rest[: end + 2], rest[end + 4 :]
        if status < 200:
            continue
        outcome.statuses.append(status)
        outcome.heads.append(head)
        body, rest = _response_body(status, head, rest, is_over=is_over)
        outcome.bodies.append(body)
        if b"application/problem+json" in head and body:
            outcome.reasons.append(json.loads(body)["reason"])
    return outcome


def _response_body(status: int, head: bytes, rest: bytes, *, is_over: bool) -> tuple[bytes, bytes]:
    if status in (204, 304):
        return b"", rest
    # The answer to HEAD says how its body would end and has none: then the next status line follows, or nothing.
    is_bodiless = not rest or rest.startswith(b"HTTP/1.1 ")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
    if length is not None:
        size = 0 if is_bodiless else int(length[1])
        return rest[:size], rest[size:]
    if b"transfer-encoding: chunked" in head.lower():
        size, body = _chunks(rest)
        if size < 0 and not is_over:
            raise Broken(f"a response without an end: {rest!r}")
        return (body, rest[size:]) if size >= 0 else (rest, b"")
    if is_bodiless or is_over:
        return (b"", rest) if is_bodiless else (rest, b"")
    raise Broken(f"no end to this response: {head!r}")
