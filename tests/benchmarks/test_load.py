"""A round in which one answer was not the wanted one gives no figure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.issuer import Issuer
from benchmarks.load import Figures, LoadError, Traffic, measure, read
from benchmarks.processes import Process, free_port
from benchmarks.requests import Request, write
from benchmarks.upstream import Upstream
from tests.benchmarks.conftest import CORES, needs

GOOD = {
    "requests": 1000,
    "microseconds": 2_000_000,
    "refused": 0,
    "others": 0,
    "broken": 0,
    "p50": 281,
    "p99": 1500,
    "max": 2000,
}


def printed(**changes: int) -> str:
    return f"Running 2s test @ http://127.0.0.1:41041/\n  1000 requests in 2.00s\n{json.dumps({**GOOD, **changes})}\n"


def test_the_figures_are_those_of_the_last_line() -> None:
    figures = read(printed(), 200)
    assert figures == Figures(1000, 2.0, 0.281, 1.5)
    assert figures.per_second == 500


def test_where_refusals_are_wanted_all_of_them_must_be() -> None:
    assert read(printed(refused=1000), 401).requests == 1000
    with pytest.raises(LoadError, match="not every response was 401"):
        read(printed(refused=999), 401)


@pytest.mark.parametrize("changes", [{"refused": 1}, {"broken": 1}, {"others": 1}, {"requests": 0}])
def test_a_round_with_errors_does_not_count(changes: dict[str, int]) -> None:
    with pytest.raises(LoadError, match="not every response was 200"):
        read(printed(**changes), 200)


@pytest.mark.parametrize("text", ["", "wrk: unable to connect\n"])
def test_what_is_no_result_does_not_count(text: str) -> None:
    with pytest.raises(LoadError, match="something else than expected"):
        read(text, 200)


@contextlib.contextmanager
def answering(response: bytes) -> Iterator[Process]:
    """A server in this process that answers everything with these bytes."""
    port, loop = free_port(), asyncio.new_event_loop()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            self._transport.write(response * data.count(b"\r\n\r\n"))

    server = loop.run_until_complete(loop.create_server(Server, "127.0.0.1", port))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Process("made up", os.getpid(), port)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()


def traffic(folder: Path, status: int, *requests: Request) -> Traffic:
    file = folder / "requests"
    write(requests or [Request()], file)
    return Traffic(file, status, connections=2)


def response(status: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % status


@needs("nginx", "wrk")
def test_a_server_that_answers_instead_of_the_upstream_is_found_out(tmp_path: Path, api: Upstream) -> None:
    with answering(response(200)) as server, pytest.raises(LoadError, match="and 0 reached the upstream"):
        measure(server, [traffic(tmp_path, 200)], api, CORES, 1)


@needs("nginx", "wrk")
def test_a_refusal_of_another_status_than_wanted_is_found_out(tmp_path: Path, api: Upstream) -> None:
    with answering(response(403)) as server:
        assert measure(server, [traffic(tmp_path, 403)], api, CORES, 1).requests > 0
        with pytest.raises(LoadError, match="not every response was 401"):
            measure(server, [traffic(tmp_path, 401)], api, CORES, 1)


@needs("nginx", "wrk")
def test_a_success_where_a_refusal_is_wanted_is_found_out(tmp_path: Path, api: Upstream) -> None:
    server = Process("upstream", os.getpid(), api.port)
    with pytest.raises(LoadError, match="not every response was 401"):
        measure(server, [traffic(tmp_path, 401)], api, CORES, 1)


@needs("nginx", "wrk")
def test_requests_are_counted_on_both_sides_and_the_cpu_time_of_the_server(
    tmp_path: Path, api: Upstream, issuer: Issuer
) -> None:
    server = Process("upstream", os.getpid(), api.port)
    requests = [Request(f"/orders/{number}", issuer.token()) for number in range(20)]
    sample = measure(server, [traffic(tmp_path, 200, *requests)], api, CORES, 1)
    assert sample.requests == sample.figures.requests > 20
    assert sample.microseconds == pytest.approx(sample.cpu_seconds / sample.requests * 1e6)
    # The upstream and wrk itself descend from this process.
    assert 0.2 < sample.busy <= multiprocessing.cpu_count()
