"""Clients of the outage see what is wrong, what is lost and what is late, and Redis really goes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.outage.redis_server import redis_server
from benchmarks.outage.report import is_good, report
from benchmarks.outage.run import ELSEWHERE, NEVER, Course, Outcome, run
from benchmarks.outage.steady import LOST, OK, Connection, Kind, Observation, ask_steadily
from benchmarks.processes import is_listening
from benchmarks.requests import Request
from benchmarks.servers.gateway import BESIDE
from tests.benchmarks.conftest import CORES, needs

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b'HTTP/1.1 401 X\r\nContent-Length: 26\r\n\r\n{"reason":"token_revoked"}'


def always(response: bytes) -> Answering:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(response)
        except asyncio.IncompleteReadError:
            pass

    return answer


@contextlib.asynccontextmanager
async def serving(answering: Answering) -> AsyncIterator[int]:
    """The port of a server that answers so; each connection is closed when it has answered."""
    running = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.current_task())
        await answering(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(connection, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*filter(None, running))


async def answers(answering: Answering, count: int = 1) -> list[tuple[int, str]]:
    async with serving(answering) as port:
        connection = Connection(port)
        found = [await connection.ask(Request()) for _ in range(count)]
        await connection.close()
    return found


async def test_an_answer_is_its_status_and_the_reason_of_a_refusal() -> None:
    assert await answers(always(GOOD), 3) == [OK] * 3
    assert await answers(always(REFUSED)) == [(401, "token_revoked")]


@pytest.mark.parametrize("response", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"nonsense\r\n\r\n"])
async def test_a_broken_answer_is_a_lost_request(response: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)

    assert await answers(answer) == [LOST]


async def test_a_lost_request_is_not_sent_again_and_the_next_has_another_connection() -> None:
    served = 0

    async def every_other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await reader.readuntil(b"\r\n\r\n")
        served += 1
        writer.write(GOOD if served % 2 == 0 else b"")

    assert await answers(every_other, 3) == [LOST, OK, LOST]


async def test_a_slow_answer_makes_those_behind_it_late() -> None:
    async def slow_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.5)
        writer.write(GOOD)
        await always(GOOD)(reader, writer)

    async with serving(slow_once) as port:
        kind = Kind("slow", port, str, lambda sent, came: (OK,), 10, connections=1)
        seen = await ask_steadily([kind], 1.0, time.monotonic())
    assert [one.due for one in seen] == pytest.approx([number / 10 for number in range(10)])
    assert seen[0].seconds >= 0.5
    assert seen[1].seconds >= 0.35  # it was due 0.1 s after the first, and had to wait for its answer
    assert all(one.is_right for one in seen)


@pytest.mark.parametrize(
    ("answer", "is_right", "is_wrong", "is_lost"),
    [(OK, True, False, False), (OK, False, True, False), ((503, "x"), False, False, True), (LOST, False, False, True)],
)
def test_a_wrong_decision_is_not_a_lost_request(
    answer: tuple[int, str], is_right: bool, is_wrong: bool, is_lost: bool
) -> None:
    seen = Observation("any", 0, 0, answer, is_right)
    assert (seen.is_wrong, seen.is_lost) == (is_wrong, is_lost)


def outcome(*observations: Observation, forwarded: int = 1, healed: float = 20.5) -> Outcome:
    kinds = [Kind("any", 1, str, lambda sent, came: (OK,), 1)]
    return Outcome(kinds, list(observations), Course(10, 10.2, 10.3, 10.4, 20, healed), forwarded)


def test_the_report_says_when_the_worst_was() -> None:
    seen = [Observation("any", due, due / 1000, OK, True) for due in (1.0, 11.0, 15.0, 21.0, 29.0)]
    found = outcome(*seen, forwarded=5)
    row = report(found).splitlines()[2].strip("| ").split(" | ")
    assert row == ["any", "5", "0", "0", "15.0", "29.0", "1", "11", "15", "21", "29"]
    assert is_good(found)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (outcome(Observation("any", 1, 0.1, OK, False)), "1 wrong decisions, 0 lost"),
        (outcome(Observation("any", 1, 0.1, (503, ""), False), forwarded=0), "0 wrong decisions, 1 lost"),
        (outcome(Observation("any", 1, 0.1, OK, True), forwarded=2), "1 refused ones that reached the upstream"),
        (outcome(Observation("any", 1, 0.1, OK, True), healed=NEVER), "both were connected again not before the end"),
    ],
)
def test_what_must_not_be_is_said_and_is_not_good(found: Outcome, said: str) -> None:
    assert said in report(found)
    assert not is_good(found)


@needs("redis-server")
def test_redis_can_be_killed_and_comes_back_on_the_same_port(tmp_path: Path) -> None:
    with redis_server(CORES, tmp_path) as redis:
        assert is_listening(redis.port)
        redis.kill()
        assert not is_listening(redis.port)
        redis.start()
        assert is_listening(redis.port)
    assert not is_listening(redis.port)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two cores are needed")
@needs("nginx", "redis-server")
def test_clients_are_served_rightly_while_redis_is_killed_and_comes_back() -> None:
    found = run(BESIDE, 15)
    course = found.course
    assert 5 <= course.killed < course.noticed < course.withdrawal_answered < course.back < NEVER
    assert {one.kind for one in found.observations} == {kind.name for kind in found.kinds}
    assert not [one for one in found.observations if one.is_lost]
    # How soon the other gateway hears of it depends on how busy this machine is.
    assert not [one for one in found.observations if one.is_wrong and one.kind != ELSEWHERE]
