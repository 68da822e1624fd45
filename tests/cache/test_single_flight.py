"""One call at a time, shared by all who ask while it runs."""

from __future__ import annotations

import asyncio

import pytest

from gateway.cache.single_flight import Abandoned, Flights, SingleFlight


class Call:
    """A call that ends when the test says so, and counts how often it was made."""

    def __init__(self) -> None:
        self.made = 0
        self.go_on = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self) -> int:
        self.made += 1
        await self.go_on.wait()
        if self.failure is not None:
            raise self.failure
        return self.made


def running(flight: SingleFlight[int]) -> bool:
    return flight.is_running


async def test_all_who_ask_at_once_share_one_call_and_the_next_makes_another() -> None:
    call = Call()
    flight = SingleFlight(call)
    asked = [asyncio.create_task(flight.run()) for _ in range(50)]
    await asyncio.sleep(0)
    assert running(flight)
    call.go_on.set()
    assert await asyncio.gather(*asked) == [1] * 50
    assert not running(flight)
    assert await flight.run() == 2


async def test_a_failure_reaches_all_who_ask_and_is_not_remembered() -> None:
    call = Call()
    flight = SingleFlight(call)
    call.failure = LookupError()
    asked = [asyncio.create_task(flight.run()) for _ in range(3)]
    call.go_on.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 3
    call.failure = None
    assert await flight.run() == 2


async def test_the_call_goes_on_when_all_who_asked_are_gone() -> None:
    call = Call()
    flight = SingleFlight(call)
    asked = [asyncio.create_task(flight.run()) for _ in range(2)]
    await asyncio.sleep(0)
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    assert running(flight)
    late = asyncio.create_task(flight.run())
    await asyncio.sleep(0)
    call.go_on.set()
    assert await late == 1


async def test_a_call_can_begin_without_anybody_who_waits_and_who_comes_later_shares_it() -> None:
    call = Call()
    flight = SingleFlight(call)
    for _ in range(2):
        flight.begin()
    late = asyncio.create_task(flight.run())
    await asyncio.sleep(0)
    assert call.made == 1
    call.go_on.set()
    assert await late == 1


async def test_the_failure_of_a_call_that_nobody_waits_for_troubles_nobody() -> None:
    call = Call()
    call.failure = LookupError()
    call.go_on.set()
    flight = SingleFlight(call)
    flight.begin()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not running(flight)
    call.failure = None
    assert await flight.run() == 2


async def test_cancelling_ends_the_call_before_it_returns() -> None:
    flight = SingleFlight(Call())
    await flight.cancel()
    asked = asyncio.create_task(flight.run())
    await asyncio.sleep(0)
    await flight.cancel()
    assert not running(flight)
    with pytest.raises(Abandoned):
        await asked


async def test_a_caller_who_is_cancelled_while_the_call_ends_is_cancelled() -> None:
    flight = SingleFlight(Call())
    asked = asyncio.create_task(flight.run())
    await asyncio.sleep(0)
    asked.cancel()
    await flight.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_calls_for_different_keys_run_side_by_side() -> None:
    calls = {"a": Call(), "b": Call()}
    flights: Flights[str, int] = Flights()
    asked = [asyncio.create_task(flights.run(key, calls[key].__call__)) for key in ("a", "b", "a")]
    await asyncio.sleep(0)
    assert len(flights) == 2
    for call in calls.values():
        call.go_on.set()
    assert await asyncio.gather(*asked) == [1, 1, 1]
    assert len(flights) == 0
