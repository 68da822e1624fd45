"""The circuit breaker: when it opens, who may try, and what closes it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.cache.circuit import CircuitBreaker, CircuitOpen


class Trouble(Exception):
    pass


class Answered(Exception):
    pass


class Rig:
    """A breaker whose time the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.circuit = CircuitBreaker(failures=2, pause=1.0, longest=3.0, ignoring=(Answered,), clock=lambda: self.now)

    def attempt(self, problem: type[BaseException] | None = None) -> float | None:
        """Make an attempt that ends so; the pause when it is not made."""
        try:
            with self.circuit.attempt():
                if problem is not None:
                    raise problem
        except CircuitOpen as refused:
            return refused.retry_after
        except (Trouble, Answered, asyncio.CancelledError):
            pass
        return None


def test_it_opens_after_failures_in_a_row_and_not_before() -> None:
    rig = Rig()
    for problem in (Trouble, None, Trouble):
        assert rig.attempt(problem) is None
    assert not rig.circuit.is_open
    rig.attempt(Trouble)
    assert rig.circuit.is_open
    rig.now = 0.25
    assert rig.attempt() == 0.75


def test_after_the_pause_one_at_a_time_may_try() -> None:
    rig = Rig()
    rig.attempt(Trouble)
    rig.attempt(Trouble)
    rig.now = 1.0
    with rig.circuit.attempt():
        assert rig.attempt() == 0.0
    assert not rig.circuit.is_open
    assert rig.attempt() is None


def test_each_failed_try_doubles_the_pause_up_to_the_longest() -> None:
    rig = Rig()
    rig.attempt(Trouble)
    rig.attempt(Trouble)
    for pause, next_pause in ((1.0, 2.0), (2.0, 3.0), (3.0, 3.0)):
        rig.now += pause
        assert rig.attempt(Trouble) is None
        assert rig.attempt() == next_pause
    rig.now += 3.0
    assert rig.attempt() is None
    rig.attempt(Trouble)
    rig.attempt(Trouble)
    assert rig.attempt() == 1.0


def test_an_answer_that_was_not_wanted_is_an_answer() -> None:
    rig = Rig()
    rig.attempt(Trouble)
    rig.attempt(Answered)
    rig.attempt(Trouble)
    assert not rig.circuit.is_open


def test_who_goes_away_while_trying_leaves_the_try_to_the_next() -> None:
    rig = Rig()
    rig.attempt(Trouble)
    rig.attempt(Trouble)
    rig.now = 1.0
    assert rig.attempt(asyncio.CancelledError) is None
    assert not rig.circuit.is_open
    assert rig.attempt() is None
    assert rig.attempt(asyncio.CancelledError) is None
    with pytest.raises(Trouble), rig.circuit.attempt():
        raise Trouble
    assert not rig.circuit.is_open


def test_failures_of_attempts_that_began_before_it_opened_do_not_lengthen_the_pause() -> None:
    rig = Rig()

    def fail_late() -> None:
        with rig.circuit.attempt():
            rig.attempt(Trouble)
            rig.attempt(Trouble)
            rig.now = 0.9
            raise Trouble

    with pytest.raises(Trouble):
        fail_late()
    rig.now = 1.0
    assert rig.attempt() is None
