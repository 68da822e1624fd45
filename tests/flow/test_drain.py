"""The end of a gateway process and of its workers: what clients see from the signal to the exit status, with counts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crew import PATIENCE, Crew, configuration, crew, is_worker
from tests.http.origin import OK, Peer, ScriptedOrigin
from tests.http.websockets import ClientSide, switch, websocket

EITHER = pytest.mark.parametrize("workers", [1, 2])


class Origin(ScriptedOrigin):
    """Answers at once, below /slow once `go` is set, and takes WebSockets."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.go = asyncio.Event()
        self.waiting = 0

    async def _answer(self, peer: Peer) -> None:
        while head := await peer.head():
            if b"Upgrade: websocket" in head:
                await peer.send(switch(head))
                await peer.until_closed()
                return
            if head.startswith(b"GET /slow"):
                self.waiting += 1
                await self.go.wait()
            await peer.send(OK)


@contextlib.asynccontextmanager
async def running(folder: Path, workers: int, **timeouts: str) -> AsyncIterator[tuple[Crew, Origin]]:
    async with Origin() as origin:
        blocks = configuration(f"http://127.0.0.1:{origin.port}", workers=workers, timeouts=timeouts)
        process = crew(folder, blocks)
        gateway = await asyncio.to_thread(process.__enter__)
        try:
            yield gateway, origin
        finally:
            origin.go.set()
            await asyncio.to_thread(process.__exit__, None, None, None)


async def so(condition: Callable[[], Any]) -> None:
    """Wait for something that takes a thread to find out."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process has no event to offer
            await asyncio.sleep(0.02)


async def get(gateway: Crew, path: str) -> bytes:
    """The status line of one request on a connection of its own; empty when the connection was cut before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        writer.write(b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
        return (await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"\r\n")[0]
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


class KeptAlive:
    """Clients that ask again and again on connections they keep, and what came of each request.

    `late`: the connection was closed behind an answer, and the next request was on its way already. Such a one is sent
    again, as RFC 9112 §9.3.1 says; it happens at most once for each connection. `cut` and `refused` are failures.
    """

    def __init__(self, port: int, clients: int = 8) -> None:
        self.outcomes: Counter[str] = Counter()
        self._port = port
        self._clients = clients
        self._is_over = False

    async def __aenter__(self) -> KeptAlive:
        self._tasks = [asyncio.create_task(self._go_on()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.wait_for(asyncio.gather(*self._tasks), PATIENCE)

    async def until(self, answered: int) -> None:
        goal = self.outcomes["200"] + answered
        await so(lambda: self.outcomes["200"] >= goal)

    async def _go_on(self) -> None:
        while not self._is_over:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionRefusedError:
                self.outcomes["refused"] += 1
                await asyncio.sleep(0.01)
                continue
            with contextlib.suppress(ConnectionError):
                await self._converse(reader, writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = 0
        while not self._is_over:
            received = b""
            try:
                writer.write(b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
                while not received.endswith(b"\r\n\r\nok"):
                    piece = await asyncio.wait_for(reader.read(65536), PATIENCE)
                    if not piece:
                        raise ConnectionResetError
                    received += piece
            except ConnectionError:
                self.outcomes["late" if answered and not received else "cut"] += 1
                raise
            answered += 1
            self.outcomes[received[9:12].decode()] += 1
            if b"\r\nConnection: close\r\n" in received:
                return
            await asyncio.sleep(0.002)


# WebSockets


async def all_told_1001(clients: list[ClientSide]) -> None:
    for client in clients:
        assert (await client.frame()).code == 1001
        await client.bye(1001)
        assert await client.rest() == b""


@EITHER
async def test_websockets_are_told_1001_when_all_ends_and_the_exit_status_is_0(tmp_path: Path, workers: int) -> None:
    async with running(tmp_path, workers) as (gateway, origin), contextlib.AsyncExitStack() as stack:
        address = "127.0.0.1", gateway.port
        clients = [await stack.enter_async_context(websocket(address, "/open/ws")) for _ in range(12)]
        assert [client.status for client in clients] == [101] * 12
        started = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        await all_told_1001(clients)
        assert await asyncio.to_thread(gateway.has_ended) == 0
        assert time.monotonic() - started < 25  # not because timeouts.drain is over
        for peer in origin.peers:
            await asyncio.wait_for(peer.ended.wait(), PATIENCE)


async def test_websockets_are_told_1001_when_their_worker_is_replaced_and_come_back_at_its_successor(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, 2) as (gateway, _), contextlib.AsyncExitStack() as stack:
        address, before = ("127.0.0.1", gateway.port), gateway.pids
        clients = [await stack.enter_async_context(websocket(address, "/open/ws")) for _ in range(12)]
        gateway.process.send_signal(signal.SIGUSR2)
        await all_told_1001(clients)
        await so(lambda: "all workers were replaced" in gateway.log)
        again = [await stack.enter_async_context(websocket(address, "/open/ws")) for _ in range(12)]
        assert [client.status for client in again] == [101] * 12
        await so(lambda: not any(map(is_worker, before.values())))
        await asyncio.sleep(0.5)
        assert not any(client.reader.at_eof() for client in again)
        gateway.process.send_signal(signal.SIGTERM)
        await all_told_1001(again)
        assert await asyncio.to_thread(gateway.has_ended) == 0


# Requests


@EITHER
async def test_while_it_is_not_ready_any_more_it_takes_connections_for_as_long_as_drain_delay_says(
    tmp_path: Path, workers: int
) -> None:
    async with running(tmp_path, workers, drain_delay="3s") as (gateway, _):
        assert (await asyncio.to_thread(gateway.admin, "/readyz"))[0] == 200
        async with KeptAlive(gateway.port) as load:
            await load.until(50)
            started = time.monotonic()
            gateway.process.send_signal(signal.SIGTERM)
            await so(lambda: gateway.admin("/readyz")[0] == 503)
            assert (await asyncio.to_thread(gateway.ready))["draining"] is True
            fresh = Counter[bytes]()
            while time.monotonic() - started < 2:
                fresh[await get(gateway, "/open/x")] += 1
            assert set(fresh) == {b"HTTP/1.1 200 OK"}
            assert fresh[b"HTTP/1.1 200 OK"] > 20
            assert set(load.outcomes) == {"200"}
        assert await asyncio.to_thread(gateway.has_ended) == 0
        assert time.monotonic() - started >= 3


@EITHER
async def test_what_runs_is_finished_and_what_does_not_end_is_cut_off_when_its_time_is_over(
    tmp_path: Path, workers: int
) -> None:
    for drain, status in (("30s", b"HTTP/1.1 200 OK"), ("1s", b"")):
        folder = tmp_path / drain
        folder.mkdir()
        async with running(folder, workers, drain=drain) as (gateway, origin):
            asked = [asyncio.create_task(get(gateway, "/slow/x")) for _ in range(8)]
            await so(lambda origin=origin: origin.waiting == 8)  # type: ignore[misc]
            started = time.monotonic()
            gateway.process.send_signal(signal.SIGTERM)
            if status:
                await so(lambda gateway=gateway: "refused" in _connecting(gateway))  # type: ignore[misc]
                assert not any(task.done() for task in asked)
                origin.go.set()
            assert await asyncio.gather(*asked) == [status] * 8
            assert await asyncio.to_thread(gateway.has_ended) == 0
            assert status or time.monotonic() - started >= 1


def _connecting(gateway: Crew) -> str:
    try:
        gateway.connection().close()
    except OSError as problem:
        return str(problem).lower()
    return ""


async def test_a_rolling_replacement_of_two_workers_fails_no_request_on_connections_that_are_kept(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, 2) as (gateway, origin):
        before = gateway.pids
        async with KeptAlive(gateway.port) as load:
            await load.until(200)
            for _ in range(2):
                seen = gateway.log.count("all workers were replaced")
                gateway.process.send_signal(signal.SIGUSR2)
                await so(lambda seen=seen: gateway.log.count("all workers were replaced") > seen)  # type: ignore[misc]
                await load.until(100)
        assert not set(before.values()) & set(gateway.pids.values())
        assert load.outcomes["cut"] == load.outcomes["refused"] == 0, load.outcomes
        assert set(load.outcomes) <= {"200", "late"}
        assert load.outcomes["late"] <= 8 * 2 * 2  # each of the four workers that ended may meet each client so once
        assert load.outcomes["200"] > 400
        # Each one reached the upstream exactly once, and each was counted, the late ones nowhere.
        arrived = sum(received.count(b"GET /open/x ") for received in origin.received)
        counted = await asyncio.to_thread(gateway.metric, "gateway_requests_total", 'route="open"')
        assert arrived == counted == load.outcomes["200"]
